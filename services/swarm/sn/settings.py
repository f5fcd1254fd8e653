"""Settings of an SN: the original's flags and variables, and ours. Owns names, defaults, cross-checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from swarm.chain.geth.peers import networks
from swarm.core.limits import (
    OPS_PORT_SN,
    RESCUE_AFTER_SECONDS_MAX,
    RESCUE_AFTER_SECONDS_MIN,
    SN_API_PORT,
    TASK_LEASE_SECONDS_MAX,
    TASK_LEASE_SECONDS_MIN,
)
from swarm.core.options import Opt
from swarm.net.uri import SERVICE_PORT, node_url, parse_uri
from swarm.node.settings import NodeSettings, Port, ShareLogs, load_node_settings

ORIGINAL_STATE_FOLDER = Path("/platform/swarm/SMLNODE")
"""Where the original's containers keep the chain (row O03); used by itself when it is mounted."""
SN_DEAD_SECONDS = 60.0
P2P_SERVICE_PORT = 30303
"""Of a reverse proxy's name that is given without a port."""
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
FOREIGN_VARIABLES = (
    "SN_NODE_IP",
    "SWARM_EXCHANGE_DIR",
)
"""Ours too, but of other processes (or read before the settings)."""


class SnSettings(NodeSettings):
    """A swarm network node: keeps the chain, admits members, gives other nodes their way to the chain."""

    role = "sn"
    prefixes = ("SN_", "SWARM_", "SENTINEL_")
    foreign = FOREIGN_VARIABLES

    host_ip: Annotated[str | None, Opt("--host-ip", env="THIS_NODE_IP")] = Field(
        None, description="address or name under which other nodes reach this one", max_length=255
    )
    sentinel: Annotated[bool, Opt("--sentinel", env="SN_I_AM_SENTINEL", switch=True)] = Field(
        False, description="this is the sentinel: the first SN, which makes the chain"
    )
    sentinel_ip: Annotated[str | None, Opt("--sentinel-ip", env="SENTINEL_NODE_IP")] = Field(
        None, description="address of the sentinel, for every other SN"
    )
    sentinel_api_port: Annotated[Port, Opt("--sentinel-api-port", env="SENTINEL_API_SERVER_PORT", unit="TCP port")] = (
        Field(SN_API_PORT, description="API port of the sentinel")
    )
    sentinel_api_service: Annotated[
        str | None, Opt("--sentinel-api-service", env="SENTINEL_API_SERVICE", unit="name:port")
    ] = Field(None, description="API service of the sentinel behind a reverse proxy")
    api_port: Annotated[Port, Opt("--sn-api-port", env="SN_API_SERVER_PORT", unit="TCP port")] = Field(
        SN_API_PORT, description="port of the API (mutual TLS)"
    )
    api_service: Annotated[str | None, Opt("--sn-api-service", env="SN_API_SERVICE", unit="name:port")] = Field(
        None, description="name under which a reverse proxy offers the API"
    )
    p2p_port: Annotated[Port, Opt("--sn-p2p-port", env="SN_ETH_PORT_EXT", unit="TCP port")] = Field(
        30303, description="port on which chain nodes talk to each other (geth only)"
    )
    p2p_bind_port: Annotated[Port | None, Opt("--sn-p2p-bind-port", env="SN_ETH_BIND_PORT", unit="TCP port")] = Field(
        None,
        description="port that the chain listens on, where another one is published for it (default: --sn-p2p-port)",
    )
    p2p_service: Annotated[str | None, Opt("--sn-p2p-service", env="SN_ETH_P2P_SERVICE", unit="name:port")] = Field(
        None, description="name under which a reverse proxy offers the chain port"
    )
    start_mining: Annotated[bool, Opt("--sn-start-mining", env="SN_START_MINING", switch=True)] = Field(
        False, description="accepted, no effect: who seals blocks follows from the chain"
    )
    chain: Annotated[Literal["embedded", "geth"], Opt("--chain", env="SWARM_CHAIN")] = Field(
        "embedded", description="embedded: a chain inside this process (one SN); geth: a supervised geth, for several"
    )
    state_dir: Annotated[Path | None, Opt("--state-dir", env="SWARM_STATE_DIR", unit="folder")] = Field(
        None,
        description="chain, keys and journal of this node, mode 0700 "
        "(default: /platform/swarm/SMLNODE where it is mounted, else ~/.local/state/swarm/sn)",
    )
    ops_port: Annotated[int, Opt("--ops-port", env="SWARM_OPS_PORT", unit="TCP port")] = Field(
        OPS_PORT_SN, description="port for health, waits, status, metrics (0: any free port)", ge=0, le=65535
    )
    share_logs: ShareLogs = False
    admission: Annotated[Literal["open", "approve"] | None, Opt("--admission", env="SWARM_ADMISSION")] = Field(
        None,
        description="open: any certificate under the trusted authorities may join; approve: an operator "
        "confirms each (swarm approve) (default: open with one trusted authority, approve with more)",
    )
    member_days: Annotated[int | None, Opt("--member-days", env="SWARM_MEMBER_DAYS", unit="days")] = Field(
        None,
        description="longest membership before a node must join again (default: its certificate's life)",
        ge=1,
    )
    block_period: Annotated[int | None, Opt("--block-period", env="SWARM_BLOCK_PERIOD", unit="seconds")] = Field(
        None,
        description="time between blocks of geth; 0 (the default) seals on demand until a second SN comes: then 1",
        ge=0,
        le=60,
    )
    rescue_after: Annotated[int | None, Opt("--rescue-after", env="SWARM_RESCUE_AFTER_SECONDS", unit="seconds")] = (
        Field(
            None,
            description="how long a call for vanished members waits before the others go on without them; "
            "fixed at the sentinel's first start (default: 120)",
            ge=RESCUE_AFTER_SECONDS_MIN,
            le=RESCUE_AFTER_SECONDS_MAX,
        )
    )
    task_lease: Annotated[int | None, Opt("--task-lease", env="SWARM_TASK_LEASE_SECONDS", unit="seconds")] = Field(
        None,
        description="how long a peer of a task may be silent before whoever wants its task runner may end the "
        "assignment; fixed at the sentinel's first start (default: 120)",
        ge=TASK_LEASE_SECONDS_MIN,
        le=TASK_LEASE_SECONDS_MAX,
    )
    p2p_allow: Annotated[str | None, Opt("--p2p-allow", env="SWARM_P2P_ALLOW", unit="networks")] = Field(
        None,
        description="networks whose chain nodes may connect, comma separated (default: the addresses of admitted "
        "SNs, each a restart of geth when it comes)",
    )
    sn_dead_after: Annotated[float, Opt("--sn-dead-after", env="SWARM_SN_DEAD_SECONDS", unit="seconds")] = Field(
        SN_DEAD_SECONDS,
        description="an SN that neither answers nor seals for this long is voted out of the sealers",
        ge=3,
        le=3600,
    )
    geth_bin: Annotated[Path | None, Opt("--geth-bin", env="SN_GETH_BIN", unit="file")] = Field(
        None, description="the geth program (default: geth on PATH)"
    )

    @model_validator(mode="after")
    def _together(self) -> SnSettings:
        if self.sentinel and (self.sentinel_ip or self.sentinel_api_service):
            raise ValueError(
                "--sentinel (SN_I_AM_SENTINEL) says this node is the sentinel, --sentinel-ip or "
                "--sentinel-api-service that another one is: give one of them"
            )
        if not self.sentinel and not (self.sentinel_ip or self.sentinel_api_service):
            raise ValueError(
                "say which SN is the sentinel: --sentinel (SN_I_AM_SENTINEL=true) if it is this one, "
                "else --sentinel-ip or --sentinel-api-service"
            )
        if not self.sentinel and self.chain == "embedded":
            raise ValueError(
                "an embedded chain lives in one SN: give this one --chain geth (SWARM_CHAIN=geth), and begin the "
                "sentinel's swarm with --chain geth as well"
            )
        if not self.sentinel and (self.own_uri is None or self.own_p2p is None):
            raise ValueError(
                "say where other SNs reach this one: --host-ip (THIS_NODE_IP), or --sn-api-service and --sn-p2p-service"
            )
        # These complain of what is no address.
        networks(self.p2p_allow or "")
        _ = self.own_uri, self.own_p2p, None if self.sentinel else self.sentinel_url
        if self.api_port == self.ops_port:
            raise ValueError(f"--sn-api-port and --ops-port are both {self.api_port}: give them different ports")
        return self

    @property
    def sentinel_url(self) -> str:
        if self.sentinel_api_service is not None:
            return node_url("--sentinel-api-service", self.sentinel_api_service, SERVICE_PORT)
        return node_url("--sentinel-ip", self.sentinel_ip or "", self.sentinel_api_port)

    @property
    def own_uri(self) -> str | None:
        """Where other nodes reach this one's API; None if nobody said."""
        if self.api_service is not None:
            return node_url("--sn-api-service", self.api_service, SERVICE_PORT)
        host = self._own_host
        return None if host is None else node_url("--host-ip", host, self.api_port, port_apart=True)

    @property
    def own_p2p(self) -> tuple[str, int] | None:
        """Host and port of this node's chain port, as others reach it; None if nobody said."""
        if self.p2p_service is not None:
            return parse_uri(node_url("--sn-p2p-service", self.p2p_service, P2P_SERVICE_PORT))
        return None if self._own_host is None else (self._own_host, self.p2p_port)

    @property
    def _own_host(self) -> str | None:
        return self.host_ip or (None if self.listen in EVERYWHERE else self.listen)

    @property
    def notices(self) -> list[str]:
        """One sentence for each group of settings that are accepted for compatibility and do nothing."""
        said = super().notices
        if self.start_mining:
            said.append("SN_START_MINING is accepted and has no effect: who seals blocks follows from the chain")
        return said

    @classmethod
    def default_state_folder(cls, environ: Mapping[str, str]) -> Path:
        if ORIGINAL_STATE_FOLDER.is_dir():
            return ORIGINAL_STATE_FOLDER
        return super().default_state_folder(environ)


def load_settings(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> SnSettings:
    """Flags, then environment, then defaults.

    Raises:
        OperatorFault: one line that names the setting and the fix.
    """
    return load_node_settings(SnSettings, argv, environ)
