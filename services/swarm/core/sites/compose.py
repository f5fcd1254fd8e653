"""A site's compose file, from the inventory: what docker-compose 1.29 and the plug-in both read."""

from __future__ import annotations

from typing import Any

from ..limits import SWCI_WEB_PORT, SWOP_LOGS_PORT
from .inventory import FS_PORT, P2P_PORT, Inventory, SiteOf

FIRST = ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETPCAP", "SETUID"]
"""What an image needs of root at its start, to take the keys and become the node's user; it keeps none of it."""
CERTS = "/platform/swarm/certs"
STATE = "/platform/swarm/SMLNODE"
USR = "/platform/swarm/usr"


def compose_of(inventory: Inventory, site: SiteOf) -> dict[str, Any]:
    """Services, network and volumes of one site, as plain values."""
    services: dict[str, Any] = {}
    if site.sn is not None:
        services["sn"] = _sn(inventory, site)
    for number, port in enumerate(site.sls.ports if site.sls is not None else (), 1):
        services[f"sl{number}"] = _sl(inventory, site, number, port)
    if site.swop is not None:
        services["swop"] = _swop(inventory, site)
    if site.swci:
        services["swci"] = _swci(inventory, site)
    volumes = sorted(
        {one.split(":")[0] for service in services.values() for one in service["volumes"] if one[0] not in "./$"}
    )
    return {
        "version": "3.7",
        "services": services,
        "networks": {"swarm": {"name": network(inventory, site)}},
        "volumes": {name: {} for name in volumes},
    }


def network(inventory: Inventory, site: SiteOf) -> str:
    """Of the site's containers; those that its SWOP makes come into it."""
    return f"{inventory.swarm}-{site.name}"


def nodes_of(site: SiteOf) -> list[tuple[str, str]]:
    """Name and role of each node that has a certificate."""
    found = [("sn", "sn")] if site.sn is not None else []
    found += [(f"sl{n}", "sl") for n in range(1, 1 + len(site.sls.data if site.sls is not None else ()))]
    if site.swop is not None:
        found += [("swop", "swop"), *((f"pair{n}", "sl") for n in range(1, 1 + len(site.swop.data)))]
    return [*found, ("swci", "swci")] if site.swci else found


def _node(site: SiteOf, name: str, role: str) -> dict[str, Any]:
    return {
        "image": "${SWARM_IMAGES}/" + role + ":${SWARM_IMAGE_TAG}",
        "hostname": f"{site.name}-{name}",
        "init": True,
        "restart": "on-failure" if role == "sl" else "unless-stopped",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - in the container
        "cap_drop": ["ALL"],
        "cap_add": list(FIRST),
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": "40s",
        "networks": ["swarm"],
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "healthcheck": {
            "test": ["CMD", "swarm", "ready", role],
            "interval": "3s",
            "timeout": "30s",
            "retries": 10,
            "start_period": "60s",
        },
        "volumes": [f"./certs/{name}:{CERTS}:ro", f"{name}-state:{STATE}"],
    }


def _identity() -> dict[str, str]:
    return {
        "SWARM_ID_CACERT": f"{CERTS}/ca-cert.pem",
        "SWARM_ID_CERT": f"{CERTS}/cert.pem",
        "SWARM_ID_KEY": f"{CERTS}/key.pem",
    }


def _its_sn(inventory: Inventory, site: SiteOf) -> dict[str, str]:
    """The site's own SN by the site's network, else the sentinel; others are learnt from the chain."""
    if site.sn is not None:
        return {"SN_NODE_IP": "sn", "SN_API_SERVER_PORT": str(site.sn.api_port)}
    first = inventory.sentinel
    assert first.sn is not None
    return {"SN_NODE_IP": first.host, "SN_API_SERVER_PORT": str(first.sn.api_port)}


def _sn(inventory: Inventory, site: SiteOf) -> dict[str, Any]:
    sn, first = site.sn, inventory.sentinel
    assert sn is not None
    assert first.sn is not None
    environment = {
        "THIS_NODE_IP": site.host,
        "SN_API_SERVER_PORT": str(sn.api_port),
        "SN_ETH_PORT_EXT": str(sn.p2p_port),
        "SWARM_CHAIN": "geth",
        **_identity(),
    }
    if site is first:
        environment["SN_I_AM_SENTINEL"] = "true"
    else:
        environment |= {"SENTINEL_NODE_IP": first.host, "SENTINEL_API_SERVER_PORT": str(first.sn.api_port)}
    ports = [f"{sn.api_port}:{sn.api_port}", f"{sn.p2p_port}:{P2P_PORT}"]
    return {**_node(site, "sn", "sn"), "environment": environment, "ports": ports}


def _sl(inventory: Inventory, site: SiteOf, number: int, port: int) -> dict[str, Any]:
    name = f"sl{number}"
    made = _node(site, name, "sl")
    made["volumes"] += [f"{name}-channel:/tmp/channel", f"{name}-exchange:/tmp/hpe-swarm"]
    environment = {
        "THIS_NODE_IP": site.host,
        "SL_FS_PORT": str(port),
        **_its_sn(inventory, site),
        **_identity(),
    }
    return {**made, "environment": environment, "ports": [f"{port}:{FS_PORT}"]}


def _swop(inventory: Inventory, site: SiteOf) -> dict[str, Any]:
    made = _node(site, "swop", "swop")
    made["volumes"] += ["./usr:" + USR + ":ro", "${SWARM_DOCKER_SOCKET:-/var/run/docker.sock}:/var/run/docker.sock"]
    environment = {
        "SWOP_PROFILE": "swop-profile.yaml",
        "SWOP_SL_IMAGE": "${SWARM_IMAGES}/sl:${SWARM_IMAGE_TAG}",
        "THIS_NODE_IP": site.host,
        "SWOP_LOGS_PORT": str(SWOP_LOGS_PORT),
        **_its_sn(inventory, site),
        **_identity(),
    }
    return {**made, "environment": environment, "ports": [f"{SWOP_LOGS_PORT}:{SWOP_LOGS_PORT}"]}


def _swci(inventory: Inventory, site: SiteOf) -> dict[str, Any]:
    made = _node(site, "swci", "swci")
    made["volumes"] += ["./usr:" + USR]
    environment = {"SWCI_MODE": "WEB", **_its_sn(inventory, site), **_identity()}
    # Its face is for operators of this host: whoever reaches it holds an operator's rights with a certificate.
    return {**made, "environment": environment, "ports": [f"127.0.0.1:{SWCI_WEB_PORT}:{SWCI_WEB_PORT}"]}
