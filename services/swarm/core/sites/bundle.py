"""A site's join bundle: all that its staff need but keys, as the texts of files.

No file holds a secret, and none names what changes with an image but ``.env``. The same inventory gives the same bytes.
What a site gets hangs on the site itself and on where the sentinel is: a further site changes nobody else's bundle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..limits import NODE_DAYS_DEFAULT
from .compose import compose_of, network, nodes_of
from .inventory import CHAIN, LOGS, REST, Inventory, SiteOf

Written = Callable[[Mapping[str, Any]], str]
"""Plain values as YAML."""
COMPOSE, ENVIRONMENT, README, SITE = "docker-compose.yml", ".env", "README.md", "site.json"
PROFILE, POLICY = "usr/swop-profile.yaml.in", "usr/policy.yaml"
REQUESTS, PREFLIGHT, START = "make-requests.sh", "preflight.sh", "start.sh"
SCRIPTS = (REQUESTS, PREFLIGHT, START)


def bundle_of(inventory: Inventory, site: SiteOf, yaml: Written) -> dict[str, str]:
    """Texts by path in the bundle's folder."""
    files = {
        COMPOSE: f"# Site {site.name} of the swarm {inventory.swarm}, from its inventory. Images: see {ENVIRONMENT}.\n"
        + yaml(compose_of(inventory, site)),
        ENVIRONMENT: f"# An update of the images changes this file and nothing else of the bundle.\n"
        f"SWARM_IMAGES={inventory.images}\nSWARM_IMAGE_TAG={inventory.tag}\n"
        f"COMPOSE_PROJECT_NAME={network(inventory, site)}\n",
        REQUESTS: _requests(inventory, site),
        PREFLIGHT: _preflight(inventory, site),
        START: _start(site),
        README: _readme(inventory, site),
        SITE: json.dumps(_told(inventory, site), indent=1) + "\n",
    }
    if site.swop is not None:
        files[PROFILE] = _profile(inventory, site, yaml)
        files[POLICY] = (
            "# Which tasks this site takes; none as long as there is no rule. A refused task's sentence names the\n"
            "# command that writes one (swarm policy allow). docs/swop.md explains the keys.\nrules: []\n"
        )
    elif site.swci:
        files["usr/README"] = "Task files and scripts of this site's operator.\n"
    return files


def _told(inventory: Inventory, site: SiteOf) -> dict[str, Any]:
    """What this site is, for ``swarm doctor``: its form is :class:`.described.Described`."""
    first = inventory.sentinel
    assert first.sn is not None
    return {
        "swarm": inventory.swarm,
        "site": site.name,
        "host": site.host,
        "nodes": dict(nodes_of(site)),
        "ports": {str(port): whose for port, whose in site.ports()},
        "sentinel": {"host": first.host, "port": first.sn.api_port, "here": site is first},
        "data": [one for nodes in (site.sls, site.swop) if nodes is not None for one in nodes.data],
    }


def _names(inventory: Inventory, site: SiteOf, name: str, role: str) -> str:
    return f"--role {role} --name {site.name}-{name} --site {site.name} --trust-domain {inventory.trust_domain}"


def _host_option(site: SiteOf) -> str:
    return f"--ip {site.host}" if site.host.replace(".", "").isdigit() or ":" in site.host else f"--dns {site.host}"


