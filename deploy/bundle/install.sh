#!/usr/bin/env bash
# Installs what this bundle holds on a host without registries: checks every file, loads the node images, and with
# --venv FOLDER makes a Python environment with the `swarm` command. Check the archive's signature before you unpack it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
venv=""
fails() { echo "install: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
    case $1 in
        --venv) [ $# -gt 1 ] || fails "--venv wants a folder"; venv=$2; shift 2 ;;
        --venv=*) venv=${1#--venv=}; shift ;;
        *) fails "unknown word $1; known is: --venv FOLDER" ;;
    esac
done

# A file that is not in the list was put there by somebody else: pip would take a wheel of it.
listed=$(cut -c67- SHA256SUMS | LC_ALL=C sort)
there=$(find . -type f ! -path ./SHA256SUMS ! -path ./SHA256SUMS.sig | cut -c3- | LC_ALL=C sort)
[ "$listed" = "$there" ] || fails "files and list differ: $(diff <(echo "$listed") <(echo "$there") | grep '^[<>]' | head -3 | tr '\n' ' ') (< missing, > not listed): unpack the archive into an empty folder"
[ -z "$(find . -type l)" ] || fails "there is a symbolic link in it: unpack the archive into an empty folder"
sha256sum --check --quiet SHA256SUMS || fails "a file is not as it was packed: bring the archive again"
echo "install: $(wc -l < SHA256SUMS) files are as they were packed"

command -v docker >/dev/null || fails "docker is not here: install it (its packages are not in this bundle)"
docker version >/dev/null 2>&1 || fails "no Docker engine answers: start it, and let this user speak to it"
docker load --quiet --input images.tar
while read -r name id; do
    found=$(docker image inspect --format '{{.Id}}' "$name" 2>/dev/null || true)
    [ "$found" = "$id" ] || fails "$name is ${found:-not there} after loading, expected $id"
done < IMAGES
echo "install: all images are there, by their ids"

if [ -n "$venv" ]; then
    wanted=$(cat PYTHON)
    python=$(command -v "python$wanted" || true)
    [ -n "$python" ] || fails "the wheels are for Python $wanted, and python$wanted is not here; the images need no Python on the host"
    case $venv in /*) ;; *) fails "--venv wants an absolute path, not $venv" ;; esac
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --no-index --find-links wheels swarm-platform swarmlearning
    "$venv/bin/swarm" --help >/dev/null
    echo "install: $venv/bin/swarm is ready"
fi
echo "install: done; docs/containers.md and docs/sites.md say how a site is started"
