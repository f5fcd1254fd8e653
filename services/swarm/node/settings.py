"""Settings that every node process has: identity, state folder, operations port, logs, the licence server's names.

Owns what two nodes declare alike, and how flags and variables become settings; each node adds its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.errors import OperatorFault
from swarm.core.limits import SN_API_PORT
from swarm.core.options import Opt, build, load

from .sn_list import sn_urls

Port = Annotated[int, Field(ge=1, le=65535)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

ShareLogs = Annotated[
    bool,
    Opt("--share-logs", env="SWARM_SHARE_LOGS", unit="true or false"),
    Field(description="true: operators of the swarm (role swci) may read this node's last log lines (LOGS)"),
]

OF_EVERY_PROCESS = (
    "SWARM_LOOPBACK",
    "SWARM_VER",
    "SWARM_TAKEN_FROM",
    "SWARMVER",
    "SWARM_REQUIRE",
    "SWARM_LOG_FORMAT",
    "SWARM_SHARE_LOGS",
)
"""Variables of the platform that no node has as a setting (the SDK's, the tests', or read before the settings)."""


class NodeSettings(BaseModel):
    """What the settings of every node share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: ClassVar[str]
    """The name of the default state folder, and of the sub-command unless ``command`` is set."""
    command: ClassVar[str] = ""
    prefixes: ClassVar[tuple[str, ...]]
    """Variables that begin so are ours: one that looks like a typo is refused."""
    foreign: ClassVar[tuple[str, ...]] = ()
    """Variables with those prefixes that other processes of the platform own."""

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
    state_dir: Annotated[Path | None, Opt("--state-dir", env="SWARM_STATE_DIR", unit="folder")] = Field(
        None, description="keys, journal and data of this node, mode 0700 (default: ~/.local/state/swarm/<role>)"
    )
    listen: Annotated[str, Opt("--listen", env="SWARM_LISTEN", unit="address")] = Field(
        "0.0.0.0",  # noqa: S104 - other hosts' nodes come here, behind mutual TLS
        description="address on which this node listens for other nodes",
    )
    ops_listen: Annotated[str, Opt("--ops-listen", env="SWARM_OPS_LISTEN", unit="address")] = Field(
        "127.0.0.1", description="address of the operations port; it has no login, so keep it inside the site"
    )
    key_password_file: Annotated[
        Path | None, Opt("--key-password-file", env="SWARM_KEY_PASSWORD_FILE", unit="file")
    ] = Field(None, description="password of this node's chain key (default: a random one kept beside the key)")
    log_level: Annotated[LogLevel, Opt("--log-level", env="SWARM_LOG_LEVEL")] = Field(
        "INFO", description="least important log lines shown (SWARM_LOG_FORMAT=human|json|auto)"
    )

    @model_validator(mode="after")
    def _identity_is_given(self) -> NodeSettings:
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
    def notices(self) -> list[str]:
        """One sentence for each group of settings that are accepted for compatibility and do nothing."""
        if any((self.licence_ip, self.licence_port, self.licence_ip_2, self.licence_port_2)):
            return ["the licence server's settings are accepted and ignored: no licence is needed"]
        return []

    @classmethod
    def default_state_folder(cls, environ: Mapping[str, str]) -> Path:
        """Where this kind of node keeps its state if nobody says.

        Raises:
            OperatorFault: the user has no home folder.
        """
        try:
            base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        except RuntimeError as error:
            raise OperatorFault(f"no home folder to keep state in ({error}): give --state-dir") from None
        return Path(base) / "swarm" / cls.role


class ThroughSn(NodeSettings):
    """What the settings of every node share that reaches the chain through an SN."""

    sn_ip: Annotated[str | None, Opt("--sn-ip", env="SN_NODE_IP")] = Field(
        None,
        description="address of the SN this node uses, or several, comma separated, the preferred first; each may name "
        "its port; SNs that announce themselves are used as well when these fail",
        max_length=4000,
    )
    sn_api_port: Annotated[Port, Opt("--sn-api-port", env="SN_API_SERVER_PORT", unit="TCP port")] = Field(
        SN_API_PORT, description="API port of that SN"
    )
    sn_api_service: Annotated[str | None, Opt("--sn-api-service", env="SN_API_SERVICE", unit="name:port")] = Field(
        None, description="API service of the SN behind a reverse proxy, or several, instead of --sn-ip"
    )
    sn_wait_seconds: Annotated[float, Opt("--sn-wait", env="SWARM_SN_WAIT_SECONDS", unit="seconds")] = Field(
        600.0, description="how long to wait for the SN at start", gt=0
    )

    @model_validator(mode="after")
    def _an_sn_is_named(self) -> ThroughSn:
        if not self.sn_urls:
            raise ValueError("say which SN to use: --sn-ip (SN_NODE_IP) or --sn-api-service (SN_API_SERVICE)")
        return self

    @property
    def sn_urls(self) -> list[str]:
        """The SNs to use, the preferred first."""
        return sn_urls(self.sn_ip, self.sn_api_service, self.sn_api_port)


S = TypeVar("S", bound=NodeSettings)


def load_node_settings(model: type[S], argv: Sequence[str], environ: Mapping[str, str] | None) -> S:
    """Flags, then environment (None: the process's), then defaults; ``state_dir`` is always set in the result.

    Raises:
        OperatorFault: one line that names the setting and the fix.
    """
    env = dict(os.environ if environ is None else environ)
    prog = f"swarm {model.command or model.role}"
    foreign = (*OF_EVERY_PROCESS, *model.foreign)
    return _at_home(load(model, argv, env, prog=prog, prefixes=model.prefixes, foreign=foreign), env)


def node_settings_of(model: type[S], given: Mapping[str, Any], environ: Mapping[str, str]) -> S:
    """As :func:`load_node_settings`, of flags that were read already, by field."""
    foreign = (*OF_EVERY_PROCESS, *model.foreign)
    return _at_home(build(model, given, environ, prefixes=model.prefixes, foreign=foreign), environ)


def _at_home(settings: S, environ: Mapping[str, str]) -> S:
    if settings.state_dir is not None:
        return settings
    return settings.model_copy(update={"state_dir": type(settings).default_state_folder(environ)})
