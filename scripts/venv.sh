#!/bin/sh
# Make a virtual environment and install the pinned packages and Inlay itself (editable) into it.
# usage: venv.sh PYTHON FOLDER REQUIREMENTS [alone]    (alone: without Inlay)
set -eu
python=$1 folder=$2 requirements=$3

"$python" - <<'PY' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Inlay needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 …")
PY

if [ ! -x "$folder/bin/python" ] || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "Setting up $folder …"
    rm -rf "$folder"
    if ! "$python" -m venv "$folder" 2>/dev/null; then
        rm -rf "$folder"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            echo "This Python has no venv module; installing Debian's python3-venv …"
            { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null
            "$python" -m venv "$folder"
        else
            echo "This Python cannot make virtual environments. On Debian: sudo apt-get install python3-venv" >&2
            exit 1
        fi
    fi
fi
echo "Installing packages from $requirements …"
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$requirements"
[ "${4:-}" = alone ] || "$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
