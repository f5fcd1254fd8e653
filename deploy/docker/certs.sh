#!/usr/bin/env bash
# A throw-away CA and one certificate for each node of docker-compose.yml, in certs/generated/<node>/ (git ignores it;
# SWARM_CERTS_DIR names another folder, for the compose file too).
# Runs `swarm certs` inside the node image, so the host needs Docker only; as root in there, because each node's folder
# must belong to the user that the node runs as (10001): a private key is readable by its owner alone.
# Beside them, in usr/, what the SWOP and the SWCI of the compose file read: deploy/compose/usr with this host's paths, the
# network (SWARM_NETWORK) and the tag (SWARM_IMAGE_TAG) filled in; written anew at each call.
# Makes what is missing; with --force everything anew.
# For one host and for trying out. Sites that train together issue their own: see `swarm certs --help`.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=swarm-learning/sn:${SWARM_IMAGE_TAG:-dev}
folder=$(realpath -m "${SWARM_CERTS_DIR:-certs/generated}")
nodes="sn1 sn2 sn3 sl1 sl2 sl3 swci1 swop1 pair1 pair2"

missing=
# A new CA means new certificates for all.
if [ "${1:-}" = --force ] || [ ! -e "$folder/ca/ca-cert.pem" ]; then
    missing="ca $nodes"
else
    # Docker itself makes an empty folder where one that a container mounts is missing. One that cannot be entered is the
    # nodes' user's, and filled.
    for node in $nodes; do
        own=$folder/$node
        if [ ! -d "$own" ] || { [ -x "$own" ] && [ ! -e "$own/cert.pem" ]; }; then missing="$missing $node"; fi
    done
fi
# The compose file asks for this one, so that `up` before `make certs` is told so by name.
ready() {
    local file
    mkdir -p "$folder/usr"
    for file in deploy/compose/usr/*; do
        sed -e "s|<CERTS>|$folder|g" -e "s|<NETWORK>|${SWARM_NETWORK:-swarm-learning}|g" \
            -e "s|<TAG>|${SWARM_IMAGE_TAG:-dev}|g" "$file" > "$folder/usr/${file##*/}"
    done
    chmod -R a+rX "$folder/usr"
    echo "# the certificates beside this file are made" > "$folder/run-make-certs-first.env"
}
if [ -z "$missing" ]; then
    ready
    echo "$folder is already filled; deploy/docker/certs.sh --force makes everything anew (then restart the nodes)"
    exit 0
fi
if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "there is no image $image: run 'make images' first" >&2
    exit 1
fi
mkdir -p "$folder"
docker run --rm --user 0:0 --network none --entrypoint sh --volume "$folder:/certs" \
    --env MISSING="$missing" --env OWNER="$(id -u):$(id -g)" "$image" -euc '
        for node in $MISSING; do
            if [ "$node" = ca ]; then
                /opt/swarm/bin/swarm certs init --out /certs/ca --name "Compose CA" --force
                chown -R "$OWNER" /certs/ca
                continue
            fi
            role=${node%[0-9]}
            if [ "$role" = pair ]; then role=sl; fi # an SL that the SWOP starts
            rm -rf "/certs/.${node:?}"
            /opt/swarm/bin/swarm certs issue --role "$role" --name "$node" --site site-"${node##*[a-z]}" --dns "$node" \
                --ca /certs/ca --out "/certs/.$node" --force
            mv "/certs/.$node/$node-cert.pem" "/certs/.$node/cert.pem"
            mv "/certs/.$node/$node-key.pem" "/certs/.$node/key.pem"
            chown -R swarm:swarm "/certs/.$node"
            # Whole or not at all: a call that is cut off leaves no folder that looks filled.
            rm -rf "/certs/${node:?}"
            mv "/certs/.$node" "/certs/$node"
        done'
ready
