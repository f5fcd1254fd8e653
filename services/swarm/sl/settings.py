"""Settings of an SL: the original's flags and variables, and ours. Owns names, defaults, cross-checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from swarm.core.limits import (
    FULL_QUORUM_SECONDS_DEFAULT,
    KEEP_ROUNDS,
    KEEP_ROUNDS_MAX,
    KEEP_ROUNDS_MIN,
    LEADER_FAILURE_SECONDS_DEFAULT,
    OPS_PORT_SL,
    PULL_GRACE_TIMES_DEFAULT,
    PULL_GRACE_TIMES_MAX,
    STRANDED_SECONDS_DEFAULT,
)
from swarm.core.options import Opt
from swarm.net.uri import SERVICE_PORT, node_url
from swarm.node.settings import LogLevel, Port, ShareLogs, ThroughSn, load_node_settings

FOREIGN_VARIABLES = (
    "SN_I_AM_SENTINEL",
    "SN_ETH_PORT_EXT",
    "SN_ETH_BIND_PORT",
    "SN_ETH_P2P_SERVICE",
    "SN_START_MINING",
    "SN_GETH_BIN",
    "SWARM_CHAIN",
    "SWARM_CHANNEL_WAIT_SECONDS",
)
"""Ours too, but of other processes."""

CHANNEL_FOLDER = Path("/tmp/channel")  # noqa: S108 - the original's place (row O05)
EXCHANGE_FOLDER = Path("/tmp/hpe-swarm")  # noqa: S108 - the original's place (row F03)


class SlSettings(ThroughSn):
    """A swarm learning node: takes part in training for one ML program at its side."""

    role = "sl"
    prefixes = ("SL_", "SN_", "SWARM_")
    foreign = FOREIGN_VARIABLES

    host_ip: Annotated[str | None, Opt("--host-ip", env=("SL_HOST_IP", "THIS_NODE_IP"))] = Field(
        None, description="address or name under which other SLs reach this one", max_length=200
    )
    fs_port: Annotated[Port, Opt("--sl-fs-port", env="SL_FS_PORT", unit="TCP port")] = Field(
        30305, description="port of this node's file and peer server (mutual TLS)"
    )
    fs_bind_port: Annotated[Port | None, Opt("--sl-fs-bind-port", env="SL_FS_BIND_PORT", unit="TCP port")] = Field(
        None,
        description="port that this node listens on, where another one is published for it (default: --sl-fs-port)",
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
    pull_grace_times: Annotated[
        float, Opt("--pull-grace-times", env="SL_PULL_GRACE_TIMES", unit="times the full quorum wait")
    ] = Field(
        PULL_GRACE_TIMES_DEFAULT,
        description="how much longer a leader waits for models that are still coming in",
        ge=0,
        le=PULL_GRACE_TIMES_MAX,
    )
    stranded_seconds: Annotated[
        float, Opt("--left-members-wait", env="SL_LEFT_MEMBERS_WAIT_SECONDS", unit="seconds")
    ] = Field(
        STRANDED_SECONDS_DEFAULT,
        description="how long a run with fewer members than minPeers waits for one that left for good to come back",
        ge=0,
    )
    program_return_seconds: Annotated[
        float, Opt("--program-return", env="SWARM_PROGRAM_RETURN_SECONDS", unit="seconds")
    ] = Field(
        30.0,
        description="how long an ML program that was killed may take to come back before this node leaves the run",
        ge=0,
    )
    strict: Annotated[bool, Opt("--strict", env="SL_STRICT", unit="true or false")] = Field(
        False, description="true: end with an error when a round was merged without one of the swarm's members"
    )
    ram_intensive: Annotated[bool, Opt("--ram-intensive", env="SL_RAM_INTENSIVE", unit="true or false")] = Field(
        True, description="false: merge in windows of an eighth, where memory is short (any method, same result)"
    )
    clip_norm: Annotated[Literal["off", "median"], Opt("--clip-norm", env="SL_CLIP_NORM")] = Field(
        "off", description="median: where a mean is asked for, clip each update to the round's median length first"
    )
    norm_log: Annotated[bool, Opt("--norm-log", env="SL_NORM_LOG", unit="true or false")] = Field(
        False, description="true: measure, log and show how far each contribution lies from the model before"
    )
    keep_rounds: Annotated[int, Opt("--keep-rounds", env="SL_KEEP_ROUNDS", unit="rounds")] = Field(
        KEEP_ROUNDS,
        description="of so many last rounds merged models and inputs stay on this node's disk",
        ge=KEEP_ROUNDS_MIN,
        le=KEEP_ROUNDS_MAX,
    )
    compression_threshold: Annotated[str | None, Opt(env="SL_MODEL_PARAMS_COMPRESSION_THRESHOLD_MB", unit="MB")] = (
        Field(None, description="accepted, no effect: model files are never compressed")
    )
    ops_port: Annotated[int, Opt("--ops-port", env="SWARM_OPS_PORT", unit="TCP port")] = Field(
        OPS_PORT_SL, description="port for health, waits, status, metrics (0: any free port)", ge=0, le=65535
    )
    task_attempt: Annotated[str | None, Opt("--task-attempt", env="SWARM_TASK_ATTEMPT", unit="name")] = Field(
        None, description="set by a SWOP: the attempt for which this node tells which run it joined", max_length=64
    )
    share_logs: ShareLogs = False
    log_level: Annotated[LogLevel, Opt("--log-level", env=("SL_LOG_LEVEL", "SWARM_LOG_LEVEL"))] = Field(
        "INFO", description="least important log lines shown (SWARM_LOG_FORMAT=human|json|auto)"
    )

    @model_validator(mode="after")
    def _together(self) -> SlSettings:
        if self.host_ip is None and self.fs_service is None:
            raise ValueError(
                "say where other SLs reach this one: --host-ip (SL_HOST_IP) or --sl-fs-service (SL_FS_SERVICE)"
            )
        _ = self.own_uri  # complains of what is no address
        return self

    @property
    def own_uri(self) -> str:
        """Where other SLs find this node's blobs; it goes into the join event."""
        if self.fs_service is not None:
            return node_url("--sl-fs-service", self.fs_service, SERVICE_PORT)
        return node_url("--host-ip", self.host_ip or "", self.fs_port, port_apart=True)

    @property
    def notices(self) -> list[str]:
        """One sentence for each group of settings that are accepted for compatibility and do nothing."""
        said = super().notices
        if self.compression_threshold is not None:
            said.append(
                "SL_MODEL_PARAMS_COMPRESSION_THRESHOLD_MB is accepted and has no effect: no model file is compressed"
            )
        return said


def load_settings(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> SlSettings:
    """Flags, then environment, then defaults.

    Raises:
        OperatorFault: one line that names the setting and the fix.
    """
    return load_node_settings(SlSettings, argv, environ)
