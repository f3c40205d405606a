#!/usr/bin/env bash
# Makes a small environment that holds uv and nothing else, with the hashes checked.
# Usage: deploy/bootstrap.sh FOLDER PYTHON...   (the first of the named Pythons that is >= 3.11)
set -euo pipefail

folder=$1
shift
cd "$(dirname "$0")/.."

stop() {
    echo "carbon-exchange: $1" >&2
    exit 1
}

python=""
for name in "$@"; do
    if command -v "$name" > /dev/null &&
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
        python=$name
        break
    fi
done
[ -n "$python" ] || stop "no Python 3.11 or newer found (tried: $*). Install one and try again."

compiler=${CC:-}
for name in cc gcc clang; do
    [ -n "$compiler" ] || ! command -v "$name" > /dev/null || compiler=$name
done
[ -n "$compiler" ] || stop "no C compiler found (tried: cc, gcc, clang, \$CC). The matching engine \
is compiled here: install one (Debian: apt-get install gcc; macOS: xcode-select --install)."

headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
[ -f "$headers/Python.h" ] || stop "$python has no C headers ($headers/Python.h is missing). \
Install them (Debian: apt-get install python3-dev)."

"$python" -c 'import ensurepip, venv' 2> /dev/null || stop "$python cannot make environments: its \
modules venv or ensurepip are missing (Debian: apt-get install python3-venv)."

echo "using $("$python" --version) ($(command -v "$python")) and $compiler"
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --require-hashes --requirement deploy/requirements-uv.txt
