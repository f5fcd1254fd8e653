"""Settings of a SWOP (rows O06, E12): the original's flags and variables, and ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from swarm.core.limits import OPS_PORT_SWOP, SWOP_LOGS_PORT
from swarm.core.options import Opt
from swarm.net.uri import node_url
from swarm.node.settings import Port, ShareLogs, ThroughSn, load_node_settings


class SwopSettings(ThroughSn):
    """A swarm operator node: turns tasks into images, volumes and containers of this host."""

    role = "swop"
    prefixes: ClassVar[tuple[str, ...]] = ("SWOP_",)

    usr_dir: Annotated[Path, Opt("--usr-dir", env="USR_DIR", unit="folder")] = Field(
        Path("/platform/swarm/usr"), description="folder of the profile, the policy and the secrets"
    )
    profile: Annotated[Path | None, Opt("--profile", "--profile-file-name", env="SWOP_PROFILE", unit="file")] = Field(
        None, description="the SWOP profile: how this site runs what tasks say; relative to --usr-dir"
    )
    policy: Annotated[str | None, Opt("--policy", env="SWOP_POLICY", unit="file, or compatible")] = Field(
        None,
        description="which tasks this site takes: a file of rules, relative to --usr-dir, or compatible (every task, "
        "as the original does; default: the profile's policyuri, else none: every task is refused)",
    )
    secrets: Annotated[Path | None, Opt("--secrets", env="SWOP_SECRETS", unit="file")] = Field(
        None, description="values of secret:<name> (NAME: value, mode 0600), relative to --usr-dir"
    )
    sl_image: Annotated[str | None, Opt("--sl-image", env="SWOP_SL_IMAGE", unit="image")] = Field(
        None, description="image of the SLs (default: the sl image beside this SWOP's own)"
    )
    docker: Annotated[str | None, Opt("--docker-socket-file", env="DOCKER_HOST", unit="file or address")] = Field(
        None, description="socket of the container engine (default: /var/run/docker.sock)"
    )
    uid: Annotated[int | None, Opt("--swop-uid", env="SWOP_UID", unit="number")] = Field(
        None, description="user id of ML programs (default: as in their image)", ge=0
    )
    gid: Annotated[int | None, Opt("--swop-gid", env="SWOP_GID", unit="number")] = Field(
        None, description="group id of ML programs", ge=0
    )
    docker_gid: Annotated[int | None, Opt("--docker-group-id", env="SWOP_DOCKER_GID", unit="number")] = Field(
        None, description="accepted, no effect inside: give this container the socket's group (docker run --group-add)"
    )
    keep_containers: Annotated[bool, Opt("--keep-containers", env="SWOP_KEEP_CONTAINERS", unit="true or false")] = (
        Field(False, description="true: containers of programs that have ended stay, for a look by hand")
    )
    may_stay_alone: Annotated[bool, Opt("--allow-alone", env="SWOP_ALLOW_ALONE", unit="true or false")] = Field(
        False, description="true: a program that ends well and never joined a run counts as a success"
    )
    host_ip: Annotated[str | None, Opt("--host-ip", env=("SWOP_HOST_IP", "THIS_NODE_IP"))] = Field(
        None,
        description="address at which operators of other hosts reach this node for what it shares (default: nothing "
        "is offered)",
    )
    logs_port: Annotated[Port, Opt("--logs-port", env="SWOP_LOGS_PORT", unit="TCP port")] = Field(
        SWOP_LOGS_PORT, description="port of what it shares; with --host-ip"
    )
    share_logs: ShareLogs = False
    ops_port: Annotated[int, Opt("--ops-port", env="SWARM_OPS_PORT", unit="TCP port")] = Field(
        OPS_PORT_SWOP, description="port for health, waits, status, metrics (0: any free port)", ge=0, le=65535
    )

    @model_validator(mode="after")
    def _an_sn_is_named(self) -> SwopSettings:
        """It may be named in the profile alone."""
        return self

    @model_validator(mode="after")
    def _complete(self) -> SwopSettings:
        if self.profile is None:
            raise ValueError("say which profile to use: --profile-file-name (SWOP_PROFILE)")
        if self.gid is not None and self.uid is None:
            raise ValueError("--swop-gid (SWOP_GID) needs --swop-uid (SWOP_UID)")
        return self

    @property
    def user(self) -> str | None:
        """Of ML programs, as an engine takes it."""
        return None if self.uid is None else f"{self.uid}:{self.uid if self.gid is None else self.gid}"

    @property
    def logs_url(self) -> str:
        """Where operators read what this node shares; empty: nowhere."""
        return "" if self.host_ip is None else node_url("--host-ip", self.host_ip, self.logs_port, port_apart=True)

    def inside(self, path: Path) -> Path:
        """A relative path is one in USR_DIR, as the original's."""
        return self.usr_dir / path

    @property
    def notices(self) -> list[str]:
        said = super().notices
        if self.docker_gid is not None:
            said.append("SWOP_DOCKER_GID is accepted and has no effect here: the container's start gives it the group")
        return said


def load_settings(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> SwopSettings:
    """Flags, then environment, then defaults.

    Raises:
        OperatorFault: one line that names the setting and the fix.
    """
    return load_node_settings(SwopSettings, argv, environ)
