#!/usr/bin/env bash
# unpack_servers.sh: IMAP servers whose packages cannot be installed beside Dovecot's. Their files are unpacked into
# build/servers, where the tests start them; nothing else is configured or run.
# The libraries that they share with other programs are packages_of_servers in packages.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Courier, Cyrus, GNU Mailutils, each with the libraries whose own packages would pull in much more. libnss-wrapper
# stands in for a user that Courier's package would make.
packages=(courier-imap courier-base courier-authlib libgamin0 libnss-wrapper
    cyrus-imapd cyrus-common
    mailutils-imap4d libmailutils9 libgsasl18 libntlm0 libgssglue1 libmariadb3)
programs=(usr/sbin/couriertcpd usr/bin/couriertls usr/bin/imapd usr/lib/courier/courier/imaplogin
    usr/lib/cyrus/bin/master usr/lib/cyrus/bin/imapd usr/sbin/imap4d)
dir=build/servers

if [ "$(cat "$dir/packages" 2>/dev/null)" = "${packages[*]}" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "Courier, Cyrus and GNU Mailutils can only be fetched with Debian's apt-get; unpack them in $dir" >&2
    exit 1
fi

# Run inside the folder of the downloads. Root would hand them to a user who cannot write there.
download() {
    apt-get -q -o APT::Sandbox::User=root download "${packages[@]}"
}

echo "Unpacking ${packages[*]} in $dir"
rm -rf "$dir"
mkdir -p "$dir/archives"
if ! (cd "$dir/archives" && download); then
    if [ "$(id -u)" -ne 0 ]; then
        echo "The packages cannot be fetched. Run this first, as root: apt-get update" >&2
        exit 1
    fi
    apt-get update -q
    (cd "$dir/archives" && download)
fi
for archive in "$dir"/archives/*.deb; do
    dpkg-deb -x "$archive" "$dir"
done
rm -r "$dir/archives"

LD_LIBRARY_PATH=$PWD/$dir/usr/lib/$(uname -m)-linux-gnu:$PWD/$dir/usr/lib
export LD_LIBRARY_PATH
for program in "${programs[@]}"; do
    if missing=$(ldd "$dir/$program" | grep 'not found'); then
        printf 'Libraries are missing for %s:\n%s\n' "$program" "$missing" >&2
        exit 1
    fi
done
echo "${packages[*]}" >"$dir/packages"
