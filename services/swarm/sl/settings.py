"""Settings of an SL: the original's flags and variables, and ours. Owns names, defaults, cross-checks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.errors import OperatorFault
from swarm.core.limits import FULL_QUORUM_SECONDS_DEFAULT, LEADER_FAILURE_SECONDS_DEFAULT
from swarm.core.options import Opt, load

FOREIGN_VARIABLES = (
    "SN_I_AM_SENTINEL",
    "SN_ETH_PORT_EXT",
    "SN_ETH_P2P_SERVICE",
    "SN_START_MINING",
    "SN_GETH_BIN",
    "SWARM_CHAIN",
    "SWARM_CHANNEL_WAIT_SECONDS",
    "SWARM_LOOPBACK",
    "SWARM_VER",
    "SWARMVER",
    "SWARM_REQUIRE",
    "SWARM_LOG_FORMAT",
    "SL_RAM_INTENSIVE",
    "SL_MODEL_PARAMS_COMPRESSION_THRESHOLD_MB",
)
"""Ours too, but of other processes, or without effect here."""

CHANNEL_FOLDER = Path("/tmp/channel")  # noqa: S108 - the original's place (row O05)
EXCHANGE_FOLDER = Path("/tmp/hpe-swarm")  # noqa: S108 - the original's place (row F03)

Port = Annotated[int, Field(ge=1, le=65535)]


class SlSettings(BaseModel):
    """A swarm learning node: takes part in training for one ML program at its side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host_ip: Annotated[str | None, Opt("--host-ip", env=("SL_HOST_IP", "THIS_NODE_IP"))] = Field(
        None, description="address or name under which other SLs reach this one", max_length=200
    )
    sn_ip: Annotated[str | None, Opt("--sn-ip", env="SN_NODE_IP")] = Field(
        None, description="address of the SN this node uses", max_length=255
    )
    sn_api_port: Annotated[Port, Opt("--sn-api-port", env="SN_API_SERVER_PORT", unit="TCP port")] = Field(
        30304, description="API port of that SN"
    )
    sn_api_service: Annotated[str | None, Opt("--sn-api-service", env="SN_API_SERVICE", unit="name:port")] = Field(
        None, description="API service of the SN behind a reverse proxy, instead of --sn-ip"
    )
    fs_port: Annotated[Port, Opt("--sl-fs-port", env="SL_FS_PORT", unit="TCP port")] = Field(
        30305, description="port of this node's file and peer server (mutual TLS)"
    )
    fs_service: Annotated[str | None, Opt("--sl-fs-service", env="SL_FS_SERVICE", unit="name:port")] = Field(
        None, description="name under which a reverse proxy offers that server (port 443 if none is given)"
    )
    request_channel: Annotated[Path, Opt("--request-channel", env="SL_REQUEST_CHANNEL", unit="named pipe")] = Field(
        CHANNEL_FOLDER / "request.channel", description="pipe from the ML program to this node"
    )
    response_channel: Annotated[Path, Opt("--response-channel", env="SL_RESPONSE_CHANNEL", unit="named pipe")] = Field(
        CHANNEL_FOLDER / "response.channel", description="pipe from this node to the ML program"
    )
    exchange_dir: Annotated[Path, Opt("--exchange-dir", env="SWARM_EXCHANGE_DIR", unit="folder")] = Field(
        EXCHANGE_FOLDER, description="folder shared with the ML program for model files"
    )
    make_me_admin: Annotated[bool, Opt("--make-me-admin", env="SL_MAKE_ME_ADMIN", unit="true or false")] = Field(
        True, description="false: never leader while another node can lead"
    )
    leader_failure_seconds: Annotated[
        float, Opt("--leader-failure-timeout", env="SL_LEADER_FAILURE_BASE_TIMEOUT", unit="seconds")
    ] = Field(LEADER_FAILURE_SECONDS_DEFAULT, description="a leader without progress for this long is replaced", gt=0)
    full_quorum_seconds: Annotated[
        float, Opt("--full-quorum-wait", env="SL_WAIT_FOR_FULL_QUORUM_SECONDS", unit="seconds")
    ] = Field(
        FULL_QUORUM_SECONDS_DEFAULT,
        description="how long a leader waits for slower nodes once minPeers are ready",
        ge=0,
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
        str | None, Opt("--apls-port", "--primary-apls-port", env="SWARM_LICENSE_AUTOPASSJ_SERVER_PRIMARY_PORT")
    ] = Field(None, description="accepted, no effect")
    licence_ip_2: Annotated[
        str | None, Opt("--secondary-apls-ip", env="SWARM_LICENSE_AUTOPASSJ_SERVER_SECONDARY_IP")
    ] = Field(None, description="accepted, no effect")
    licence_port_2: Annotated[
        str | None, Opt("--secondary-apls-port", env="SWARM_LICENSE_AUTOPASSJ_SERVER_SECONDARY_PORT")
    ] = Field(None, description="accepted, no effect")
    state_dir: Annotated[Path | None, Opt("--state-dir", env="SWARM_STATE_DIR", unit="folder")] = Field(
        None, description="keys, journal and blobs of this node, mode 0700 (default: ~/.local/state/swarm/sl)"
    )
    listen: Annotated[str, Opt("--listen", env="SWARM_LISTEN", unit="address")] = Field(
        "0.0.0.0",  # noqa: S104 - the peer server is for other hosts, behind mutual TLS
        description="address on which the peer server listens",
    )
    ops_port: Annotated[int, Opt("--ops-port", env="SWARM_OPS_PORT", unit="TCP port")] = Field(
        30391, description="port for health, waits, status, metrics (0: any free port)", ge=0, le=65535
    )
    ops_listen: Annotated[str, Opt("--ops-listen", env="SWARM_OPS_LISTEN", unit="address")] = Field(
        "127.0.0.1", description="address of that port; it has no login, so keep it inside the site"
    )
    sn_wait_seconds: Annotated[float, Opt("--sn-wait", env="SWARM_SN_WAIT_SECONDS", unit="seconds")] = Field(
        600.0, description="how long to wait for the SN at start", gt=0
    )
    key_password_file: Annotated[
        Path | None, Opt("--key-password-file", env="SWARM_KEY_PASSWORD_FILE", unit="file")
    ] = Field(None, description="password of this node's chain key (default: a random one kept beside the key)")
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Opt("--log-level", env=("SL_LOG_LEVEL", "SWARM_LOG_LEVEL"))
    ] = Field("INFO", description="least important log lines shown (SWARM_LOG_FORMAT=human|json|auto)")

    @model_validator(mode="after")
    def _together(self) -> SlSettings:
        if self.sn_ip is None and self.sn_api_service is None:
            raise ValueError("say which SN to use: --sn-ip (SN_NODE_IP) or --sn-api-service (SN_API_SERVICE)")
        if self.host_ip is None and self.fs_service is None:
            raise ValueError(
                "say where other SLs reach this one: --host-ip (SL_HOST_IP) or --sl-fs-service (SL_FS_SERVICE)"
            )
        if self.socket_path:
            raise ValueError(
                "--socket-path (SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH) is not offered yet: give --cert, "
                "--key and --cacert or --capath"
            )
        if self.cert is None or self.key is None:
            raise ValueError("no start without a certificate: give --cert (SWARM_ID_CERT) and --key (SWARM_ID_KEY)")
        if self.cacert is None and self.capath is None:
            raise ValueError("whom to trust is missing: give --cacert (SWARM_ID_CACERT) or --capath (SWARM_ID_CAPATH)")
        return self

    @property
    def sn_url(self) -> str:
        if self.sn_api_service is not None:
            name, _, port = self.sn_api_service.partition(":")
            return f"https://{name}:{port or 443}"
        return f"https://{_bracketed(self.sn_ip or '')}:{self.sn_api_port}"

    @property
    def own_uri(self) -> str:
        """Where other SLs find this node's blobs; it goes into the join event."""
        if self.fs_service is not None:
            name, _, port = self.fs_service.partition(":")
            return f"https://{name}:{port or 443}"
        return f"https://{_bracketed(self.host_ip or '')}:{self.fs_port}"

    @property
    def notices(self) -> list[str]:
        if any((self.licence_ip, self.licence_port, self.licence_ip_2, self.licence_port_2)):
            return ["the licence server's settings are accepted and ignored: no licence is needed"]
        return []


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def load_settings(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> SlSettings:
    """Flags, then environment, then defaults.

    Raises:
        OperatorFault: one line that names the setting and the fix.
    """
    env = dict(os.environ if environ is None else environ)
    settings = load(
        SlSettings, argv, env, prog="swarm sl", prefixes=("SL_", "SN_", "SWARM_"), foreign=FOREIGN_VARIABLES
    )
    if settings.state_dir is None:
        try:
            base = env.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        except RuntimeError as error:
            raise OperatorFault(f"no home folder to keep state in ({error}): give --state-dir") from None
        settings = settings.model_copy(update={"state_dir": Path(base) / "swarm" / "sl"})
    return settings
