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
build() { docker build --quiet "${arguments[@]}" "$@" . ; }

build -f deploy/docker/node/Dockerfile --target sn -t "swarm-learning/sn:$tag"
build -f deploy/docker/node/Dockerfile --target sl -t "swarm-learning/sl:$tag"
build -f deploy/docker/ml/Dockerfile -t "swarm-learning/ml-demo:$tag"
