#!/usr/bin/env bash
# Prints the path of a geth 1.13.15 (the last release that seals Clique blocks), building it if need be.
# Order: SN_GETH_BIN, the cache folder, PATH, then a build through the Go module proxy (2-3 minutes, once).
set -euo pipefail
version=1.13.15
cache=${SWARM_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/swarm-tools}

# grep reads to the end: one that stops early would kill geth by SIGPIPE, and pipefail would call that a misfit.
fits() { [ -n "$1" ] && [ -x "$1" ] && "$1" version 2>/dev/null | grep "^Version: $version" >/dev/null; }

for candidate in "${SN_GETH_BIN:-}" "$cache/bin/geth" "$(command -v geth || true)"; do
    if fits "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done
if [ "${1:-}" = --no-build ]; then exit 1; fi
if ! command -v go >/dev/null; then
    echo "no geth $version found, and no Go to build it: install Go, or set SN_GETH_BIN to a geth $version" >&2
    exit 1
fi
mkdir -p "$cache/bin"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "building geth $version into $cache/bin (once, 2-3 minutes)" >&2
# Go 1.23 and newer refuse one linker name that this release uses unless the check is off.
(cd "$work" && GOBIN="$work" GOFLAGS=-trimpath go install -ldflags='-checklinkname=0 -s -w' \
    "github.com/ethereum/go-ethereum/cmd/geth@v$version") >&2
if ! fits "$work/geth"; then
    echo "the built geth does not answer as $version" >&2
    exit 1
fi
mv "$work/geth" "$cache/bin/geth"
echo "$cache/bin/geth"
