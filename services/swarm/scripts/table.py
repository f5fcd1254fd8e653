"""THE table of the scripts' flags: names, values, and what each becomes in a container.

docs/run-scripts.md is written from it (tools/run_scripts_page.py). How words are read is :mod:`swarm.scripts.words`',
what docker is told :mod:`swarm.scripts.plan`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

ROLES = ("sn", "sl", "swop", "swci")
RUN = tuple(f"run-{role}" for role in ROLES)
SN_P2P_PORT, SN_API_PORT, SL_FS_PORT = 30303, 30304, 30305
"""Ports inside the containers, whatever is published."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One switch of the scripts' own.

    Args:
        value: what follows it; "" for a switch without a value.
        told: what it does.
        env: the variable that tells the node.
        kind: how its value is judged: port, host, service, number, file, folder, text.
        inside: the port of the container that its port is published for.
        roles: scripts that have it.
    """

    name: str
    value: str
    told: str
    env: str = ""
    kind: str = "text"
    inside: int | None = None
    roles: tuple[str, ...] = ROLES


COMMON: tuple[Flag, ...] = (
    Flag("dry-run", "", "print the docker commands, start nothing"),
    Flag("sudo", "", "call docker by sudo"),
    Flag("detach", "", "do not stay attached to the container (also `-d`)"),
    Flag("image", "image", "another image than the platform's own"),
    Flag("registry", "registry", "registry and path before `swarm-learning/...` (also `SWARM_REGISTRY`)"),
    Flag("tag", "tag", "version of the image (also `SWARM_IMAGE_TAG`; default `dev`)"),
    Flag("cmd", "words", "words for the program in the container, split as a shell does"),
    Flag("sidecar", "name", "one more container beside the first: its own flags and docker options are `--name-...`"),
    Flag("pid-main", "", "for a sidecar: in the process namespace of the first container"),
    Flag("volumes-from-main", "", "for a sidecar: with all volumes of the first container"),
)
LICENCE: tuple[Flag, ...] = tuple(
    Flag(name, "value", "accepted, not used: no licence is needed")
    for name in (
        *("apls-ip", "apls-port", "primary-apls-ip", "primary-apls-port", "secondary-apls-ip", "secondary-apls-port"),
    )
)
IDENTITY: tuple[Flag, ...] = (
    Flag("cacert", "file", "certificate of the trusted CA", "SWARM_ID_CACERT", "file"),
    Flag("capath", "folder", "certificates of all trusted CAs", "SWARM_ID_CAPATH", "folder"),
    Flag("cert", "file", "this node's certificate", "SWARM_ID_CERT", "file"),
    Flag("key", "file", "this node's key, mode 0600", "SWARM_ID_KEY", "file"),
    Flag(
        "socket-path",
        "socket",
        "SPIFFE agent: its socket, `volume:path`, or its container",
        "SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH",
    ),
)
_SN, _SL, _SWOP, _SWCI, _THROUGH = ("sn",), ("sl",), ("swop",), ("swci",), ("sl", "swop")
OWN: tuple[Flag, ...] = (
    Flag("host-ip", "host", "address of this host for other nodes", "THIS_NODE_IP", "host", roles=("sn", "sl")),
    Flag("sentinel", "", "this SN is the sentinel: the first, which makes the chain", "SN_I_AM_SENTINEL", roles=_SN),
    Flag("sentinel-ip", "host", "address of the sentinel", "SENTINEL_NODE_IP", "host", roles=_SN),
    Flag("sentinel-api-port", "port", "its API port, if not 30304", "SENTINEL_API_SERVER_PORT", "port", roles=_SN),
    Flag(
        "sentinel-api-service",
        "name[:port]",
        "the sentinel behind a proxy",
        "SENTINEL_API_SERVICE",
        "service",
        roles=_SN,
    ),
    Flag("sn-api-port", "port", "API port; published as it is", "SN_API_SERVER_PORT", "port", roles=_SN),
    Flag("sn-api-service", "name[:port]", "the API behind a proxy", "SN_API_SERVICE", "service", SN_API_PORT, _SN),
    Flag("sn-p2p-port", "port", "port of the chain for others", "SN_ETH_PORT_EXT", "port", SN_P2P_PORT, _SN),
    Flag(
        "sn-p2p-service", "name[:port]", "the chain behind a proxy", "SN_ETH_P2P_SERVICE", "service", SN_P2P_PORT, _SN
    ),
    Flag("sn-ip", "host", "address of the SN to use", "SN_NODE_IP", "host", roles=_THROUGH),
    Flag("sn-api-port", "port", "its API port, if not 30304", "SN_API_SERVER_PORT", "port", roles=_THROUGH),
    Flag("sn-api-service", "name[:port]", "that SN behind a proxy", "SN_API_SERVICE", "service", roles=_THROUGH),
    Flag("sn-docker-name", "container", "the SN's container on this host, where no address is given", roles=_SL),
    Flag("sn-image", "image", "image by which a running SN is found, where nothing else is given", roles=_SL),
    Flag("sl-fs-port", "port", "port for other SLs", "SL_FS_PORT", "port", SL_FS_PORT, _SL),
    Flag("sl-fs-service", "name[:port]", "this SL behind a proxy", "SL_FS_SERVICE", "service", SL_FS_PORT, _SL),
    Flag(
        "usr-dir", "folder", "folder of this node's files; in the container `/platform/swarm/usr`", roles=_SWOP + _SWCI
    ),
    Flag("profile-file-name", "file", "the profile, in that folder", "SWOP_PROFILE", roles=_SWOP),
    Flag("docker-socket-file", "socket", "the engine's socket (default `/var/run/docker.sock`)", roles=_SWOP),
    Flag(
        "docker-group-id",
        "number",
        "group that may use it (default: the socket's)",
        "SWOP_DOCKER_GID",
        "number",
        None,
        _SWOP,
    ),
    Flag("swop-uid", "number", "user of ML programs (default: you)", "SWOP_UID", "number", roles=_SWOP),
    Flag("init-script-name", "file", "script that SWCI runs first, in that folder", "SWCI_STARTUP_SCRIPT", roles=_SWCI),
)
ALL: tuple[Flag, ...] = (*COMMON, *LICENCE, *IDENTITY, *OWN)
SIDECAR = {"image", "cmd", "pid-main", "volumes-from-main", "detach", *(flag.name for flag in LICENCE + IDENTITY)}
"""What of it a sidecar has as well."""


def flags_of(role: str) -> dict[str, Flag]:
    return {flag.name: flag for flag in ALL if role in flag.roles}
