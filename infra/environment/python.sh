#!/bin/sh
# Print the path of a Python 3.11, or say on standard error how to install one and exit with 1.
#
#     sh infra/environment/python.sh
#
# With PYTHON set, only that one is tried. Otherwise: python3.11 on PATH, in /usr/bin and
# /usr/local/bin, python3 on PATH if it is 3.11, those of pyenv, and what uv finds. Nothing is
# downloaded. POSIX sh and no other program, since a new machine may have nothing more.
set -u

# The version and the interpreter's own path, like "3.11 /usr/bin/python3.11"; nothing if the
# program does not run. In a virtual environment it is the base interpreter: `make` puts .venv first
# on PATH, and .venv cannot be created from itself.
inspect() {
    "$1" -c 'import sys
own = getattr(sys, "_base_executable", None) or sys.executable
print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], own))' 2>/dev/null
}

# Print the interpreter's path and exit if it is Python 3.11.
try() {
    found=$(inspect "$1")
    case $found in
    "3.11 "?*)
        printf '%s\n' "${found#* }"
        exit 0
        ;;
    esac
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
    # Using another Python instead would hide the mistake.
    if [ -n "$found" ]; then
        echo "environment: PYTHON=$PYTHON is Python ${found%% *}, and Python 3.11 is needed" >&2
    else
        echo "environment: PYTHON=$PYTHON does not run; name a Python 3.11, or none" >&2
    fi
    exit 1
fi

for each in python3.11 /usr/bin/python3.11 /usr/local/bin/python3.11 python3 \
    "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.11*/bin/python3.11; do
    try "$each"
done
if each=$(UV_PYTHON_DOWNLOADS=never uv python find 3.11 2>/dev/null); then
    try "$each"
fi

echo 'environment: Python 3.11 is needed and was not found. Install it in one of these ways:
  Debian 12:    sudo apt install python3.11 python3.11-venv
  with uv:      uv python install 3.11
  with pyenv:   pyenv install 3.11
Then run the command again. If it is already installed elsewhere, name it:
  make PYTHON=/path/to/python3.11 ...' >&2
exit 1
