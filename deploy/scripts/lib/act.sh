# Shared by the scripts in ../bin: asks the module swarm.scripts what is to be done, and does it.
# The module runs here where `swarm-script` is installed, else in the swci image; it sees nothing of the host but what
# is told by variables, and answers with a program of quoted words. The functions below are what that program calls.
# shellcheck shell=bash
set -euo pipefail
script=$(basename "$0")
# shellcheck source=deploy/scripts/lib/keep.sh
source "$(dirname "${BASH_SOURCE[0]}")/keep.sh"

fail() { printf '%s: %s\n' "$script" "$1" >&2; exit 2; }
notice() { printf '%s: %s\n' "$script" "$1" >&2; }

# need KIND PATH SENTENCE: kinds of `test`: e, f, d, S.
need() {
    case $1 in
        e) [ -e "$2" ] ;; f) [ -f "$2" ] ;; d) [ -d "$2" ] ;; S) [ -S "$2" ] ;;
    esac || fail "$3"
}

# What was made goes again if the rest cannot be made or started.
containers=()
keep() { containers=(); }
undo() { [ ${#containers[@]} -eq 0 ] || "${engine[@]}" container rm --force --volumes "${containers[@]}" >/dev/null || true; }
trap undo EXIT
# ended CODE ID: one that could not even start leaves nothing behind; else its exit code is the script's.
ended() {
    if [ "$("${engine[@]}" container inspect --format '{{.State.StartedAt}}' "$2" 2>/dev/null)" = 0001-01-01T00:00:00Z ]; then
        "${engine[@]}" container rm --force --volumes "$2" >/dev/null
        not_started
    fi
    exit "$1"
}
advice="mend what it names: a used port or name, a network or image that is missing (make images, --registry, --tag)"
not_made() { fail "the engine did not make the container (its words are above) and nothing was started: $advice"; }
not_started() { fail "the engine did not start the container (its words are above), and all is removed again: $advice"; }

# made ID: the container finds out by this file what it is (container id, image name, image id).
made() {
    containers+=("$1")
    local file
    file=$(mktemp)
    "${engine[@]}" container inspect --format '{{.Id}}{{println}}{{.Config.Image}}{{println}}{{.Image}}' "$1" > "$file"
    chmod 0644 "$file"
    "${engine[@]}" cp --quiet "$file" "$1:/tmp/container_info_file" >/dev/null 2>&1 \
        || notice "container ${1:0:12} is read-only and gets no /tmp/container_info_file"
    rm -f "$file"
}

primary_group() { id -g "$1" 2>/dev/null || fail "there is no user $1 on this host: give uid:gid"; }

# volume_at CONTAINER PLACE: NAME:PLACE of the volume that is mounted there.
volume_at() {
    local name
    name=$("${engine[@]}" container inspect --format "{{range .Mounts}}{{if eq .Destination \"$2\"}}{{.Name}}{{end}}{{end}}" "$1")
    [ -n "$name" ] || fail "the SL has no volume at $2 that the ML program could share"
    printf '%s:%s' "$name" "$2"
}

# address_of_sn NAME IMAGE: of the SN's container NAME, or of the only one that runs from IMAGE.
address_of_sn() {
    local found=$1 address
    if [ -z "$found" ]; then
        found=$("${engine[@]}" ps --quiet --filter "ancestor=$2" --filter status=running)
        [ -n "$found" ] || fail "no SN was named and none runs here from image $2: give --sn-ip, --sn-api-service or --sn-docker-name"
        [ "$(wc -l <<< "$found")" -eq 1 ] || fail "several SNs run here from image $2: choose one by --sn-docker-name or --sn-ip"
    fi
    address=$("${engine[@]}" container inspect --format '{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}' -- "$found") \
        || fail "there is no container $found: mend --sn-docker-name"
    address=$(grep -m 1 . <<< "$address") || fail "container $found has no address of its own (host network, or stopped): give --sn-ip"
    printf '%s' "$address"
}

# found_agent VALUE PATH: SOURCE|SOCKET of the SPIFFE agent: a socket's file, or the first socket in a container's volumes.
found_agent() {
    if [ -S "$2" ]; then
        printf '%s|%s' "$2" "$(basename "$2")"
        return
    fi
    local volume folder socket as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    while IFS=: read -r volume folder; do
        [ -n "$folder" ] || continue
        socket=$("${as_root[@]}" find "$folder" -type s -printf '%P\n' 2>/dev/null | head -n 1)
        [ -n "$socket" ] || continue
        printf '%s|%s' "$volume" "$socket"
        return
    done < <("${engine[@]}" container inspect --format '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}:{{.Source}}{{println}}{{end}}{{end}}' -- "$1" 2>/dev/null)
    fail "--socket-path $1 is no socket, no volume:path and no container with a socket in a volume: name one of these"
}
# agent_of: SOURCE:PLACE to mount. socket_of: the socket's path in that place.
agent_of() {
    local found
    found=$(found_agent "$@")
    if [ -S "$2" ]; then printf '%s:/tmp/spire-agent/%s' "${found%|*}" "${found##*|}"; else printf '%s:/tmp/spire-agent' "${found%|*}"; fi
}
socket_of() {
    local found
    found=$(found_agent "$@")
    printf '%s' "${found##*|}"
}

# How the engine is called here; podman takes the same words.
engine=(docker)
if ! command -v docker >/dev/null && command -v podman >/dev/null; then engine=(podman); fi

facts=(SCRIPT_FOLDER SCRIPT_UID SCRIPT_GID SCRIPT_TERMINAL SCRIPT_ENGINE SCRIPT_DOCKER_HELP SWARM_REGISTRY SWARM_IMAGE_TAG)
tell() {
    SCRIPT_FOLDER=$PWD SCRIPT_UID=$(id -u) SCRIPT_GID=$(id -g) SCRIPT_TERMINAL=no SCRIPT_ENGINE=${engine[0]}
    if [ -t 0 ]; then SCRIPT_TERMINAL=yes; fi
    SCRIPT_DOCKER_HELP=$("${engine[@]}" container create --help 2>/dev/null || true)
    SWARM_REGISTRY=${SWARM_REGISTRY:-} SWARM_IMAGE_TAG=${SWARM_IMAGE_TAG:-}
    export "${facts[@]}"
}

# plan SCRIPT WORDS...: what is to be done.
plan() {
    if command -v swarm-script >/dev/null; then
        swarm-script "$@" < /dev/null
        return
    fi
    local image="${SWARM_REGISTRY:+${SWARM_REGISTRY%/}/}swarm-learning/swci:${SWARM_IMAGE_TAG:-dev}" names=() options=()
    for name in "${facts[@]}"; do names+=(--env "$name"); done
    # A script that writes files gets the present folder, as the caller.
    if [ "$1" = gen-cert ]; then options=(--volume "$PWD:$PWD" --workdir "$PWD"); fi
    command -v "${engine[0]}" >/dev/null || fail "neither swarm nor docker is installed on this host: install one of them"
    "${engine[@]}" run --rm --network none --user "$(id -u):$(id -g)" --entrypoint python3 "${names[@]}" "${options[@]}" "$image" \
        -m swarm.scripts "$@" < /dev/null || {
        local code=$?
        # Below 125 the code is the module's, which has said what is wrong.
        if [ "$code" -lt 125 ]; then return "$code"; fi
        fail "swarm is not installed here, and image $image could not be run instead: make images, or set SWARM_REGISTRY and SWARM_IMAGE_TAG"
    }
}

act() {
    local program
    tell
    program=$(plan "$script" "$@") || exit $?
    eval "$program"
}