HEAD = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
case $PWD in
*[:\\|\\&\\\\#]* | *$'\\n'*)
    echo "this folder's path, $PWD, has one of : | & \\\\ # or a line break: move it" >&2
    exit 1
    ;;
esac
. ./.env
: "${SWARM_IMAGES:?is not set in .env: where the node images come from}"
: "${SWARM_IMAGE_TAG:?is not set in .env: which version of the images}"
"""
IMAGE_THERE = """there() { # a node image
    docker image inspect "$1" >/dev/null 2>&1 || timeout 600 docker pull --quiet "$1" >/dev/null 2>&1
}"""
NO_IMAGE = (
    "is neither here nor to be pulled: docker load brings it, or correct SWARM_IMAGES and SWARM_IMAGE_TAG in .env"
)
NO_ENGINE = "no Docker engine answers: start it, and let this user speak to it"


def _requests(inventory: Inventory, site: SiteOf) -> str:
    lines = [
        HEAD
        + "# A key for each node, which stays in certs/ on this host, and a request for its certificate in requests/.",
        IMAGE_THERE,
        f"docker version >/dev/null 2>&1 || {{ echo '{NO_ENGINE}' >&2; exit 1; }}",
        f"image=$SWARM_IMAGES/{nodes_of(site)[0][1]}:$SWARM_IMAGE_TAG",
        f'there "$image" || {{ echo "the image $image {NO_IMAGE}" >&2; exit 1; }}',
        "# The keys become this user's: user 0 of a rootless engine is the one who started it.",
        "user=$(id -u):$(id -g)",
        "case $(docker info --format '{{.SecurityOptions}}') in *name=rootless*) user=0:0 ;; esac",
        "mkdir -p certs requests",
        "chmod 700 certs",
        "request() { # node, then what its certificate says",
        "    local node=$1; shift",
        '    if [ -e "certs/$node/key.pem" ]; then echo "$node has a key; left as it is"; return; fi',
        "    # Made beside and moved at the end: a call that was interrupted leaves nothing in the next one's way.",
        '    rm -rf "certs/.$node" && mkdir -p "certs/.$node" "certs/$node"',
        "    # The program itself: the image's own start would make another user of root.",
        '    docker run --rm --network none --user "$user" --volume "$PWD/certs:/certs" \\',
        '        --entrypoint /opt/swarm/bin/swarm "$image" cert request "$@" --out "/certs/.$node" >/dev/null',
        '    mv "certs/.$node/"*.csr "requests/$node.csr"',
        '    mv "certs/.$node/"*-key.pem "certs/$node/key.pem"',
        '    rmdir "certs/.$node"',
        '    echo "$node: requests/$node.csr"',
        "}",
    ]
    lines += [
        f"request {name} {_names(inventory, site, name, role)} {_host_option(site)}" for name, role in nodes_of(site)
    ]
    return "\n".join(
        [*lines, 'echo "send requests/ to whoever signs for this swarm; README.md says what comes back"', ""]
    )


def _preflight(inventory: Inventory, site: SiteOf) -> str:
    first = inventory.sentinel
    assert first.sn is not None
    lines = [
        HEAD + "# What has to be there before the first start; each line that fails names its fix.",
        "failed=0",
        'fails() { echo "FAILED: $*" >&2; failed=1; }',
        IMAGE_THERE,
        "if docker version >/dev/null 2>&1; then",
        f"    for node in {' '.join(sorted({role for _, role in nodes_of(site)}))}; do",
        "        image=$SWARM_IMAGES/$node:$SWARM_IMAGE_TAG",
        f'        there "$image" || fails "the image $image {NO_IMAGE}"',
        "    done",
        f"else fails '{NO_ENGINE}'; fi",
        "docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 \\",
        "    || fails 'neither the compose plug-in nor docker-compose is here: install one'",
    ]
    for name, _ in nodes_of(site):
        lines += [
            "for file in key cert ca-cert; do",
            f'    [ -s "certs/{name}/$file.pem" ] || fails "certs/{name}/$file.pem is missing: see README.md"',
            "done",
        ]
    for nodes in (site.sls, site.swop):
        for folder in nodes.data if nodes is not None else ():
            lines.append(
                f"[ -d {folder} ] || fails 'the folder of data {folder} is not there: make it, and put data into it'"
            )
    lines.append(
        "mine=label=com.docker.compose.project=$COMPOSE_PROJECT_NAME\n"
        'running=$(docker ps --quiet --filter "$mine" 2>/dev/null | head -1 || true)'
    )
    for port, whose in site.ports():
        lines.append(
            f'[ -n "$running" ] || ! (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null '
            f'|| fails "port {port} ({whose}) is taken on this host: free it, or change it in the inventory"'
        )
    if site is not first:
        lines += [
            "# Nodes that were here before know other SNs than the sentinel, which may be away.",
            'known=$(docker volume ls --quiet --filter "$mine" 2>/dev/null | head -1 || true)',
        ]
        lines.append(
            f"[ -n \"$known\" ] || timeout 10 bash -c ': </dev/tcp/{first.host}/{first.sn.api_port}' 2>/dev/null "
            "|| fails 'the sentinel "
            f"{first.host}:{first.sn.api_port} is not reached: is it started, and open to this host in its firewall?'"
        )
    return "\n".join([*lines, '[ "$failed" = 0 ] && echo "all is there"', 'exit "$failed"', ""])


def _start(site: SiteOf) -> str:
    lines = [HEAD + "# Looks, fills in what this host alone knows, and starts the site's nodes.", "./preflight.sh"]
    if site.swop is not None:
        lines.append(f'sed "s|<BUNDLE>|$PWD|g" {PROFILE} > {PROFILE.removesuffix(".in")}')
    lines += [
        'compose="docker compose"',
        "docker compose version >/dev/null 2>&1 || compose=docker-compose",
        "$compose up -d",
        "echo \"started; '$compose ps' shows when all are healthy\"",
        "",
    ]
    return "\n".join(lines)


def _profile(inventory: Inventory, site: SiteOf, yaml: Written) -> str:
    assert site.swop is not None
    nodes = []
    for number, (port, folder) in enumerate(zip(site.swop.ports, site.swop.data, strict=True)):
        source = f"<BUNDLE>/certs/pair{number + 1}"
        nodes.append(
            {
                "slnodedef": {
                    "idx": number,
                    "identity": [
                        {"attribute": {"aType": kind, "mType": "BIND", "src": source, "tgt": "/id", "subPath": file}}
                        for kind, file in (("KEY", "key.pem"), ("CERT", "cert.pem"), ("CACERT", "ca-cert.pem"))
                    ],
                    "slhostname": f"{site.name}-pair{number + 1}",
                    "slhostip": site.host,
                    "slport": port,
                    "privatedata": {"src": folder, "mType": "BIND"},
                }
            }
        )
    first = inventory.sentinel
    assert first.sn is not None
    host, port = ("sn", site.sn.api_port) if site.sn is not None else (first.host, first.sn.api_port)
    return "# start.sh fills in where this folder lies.\n" + yaml(
        {
            "groupname": f"{inventory.swarm}-{site.name}",
            "taskrunner": "defaulttaskbb.taskdb.sml.hpe",
            "policyuri": "policy.yaml",
            "network": network(inventory, site),
            "apisrv": {"locator": {"host": host, "port": port}},
            "nodes": nodes,
        }
    )


def _readme(inventory: Inventory, site: SiteOf) -> str:
    first = inventory.sentinel
    begins = (
        "This site's SN begins the chain: start it before the others."
        if site is first
        else (f"The SN of site {first.name} ({first.host}) begins the chain: it is started first.")
    )
    opened = [f"| {port} | {whose} | {_from(whose)} |" for port, whose in site.ports()]
    asks = "`docker compose exec swci swarm swci --mode CLI`"
    shell = f"- The operator's shell: {asks}; its files are those in `usr/`." if site.swci else ""
    signs = [
        f"swarm cert sign {site.name}/requests/{name}.csr --role {role} --site {site.name} "
        f"--trust-domain {inventory.trust_domain} --ca CA --out {site.name}/certificates/{name}/cert.pem"
        for name, role in nodes_of(site)
    ]
    tls = "All of them speak mutual TLS"
    tls += f", but {site.sn.p2p_port}, the chain's own: it is for the SNs' hosts alone." if site.sn is not None else "."
    return f"""# Site {site.name} of the swarm {inventory.swarm}

This folder is all that the site needs, but keys: those are made here and stay here. {begins}

## Certificates
1. `./make-requests.sh` makes a key for each node in `certs/` and its request in `requests/`.
2. Send `requests/` to whoever signs for the swarm. Who signs puts it into a folder `{site.name}`,
   looks at each request, and types beside that folder (CA is the folder of `swarm certs init`):

```
{chr(10).join(signs)}
```
3. `{site.name}/certificates` and the CA's `ca-cert.pem` come back, and go beside the keys. In this folder:

```
cp -r PATH/certificates/. certs/
for node in certs/*/; do cp PATH/ca-cert.pem "$node"; done
```

## Start
`./preflight.sh` looks at what has to be there; `./start.sh` looks again and starts the nodes.

## Firewall
What other hosts must reach on {site.host}:

| port | what | from |
| --- | --- | --- |
{chr(10).join(opened)}

{tls}

## Later
{shell}
- New images: change `SWARM_IMAGE_TAG` in `.env`, then `./start.sh`. State and keys stay in volumes and `certs/`.
- After a power cut the nodes start by themselves where the engine does; `./start.sh` starts what does not.
- A certificate lasts {NODE_DAYS_DEFAULT} days, or as many as `--days` said when it was signed.
  Before it ends: have the same request signed again (the same command, and `--force`), put the certificate in its
  place, and type `docker compose restart`.
- `swarm doctor`, in this folder, says what is wrong on this host (where the `swarm` command is installed).
- A site that comes to the swarm changes nothing here.
"""


def _from(whose: str) -> str:
    return {CHAIN: "hosts with an SN", LOGS: "operators' hosts", REST: "this host alone"}.get(whose, "all sites")
