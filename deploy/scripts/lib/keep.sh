# Stopping, removing and collecting: what the programs of stop-swarm, uninstall and swarmLogCollector call.
# shellcheck shell=bash
dry=no

# With --dry-run what would be done is printed instead.
doing() {
    if [ "$dry" = yes ]; then printf '%q ' "$@"; echo; else "$@"; fi
}

# stop_all IMAGE NAME GRACE keep|remove: the containers that were made of an image.
stop_all() {
    local found
    echo "Stopping all running $2 containers"
    mapfile -t found < <("${engine[@]}" ps --quiet --filter "ancestor=$1")
    if [ ${#found[@]} -gt 0 ]; then doing "${engine[@]}" stop -t "$3" "${found[@]}"; else echo "No running $2 containers found"; fi
    if [ "$4" = keep ]; then return; fi
    echo "Removing all $2 containers"
    mapfile -t found < <("${engine[@]}" ps --all --quiet --filter "ancestor=$1")
    # One that was run with --rm goes by itself at its stop.
    if [ ${#found[@]} -gt 0 ]; then doing "${engine[@]}" container rm --force "${found[@]}"; else echo "No $2 containers found"; fi
}

remove_image() {
    if "${engine[@]}" image inspect "$1" >/dev/null 2>&1; then doing "${engine[@]}" image rm --force "$1"; else echo "There is no image $1"; fi
}

# What may be a secret does not leave the host: variables that are not the platform's own (a site's secrets come to a program
# by any name), what has a secret's name, logins in addresses.
without_secrets() {
    sed -E \
        -e 's#://[^/@" ]*@#://<redacted>@#g' \
        -e '/"(Env|CreateCommand)": \[/,/^ *\]/{/^ *"((SWARM|SN|SL|SWOP|SWCI|SENTINEL)_|(THIS_NODE_IP|USR_DIR|PATH)=)/!s/^( *"[^"=]*=)([^"\\]|\\.)*"/\1<redacted>"/}' \
        -e 's/((PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|CREDENTIAL)[^"=]*=)([^"\\]|\\.)*"/\1<redacted>"/Ig' \
        -e 's/("[^"]*(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|CREDENTIAL)[^"]*": )"([^"\\]|\\.)*"/\1"<redacted>"/Ig'
}

# copied FILE...: into the folder; a file of secrets, which must be its owner's alone, stays where it is.
copied() {
    local file
    for file in "$@"; do
        [ -f "$file" ] || continue
        if [ -n "$(find -L "$file" -perm /044)" ]; then cp "$file" "$folder/"; else echo "left out, as it is its owner's alone: $file"; fi
    done
}

# logs_of KIND IMAGE...: output and settings of all containers of these images, also of stopped ones.
logs_of() {
    local kind=$1 image id number=0
    shift
    for image in "$@"; do
        while read -r id; do
            [ -n "$id" ] || continue
            number=$((number + 1))
            "${engine[@]}" logs --timestamps "$id" > "$folder/${kind}_${number}.log" 2>&1 || true
            "${engine[@]}" inspect "$id" | without_secrets > "$folder/${kind}_inspect_${number}.json" || true
        done < <("${engine[@]}" ps --all --quiet --filter "ancestor=$image")
    done
    if [ "$number" -eq 0 ]; then echo "no $kind container on this host"; else echo "$kind: $number containers"; fi
}

# outcome_of FOLDER: image that the workspace's build task makes.
outcome_of() {
    local file
    for file in "$1"/swci/taskdefs/*.y*ml; do
        if grep -qs 'MAKE_USER_CONTAINER\|BUILD_SWARM' "$file"; then
            sed -n 's/^[[:space:]]*Outcome[[:space:]]*:[[:space:]]*\([^[:space:]#]*\).*/\1/p' "$file" | head -n 1
            return
        fi
    done
}

# collect HUB workspace|mlimage WHAT
collect() {
    local hub=$1 kind=$2 what=$3 name image role folder archive
    local -a images
    umask 077
    command -v "${engine[0]}" >/dev/null || fail "docker is not installed on this host: there is nothing to collect"
    "${engine[@]}" version >/dev/null 2>&1 || fail "docker does not answer: start it, or let your user use it (group docker, or sudo)"
    name=swarm_logs_$(hostname)_$(date +%Y%m%d%H%M%S)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    folder=$work/$name
    mkdir "$folder"
    image=$what
    if [ "$kind" = workspace ]; then
        image=$(outcome_of "$what")
        copied "$what"/swci/taskdefs/*.y*ml "$what"/swop/*.y*ml
        [ -n "$image" ] || echo "no task in $what/swci/taskdefs builds an image: the programs' logs are left out"
    fi
    {
        for command in id "uname -a" "cat /etc/os-release" "df -h" "free -m" "${engine[*]} version" "${engine[*]} info" "${engine[*]} ps --all" "${engine[*]} images" nvidia-smi rocm-smi; do
            printf '\n==== %s\n' "$command"
            # shellcheck disable=SC2086  # words of our own
            $command 2>&1 || true
        done
    } > "$folder/host.log"
    for role in sn swop swci sl slm-ui slm-ui-postgres; do
        mapfile -t images < <("${engine[@]}" images --format '{{.Repository}}:{{.Tag}}' | grep -F -- "$hub/$role:" | sort -u)
        logs_of "$role" "${images[@]}"
    done
    if [ -n "$image" ]; then logs_of ml "$image"; fi
    mkdir -p logs
    archive=logs/$name.tar.gz
    tar -C "$work" -czf "$archive" "$name"
    echo "collected: $archive"
}
