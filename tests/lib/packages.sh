# shellcheck shell=bash disable=SC2034
# packages.sh: what has to be installed on Debian 12, and how to get it. Sourced by server/run and tests/run.

packages_to_build=(build-essential cmake pkg-config libmicrohttpd-dev libgnutls28-dev libjansson-dev libc-ares-dev
    libuv1-dev libidn2-dev libsodium-dev ca-certificates)
packages_of_unit_tests=(libcmocka-dev)
packages_to_test=("${packages_of_unit_tests[@]}" dovecot-imapd gnutls-bin openssl python3 python3-yaml
    python3-jsonschema curl jq nginx strace systemd tcpdump valgrind buildah mmdebstrap)
# Libraries of the servers that unpack_servers.sh fetches.
packages_of_servers=(libcourier-unicode4 libgdbm6 libgssapi-krb5-2 libical3 libicu72 libidn12 libk5crypto3 libkrb5-3
    libldap-2.5-0 libnsl2 libpcre3 libpq5 libsasl2-2 libsasl2-modules libsqlite3-0 libwrap0 libxapian30 libxml2)

# Whether dpkg has the package installed. It also asks for what is half installed.
package_installed() {
    [ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

# Prints those of the given packages that are not there. Node comes from many places: its commands count.
packages_missing() {
    local name
    for name in "$@"; do
        case $name in
        nodejs) command -v node >/dev/null || printf '%s\n' "$name" ;;
        npm) command -v npm >/dev/null || printf '%s\n' "$name" ;;
        *) package_installed "$name" || printf '%s\n' "$name" ;;
        esac
    done
}

# Installs what is missing of the given packages; without the right to do so says what to run, and fails.
packages_ensure() {
    local missing
    if ! command -v dpkg-query >/dev/null; then
        echo "This is not a Debian system; these packages' counterparts are needed: $*" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        printf 'Missing packages. Run this first, as root:\n  apt-get install -y --no-install-recommends %s\n' \
            "${missing[*]}" >&2
        return 1
    fi
    echo "Installing ${missing[*]}"
    env DEBIAN_FRONTEND=noninteractive apt-get update -q
    # A package of a server may want to start it at once; the tests start their own.
    env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# Where CMakePresets.json puts the build of a preset.
build_dir() {
    case $1 in
    release) echo build ;;
    release-tests) echo build/release ;;
    *) echo "build/$1" ;;
    esac
}

# configure_and_build PRESET [TARGET]: builds a preset, with Ninja where it is there.
configure_and_build() {
    local dir
    dir=$(build_dir "$1")
    if [ ! -f "$dir/CMakeCache.txt" ] && [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
        local -x CMAKE_GENERATOR=Ninja
    fi
    cmake --preset "$1"
    cmake --build "$dir" --parallel "$(nproc)" ${2:+--target "$2"}
}
