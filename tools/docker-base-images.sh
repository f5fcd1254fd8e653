#!/usr/bin/env bash
# Makes sure that the two images our Dockerfiles start from are there: debian:bookworm-slim and
# ethereum/client-go:v1.13.15. Where an image registry answers they are pulled; where only package registries
# do, the same names are made here: Debian by debootstrap, geth by tools/geth.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=bookworm
base=debian:$suite-slim
client=ethereum/client-go:v1.13.15
pull_seconds=${SWARM_PULL_SECONDS:-60}

there() { docker image inspect "$1" >/dev/null 2>&1; }
pulled() { timeout "$pull_seconds" docker pull --quiet "$1" >/dev/null 2>&1; }

make_base() {
    command -v debootstrap >/dev/null || { echo "$base is not to be had: no image registry answers, and there is no debootstrap" >&2; return 1; }
    [ "$(id -u)" = 0 ] || { echo "making $base needs root (debootstrap)" >&2; return 1; }
    echo "making $base with debootstrap" >&2
    mkdir -p build
    local root
    root=$(mktemp -d "$PWD/build/debootstrap.XXXXXX")
    debootstrap --variant=minbase "$suite" "$root" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; rm -rf "$root"; return 1; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/*
    tar -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$base" >/dev/null
    rm -rf "$root" "$root.log"
}

make_client() {
    local binary
    binary=$(tools/geth.sh)
    echo "making $client from $binary" >&2
    tar -C "$(dirname "$binary")" --transform='s,^geth$,usr/local/bin/geth,' -c geth \
        | docker import --change 'ENTRYPOINT ["/usr/local/bin/geth"]' - "$client" >/dev/null
}

there "$base" || pulled "$base" || make_base
there "$client" || pulled "$client" || make_client
