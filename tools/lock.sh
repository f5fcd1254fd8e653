#!/usr/bin/env bash
# Rewrites requirements/*.txt from requirements/*.in: exact pins with hashes, no addresses.
# One resolution over everything decides the versions; each file is then a cut of it, so that any set of
# them installs into one venv. `tools/lock.sh --upgrade` takes newer releases, without it pins are kept.
set -euo pipefail
cd "$(dirname "$0")/../requirements"
uv="${UV:-../.venv/bin/uv}"
shared="base node ml dev torch frameworks tensorflow uv"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

inputs=""
for name in $shared; do inputs="$inputs $name.in"; done
if [ "${1:-}" != "--upgrade" ]; then
    for name in $shared; do
        if [ -f "$name.txt" ]; then sed -n 's/^\([A-Za-z0-9._-]*==[^ ;\\]*\).*/\1/p' "$name.txt"; fi
    done | sort -u > "$work/kept"
else
    : > "$work/kept"
fi
flags="--quiet --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links"
# shellcheck disable=SC2086  # word lists on purpose
"$uv" pip compile $flags -c "$work/kept" ${LOCK_CONSTRAINTS:+-c "$LOCK_CONSTRAINTS"} $inputs -o "$work/all"
for name in $shared; do
    # shellcheck disable=SC2086
    "$uv" pip compile $flags --generate-hashes -c "$work/all" "$name.in" -o "$work/$name.txt"
    cp "$work/$name.txt" "$name.txt"
done
# shellcheck disable=SC2086
"$uv" pip compile $flags --generate-hashes slither.in -o "$work/slither.txt"
cp "$work/slither.txt" slither.txt
