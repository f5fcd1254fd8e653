#!/usr/bin/env bash
# A throw-away CA and one certificate for each node of docker-compose.yml, in certs/generated/<node>/ (git ignores it;
# SWARM_CERTS_DIR names another folder, for the compose file too).
# Runs `swarm certs` inside the node image, so the host needs Docker only; as root in there, because each node's folder
# must belong to the user that the node runs as (10001): a private key is readable by its owner alone.
# For one host and for trying out. Sites that train together issue their own: see `swarm certs --help`.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=swarm-learning/sn:${SWARM_IMAGE_TAG:-dev}
folder=$(realpath -m "${SWARM_CERTS_DIR:-certs/generated}")
nodes="sn1 sl1 sl2 sl3"

if [ "${1:-}" != --force ] && [ -e "$folder/ca/ca-cert.pem" ]; then
    echo "$folder is already filled; deploy/docker/certs.sh --force makes everything anew (then restart the nodes)"
    exit 0
fi
if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "there is no image $image: run 'make images' first" >&2
    exit 1
fi
mkdir -p "$folder"
docker run --rm --user 0:0 --network none --entrypoint sh --volume "$folder:/certs" \
    --env NODES="$nodes" --env OWNER="$(id -u):$(id -g)" "$image" -euc '
        swarm certs init --out /certs/ca --name "Compose CA" --force
        for node in $NODES; do
            role=${node%[0-9]}
            swarm certs issue --role "$role" --name "$node" --site site-"${node#"$role"}" --dns "$node" \
                --ca /certs/ca --out "/certs/$node" --force
            mv "/certs/$node/$node-cert.pem" "/certs/$node/cert.pem"
            mv "/certs/$node/$node-key.pem" "/certs/$node/key.pem"
            chown -R swarm:swarm "/certs/$node"
        done
        chown -R "$OWNER" /certs/ca'
