#!/usr/bin/env bash
# Builds the images that docker-compose.yml names. Runs with and without BuildKit.
# Settings: SWARM_IMAGE_TAG (default dev), SWARM_EXTRA_CA (see extra-ca/README.md), PIP_INDEX_URL, the usual proxy variables.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=${SWARM_IMAGE_TAG:-dev}
source=${SWARM_EXTRA_CA:-/usr/local/share/ca-certificates}

if [ "$source" != none ] && [ -d "$source" ]; then
    find "$source" -name '*.crt' -type f | while read -r file; do
        target=deploy/docker/extra-ca/$(basename "$file")
        cmp -s "$file" "$target" || { install -m 0644 "$file" "$target"; echo "images will trust $(basename "$file")"; }
    done
fi
if ! docker buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi
# shellcheck disable=SC2054  # --build-arg NAME without a value passes the variable on, and nothing when it is unset
arguments=(--build-arg PIP_INDEX_URL --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy)
# What the labels say: the package's version, the commit, and where the source is (SWARM_SOURCE; else git's origin, no login).
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
origin=${SWARM_SOURCE:-$(git remote get-url origin 2>/dev/null | sed 's,//[^/@]*@,//,' || true)}
arguments+=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=${origin:-unknown}")
build() { docker build --quiet "${arguments[@]}" "$@" . ; }

for node in sn sl swci swop; do
    build -f deploy/docker/node/Dockerfile --target "$node" -t "swarm-learning/$node:$tag"
done
build -f deploy/docker/ml/Dockerfile -t "swarm-learning/ml-demo:$tag"
