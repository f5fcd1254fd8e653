"""Settings of SWCI (row E11), and how the process begins with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from swarm.core.limits import SN_API_PORT, SWCI_WEB_PORT
from swarm.core.options import Opt
from swarm.node.settings import NodeSettings, Port
from swarm.node.sn_list import sn_urls

from .callers import OPERATORS, VIEWERS
from .folder import ALIAS
from .session import GENERIC_WAIT, MINUTES_MAX, OLD_WAIT, RUN_WAIT, Limits

Minutes = Annotated[int, Field(ge=1, le=MINUTES_MAX)]


class SwciSettings(NodeSettings):
    """The operator's shell: commands from the keyboard, a pipe, a script, or -c. HELP lists them."""

    role = "swci"
    prefixes: ClassVar[tuple[str, ...]] = ("SWCI_",)

    line: Annotated[str | None, Opt("-c", "--command", unit="line", lines=True)] = Field(
        None, description="execute this line, or these lines, and end with the exit code of the last one"
    )
    script: Annotated[Path | None, Opt("--script", "--init-script-name", env="SWCI_STARTUP_SCRIPT", unit="file")] = (
        Field(None, description="execute the lines of this file first; then the prompt stays, unless EXIT came")
    )
    usr_dir: Annotated[Path | None, Opt("--usr-dir", env="USR_DIR", unit="folder")] = Field(
        None,
        description=f"folder that file commands and uploads are confined to (default: {ALIAS} if that is there, else "
        "the present folder)",
    )
    mode: Annotated[Literal["CLI", "WEB"], Opt("--mode", env="SWCI_MODE")] = Field(
        "CLI", description="CLI: this shell; WEB: the REST server"
    )
    web_port: Annotated[Port, Opt("--web-port", env="SWCI_WEB_PORT", unit="TCP port")] = Field(
        SWCI_WEB_PORT, description="port of the REST server"
    )
    plain_secrets: Annotated[bool, Opt("--plain-secrets", env="SWCI_PLAIN_SECRETS", switch=True)] = Field(
        False, description="let Username and Password in task files pass with a warning; everybody can read them then"
    )
    web_operators: Annotated[str, Opt("--web-operators", env=OPERATORS, unit="names")] = Field(
        "",
        description="REST: certificates that may do all, comma separated: spiffe:// ids, or common names of those "
        "without one; this node's key and site may always",
    )
    web_viewers: Annotated[str, Opt("--web-viewers", env=VIEWERS, unit="names")] = Field(
        "", description="REST: certificates that may look and change nothing"
    )
    run_wait: Annotated[Minutes | None, Opt(env=RUN_WAIT, unit="minutes")] = Field(
        None, description="how long WAIT FOR TASKRUNNER waits for a RUN_SWARM task (not set: as long as peers renew)"
    )
    generic_wait: Annotated[Minutes | None, Opt(env=GENERIC_WAIT, unit="minutes")] = Field(
        None, description="how long it waits for other tasks (not set: as long as peers renew)"
    )
    old_wait: Annotated[Minutes | None, Opt(env=OLD_WAIT, unit="minutes")] = Field(
        None, description="older name of both"
    )
    sn_ip: Annotated[str | None, Opt("--sn-ip", env="SN_NODE_IP")] = Field(
        None, description="address of an SN: makes a context named default and uses it"
    )
    sn_api_port: Annotated[Port, Opt("--sn-api-port", env="SN_API_SERVER_PORT", unit="TCP port")] = Field(
        SN_API_PORT, description="API port of that SN"
    )
    sn_api_service: Annotated[str | None, Opt("--sn-api-service", env="SN_API_SERVICE", unit="name:port")] = Field(
        None, description="API service of the SN behind a reverse proxy, instead of --sn-ip"
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> SwciSettings:
        if self.line is not None and self.script is not None:
            raise ValueError("-c and --script (SWCI_STARTUP_SCRIPT) both say what to execute: give one of them")
        return self

    @property
    def limits(self) -> Limits:
        return Limits(self.run_wait or self.old_wait, self.generic_wait or self.old_wait)

    @property
    def folder(self) -> Path:
        if self.usr_dir is not None:
            return self.usr_dir
        return Path(ALIAS) if Path(ALIAS).is_dir() else Path.cwd()

    @property
    def operators(self) -> frozenset[str]:
        return _names(self.web_operators)

    @property
    def viewers(self) -> frozenset[str]:
        return _names(self.web_viewers)

    @property
    def script_path(self) -> Path | None:
        """A relative name is one in USR_DIR, as the original's, or else in the present folder."""
        inside = None if self.script is None else self.folder / self.script
        return inside if inside is not None and inside.exists() else self.script

    @property
    def sn_url(self) -> str:
        """Of the SN that the settings name; "" if they name none."""
        found = sn_urls(self.sn_ip, self.sn_api_service, self.sn_api_port)
        return found[0] if found else ""


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))
