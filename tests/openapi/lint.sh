#!/bin/sh
# Lints openapi.yaml: lint.sh CACHE_DIR, where the linter is kept; nothing is written elsewhere. Any warning fails.
set -eu

# The last release line that runs with Node.js 18.
version=1.34.20

if [ $# -ne 1 ]; then
    echo "usage: lint.sh CACHE_DIR" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cache=$(cd "$1" && pwd)/redocly-$version
redocly=$cache/node_modules/@redocly/cli/bin/cli.js

export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true CI=true

# Scripts of packages are not run; the stamp tells a whole installation from one that was cut short.
if [ ! -f "$cache/stamp" ]; then
    rm -rf "$cache"
    mkdir "$cache"
    npm install --prefix "$cache" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error "@redocly/cli@$version"
    touch "$cache/stamp"
fi

# From the cache, where the linter finds no other configuration.
cd "$cache"
exec node "$redocly" lint "$here/../../openapi.yaml" --config "$here/redocly.yaml" --format=stylish
