#!/usr/bin/env bash
# Installs locked requirements into a venv: `tools/venv.sh VENV NAME...` with names of requirements/NAME.txt;
# the name `editable` installs this tree's two packages. Makes the venv when it is not there.
# Everything is checked against the hashes in the lock; nothing that is not in a lock is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
shift

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "no Python 3.11 or newer found: install one, or name it with PYTHON=/path/to/python3" >&2
    return 1
}

# uv reads neither pip's settings nor pip's CA variable; a site that has set them means them for every installer.
borrow_pip_settings() {
    local index
    index=$("$venv/bin/pip" config get global.index-url 2>/dev/null || true)
    index=${PIP_INDEX_URL:-$index}
    if [ -z "${UV_DEFAULT_INDEX:-}" ] && [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
    if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE=$PIP_CERT; fi
    export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180} UV_LINK_MODE=${UV_LINK_MODE:-hardlink}
}

if command -v flock >/dev/null && [ -z "${SWARM_VENV_LOCKED:-}" ]; then
    mkdir -p build
    exec env SWARM_VENV_LOCKED=1 flock build/.install.lock tools/venv.sh "$venv" "$@"
fi
if ! [ -x "$venv/bin/pip" ]; then
    python=$(find_python)
    echo "making $venv with $("$python" --version) (once; a minute or so in all)"
    "$python" -m venv "$venv" || {
        rm -rf "$venv"
        echo "python -m venv failed: on Debian install python3-venv" >&2
        exit 1
    }
fi
locked_uv=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/uv.txt)
if ! "$venv/bin/uv" --version 2>/dev/null | grep -qF "uv $locked_uv"; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r requirements/uv.txt || echo "uv could not be installed; going on with pip alone" >&2
fi
borrow_pip_settings
for name in "$@"; do
    if [ "$name" = editable ]; then
        set -- --no-deps --no-build-isolation -e . -e sdk
    else
        set -- --require-hashes --only-binary :all: -r "requirements/$name.txt"
    fi
    case $name in
        torch | tensorflow) echo "installing $name (hundreds of megabytes)" ;;
        editable) echo "installing this tree's own packages" ;;
        *) echo "installing what requirements/$name.txt lists" ;;
    esac
    if [ -x "$venv/bin/uv" ] && "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@"; then continue; fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
done
