"""Settings of an SN: the original's flags and variables, and ours. Owns names, defaults, cross-checks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.errors import OperatorFault
from swarm.core.options import Opt, load

ORIGINAL_STATE_FOLDER = Path("/platform/swarm/SMLNODE")
"""Where the original's containers keep the chain (row O03); used by itself when it is mounted."""
FOREIGN_VARIABLES = (
    "SN_NODE_IP",
    "SWARM_LOOPBACK",
    "SWARM_EXCHANGE_DIR",
    "SWARM_VER",
    "SWARMVER",
    "SWARM_REQUIRE",
    "SWARM_LOG_FORMAT",
)
"""Ours too, but of other processes (or read before the settings)."""

Port = Annotated[int, Field(ge=1, le=65535)]


def default_state_folder(environ: Mapping[str, str]) -> Path:
    if ORIGINAL_STATE_FOLDER.is_dir():
        return ORIGINAL_STATE_FOLDER
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "swarm" / "sn"


class SnSettings(BaseModel):
    """A swarm network node: keeps the chain, admits members, gives other nodes their way to the chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
        Field(30304, description="API port of the sentinel")
    )
    sentinel_api_service: Annotated[
        str | None, Opt("--sentinel-api-service", env="SENTINEL_API_SERVICE", unit="name:port")
    ] = Field(None, description="API service of the sentinel behind a reverse proxy")
    api_port: Annotated[Port, Opt("--sn-api-port", env="SN_API_SERVER_PORT", unit="TCP port")] = Field(
        30304, description="port of the API (mutual TLS)"
    )
    api_service: Annotated[str | None, Opt("--sn-api-service", env="SN_API_SERVICE", unit="name:port")] = Field(
        None, description="name under which a reverse proxy offers the API"
    )
    p2p_port: Annotated[Port, Opt("--sn-p2p-port", env="SN_ETH_PORT_EXT", unit="TCP port")] = Field(
        30303, description="port on which chain nodes talk to each other (geth only)"
    )
    p2p_service: Annotated[str | None, Opt("--sn-p2p-service", env="SN_ETH_P2P_SERVICE", unit="name:port")] = Field(
        None, description="name under which a reverse proxy offers the chain port"
    )
    start_mining: Annotated[bool, Opt("--sn-start-mining", env="SN_START_MINING", switch=True)] = Field(
        False, description="accepted, no effect: who seals blocks follows from the chain"
    )
    cacert: Annotated[Path | None, Opt("--cacert", env="SWARM_ID_CACERT", unit="PEM file")] = Field(
        None, description="certificate authority that is trusted"
    )
    capath: Annotated[Path | None, Opt("--capath", env="SWARM_ID_CAPATH", unit="folder")] = Field(
        None, description="folder of trusted certificate authorities (PEM files of any name)"
    )
    cert: Annotated[Path | None, Opt("--cert", env="SWARM_ID_CERT", unit="PEM file")] = Field(
        None, description="this node's certificate"
    )
    key: Annotated[Path | None, Opt("--key", env="SWARM_ID_KEY", unit="PEM file")] = Field(
        None, description="private key of the certificate (mode 0600)"
    )
    socket_path: Annotated[
        str | None, Opt("--socket-path", env="SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH", unit="socket")
    ] = Field(None, description="SPIFFE workload API; not offered yet, use --cert and --key")
    licence_ip: Annotated[
        str | None, Opt("--apls-ip", "--primary-apls-ip", env="SWARM_LICENSE_AUTOPASSJ_SERVER_PRIMARY_IP")
    ] = Field(None, description="accepted, no effect: no licence server is needed")
    licence_port: Annotated[
        str | None,
        Opt("--apls-port", "--primary-apls-port", env="SWARM_LICENSE_AUTOPASSJ_SERVER_PRIMARY_PORT"),
    ] = Field(None, description="accepted, no effect")
    licence_ip_2: Annotated[
        str | None, Opt("--secondary-apls-ip", env="SWARM_LICENSE_AUTOPASSJ_SERVER_SECONDARY_IP")
    ] = Field(None, description="accepted, no effect")
    licence_port_2: Annotated[
        str | None, Opt("--secondary-apls-port", env="SWARM_LICENSE_AUTOPASSJ_SERVER_SECONDARY_PORT")
    ] = Field(None, description="accepted, no effect")
    chain: Annotated[Literal["embedded", "geth"], Opt("--chain", env="SWARM_CHAIN")] = Field(
        "embedded", description="embedded: a chain inside this process (one SN); geth: a supervised geth"
    )
    state_dir: Annotated[Path | None, Opt("--state-dir", env="SWARM_STATE_DIR", unit="folder")] = Field(
        None,
        description="chain, keys and journal of this node, mode 0700 "
        "(default: /platform/swarm/SMLNODE where it is mounted, else ~/.local/state/swarm/sn)",
    )
    listen: Annotated[str, Opt("--listen", env="SWARM_LISTEN", unit="address")] = Field(
        "0.0.0.0",  # noqa: S104 - the API is for other hosts, behind mutual TLS
        description="address on which the API listens",
    )
    ops_port: Annotated[int, Opt("--ops-port", env="SWARM_OPS_PORT", unit="TCP port")] = Field(
        30390, description="port for health, waits, status, metrics (0: any free port)", ge=0, le=65535
    )
    ops_listen: Annotated[str, Opt("--ops-listen", env="SWARM_OPS_LISTEN", unit="address")] = Field(
        "127.0.0.1", description="address of that port; it has no login, so keep it inside the site"
    )
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
        description="time between blocks of geth; 0 (the default) seals on demand: for one SN only",
        ge=0,
        le=60,
    )
    geth_bin: Annotated[Path | None, Opt("--geth-bin", env="SN_GETH_BIN", unit="file")] = Field(
        None, description="the geth program (default: geth on PATH)"
    )
    key_password_file: Annotated[
        Path | None, Opt("--key-password-file", env="SWARM_KEY_PASSWORD_FILE", unit="file")
    ] = Field(None, description="password of this node's chain key (default: a random one kept beside the key)")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Opt("--log-level", env="SWARM_LOG_LEVEL")] = (
        Field("INFO", description="least important log lines shown (SWARM_LOG_FORMAT=human|json|auto)")
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
        if not self.sentinel:
            raise ValueError("a second SN is not offered yet: start this one with --sentinel, and one SN per swarm")
        if self.socket_path:
            raise ValueError(
                "--socket-path (SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH) is not offered yet: give --cert, "
                "--key and --cacert or --capath"
            )
        if self.cert is None or self.key is None:
            raise ValueError("no start without a certificate: give --cert (SWARM_ID_CERT) and --key (SWARM_ID_KEY)")
        if self.cacert is None and self.capath is None:
            raise ValueError("whom to trust is missing: give --cacert (SWARM_ID_CACERT) or --capath (SWARM_ID_CAPATH)")
        if self.api_port == self.ops_port:
            raise ValueError(f"--sn-api-port and --ops-port are both {self.api_port}: give them different ports")
        return self

    @property
    def notices(self) -> list[str]:
        """One sentence for each group of settings that are accepted for compatibility and do nothing."""
        said = []
        if self.start_mining:
            said.append("SN_START_MINING is accepted and has no effect: who seals blocks follows from the chain")
        if any((self.licence_ip, self.licence_port, self.licence_ip_2, self.licence_port_2)):
            said.append("the licence server's settings are accepted and ignored: no licence is needed")
        return said


def load_settings(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> SnSettings:
    """Flags, then environment, then defaults.

    Raises:
        OperatorFault: one line that names the setting and the fix.
    """
    env = dict(os.environ if environ is None else environ)
    settings = load(
        SnSettings,
        argv,
        env,
        prog="swarm sn",
        prefixes=("SN_", "SWARM_", "SENTINEL_"),
        foreign=FOREIGN_VARIABLES,
    )
    if settings.state_dir is None:
        try:
            settings = settings.model_copy(update={"state_dir": default_state_folder(env)})
        except RuntimeError as error:
            raise OperatorFault(f"no home folder to keep state in ({error}): give --state-dir") from None
    return settings
