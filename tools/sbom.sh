#!/usr/bin/env bash
# Writes dist/sbom/<node>.spdx.json for each node image of the tag SWARM_IMAGE_TAG (dev): tools/sbom.py run inside it.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${SWARM_IMAGE_TAG:-dev}
mkdir -p dist/sbom
for node in ${*:-sn sl swci swop}; do
    image=swarm-learning/$node:$tag
    digest=$(docker image inspect --format '{{.Id}}' "$image")
    created=$(docker image inspect --format '{{.Created}}' "$image")
    docker run --rm --interactive --network none --user 10001:10001 --read-only --entrypoint python3 "$image" \
        - "$node:$tag" "$digest" "${created%%.*}Z" < tools/sbom.py > "dist/sbom/$node.spdx.json.new"
    mv "dist/sbom/$node.spdx.json.new" "dist/sbom/$node.spdx.json"
    echo "dist/sbom/$node.spdx.json"
done
