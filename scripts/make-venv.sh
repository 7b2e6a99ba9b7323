#!/bin/sh
# make-venv.sh PYTHON DIRECTORY: make a virtual environment, or say what is missing for one.
set -eu

python=$1
directory=$2

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail \
    "make: there is no '$python' here; aionet needs Python 3.11 or newer." \
    "Install one, or name one: make PYTHON=python3.12 ..."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
    "make: '$python' is $("$python" --version 2>&1); aionet needs Python 3.11 or newer." \
    "Name a newer one: make PYTHON=python3.12 ..."

"$python" -c 'import ensurepip, venv' 2>/dev/null || fail \
    "make: '$python' lacks venv or ensurepip, without which it cannot make an environment." \
    "On Debian and Ubuntu: apt-get install python3-venv"

# Interpreters of ours may stand in an environment that was copied or whose Python is gone: begin anew.
rm -rf "$directory"
if ! "$python" -m venv "$directory"; then
    rm -rf "$directory"
    fail "make: '$python -m venv $directory' failed; what it said stands above."
fi
