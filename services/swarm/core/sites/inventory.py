"""The inventory: which sites a swarm has, on which hosts, with which nodes, ports and folders of data.

Owns its form and what must hold of it as a whole; what a site gets of it is :mod:`.bundle`'s.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from ..errors import OperatorFault
from ..limits import SN_API_PORT, SWCI_WEB_PORT, SWOP_LOGS_PORT

SITES_MAX = 64
PAIRS_MAX = 16
"""Of one site: as many SLs as one SN was ever seen to serve."""
FS_PORT, P2P_PORT = 30305, 30303
CHAIN, LOGS, REST = "sn's chain", "swop's shared logs", "swci's REST face"
"""What a published port is for, where not every site needs it."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
"""Of a swarm or site: it becomes a part of names of containers, networks and certificates."""
Port = Annotated[int, Field(ge=64, le=65535)]
"""Below 64 a pair of ports in a compose file is a number to base 60 for some readers of YAML."""
Folder = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._/-]{1,200}$")]
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sn(_Part):
    """An SN of a site; the ports are those that others see."""

    api_port: Port = SN_API_PORT
    p2p_port: Port = P2P_PORT
    sentinel: bool = False


class Nodes(_Part):
    """SLs, or pairs of a SWOP: one for each folder of data; ports count up from the first."""

    data: tuple[Folder, ...] = Field(min_length=1, max_length=PAIRS_MAX)
    port: Port = FS_PORT

    @property
    def ports(self) -> list[int]:
        return [self.port + number for number in range(len(self.data))]


class SiteOf(_Part):
    """One site, on one host.

    Args: host: the name or address at which the other sites reach it.
    """

    name: Name
    host: str
    sn: Sn | None = None
    sls: Nodes | None = None
    swop: Nodes | None = None
    swci: bool = False

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        try:
            if "%" not in value:  # a zone is of one host alone, and any text may stand in it
                return str(ipaddress.ip_address(value))
        except ValueError:
            if _HOST.fullmatch(value):
                return value
        raise ValueError(f"{value!r:.100} is neither an address nor a host's name; write one, without a port")

    @field_validator("host")
    @classmethod
    def _others_reach_it(cls, value: str) -> str:
        if value.lower() == "localhost" or value.startswith("127.") or value in ("::1", "::", "0.0.0.0"):  # noqa: S104
            raise ValueError(f"{value} is this host itself on every host; write the name that the other sites use")
        return value

    @model_validator(mode="after")
    def _has_nodes(self) -> SiteOf:
        if self.sn is None and self.sls is None and self.swop is None:
            raise ValueError("a site has an sn, sls or a swop; give it one")
        return self

    def ports(self) -> Iterator[tuple[int, str]]:
        """What the host publishes, and for whom."""
        if self.sn is not None:
            yield self.sn.api_port, "sn's API"
            yield self.sn.p2p_port, CHAIN
        for kind, nodes in (("sl", self.sls), ("pair", self.swop)):
            for number, port in enumerate(nodes.ports if nodes is not None else (), 1):
                yield port, f"{kind}{number}'s models"
        if self.swop is not None:
            yield SWOP_LOGS_PORT, LOGS
        if self.swci:
            yield SWCI_WEB_PORT, REST


class Inventory(_Part):
    """Args: swarm: its name; trust_domain: in all certificates; images, tag: where the node images come from."""

    swarm: Name
    trust_domain: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,99}$")] = "swarm.local"
    images: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,199}$")] = "swarm-learning"
    tag: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,120}$")] = "dev"
    sites: tuple[SiteOf, ...] = Field(min_length=1, max_length=SITES_MAX)

    @property
    def sentinel(self) -> SiteOf:
        """The site whose SN begins the chain: the one that says so, else the first that has one."""
        named = [one for one in self.sites if one.sn is not None and one.sn.sentinel]
        return (named or [one for one in self.sites if one.sn is not None])[0]

    def site(self, name: str) -> SiteOf:
        """Raises OperatorFault: there is none of that name; names those that are there."""
        for one in self.sites:
            if one.name == name:
                return one
        raise OperatorFault(f"the inventory has no site {name!r:.60}; it has {', '.join(s.name for s in self.sites)}")

    @model_validator(mode="after")
    def _fits_together(self) -> Inventory:
        for what, values in (("name", [s.name for s in self.sites]), ("host", [s.host for s in self.sites])):
            twice = sorted({one for one in values if values.count(one) > 1})
            if twice:
                raise ValueError(f"two sites have the {what} {twice[0]}; each needs its own")
        sns = [one for one in self.sites if one.sn is not None]
        if not sns:
            raise ValueError("no site has an sn, so there would be no chain; give one site `sn: {}`")
        if sum(one.sn is not None and one.sn.sentinel for one in sns) > 1:
            raise ValueError("two SNs are sentinel: true; one begins the chain")
        for one in self.sites:
            taken: dict[int, str] = {}
            for port, whose in one.ports():
                if port in taken or port > 65535:
                    other = taken.get(port, "nothing: ports end at 65535")
                    raise ValueError(f"site {one.name}: port {port} is for {whose} and for {other}")
                taken[port] = whose
        return self


def inventory_of(parsed: Any, source: str) -> Inventory:
    """An inventory file's content (YAML as plain values).

    Raises:
        OperatorFault: all that is wrong, each with its place.
    """
    try:
        return Inventory.model_validate(parsed)
    except ValidationError as error:
        wrong = []
        for one in error.errors():
            place = ".".join(str(part) for part in one["loc"]) or "the inventory"
            wrong.append(f"{place}: {one['msg'].removeprefix('Value error, ')}")
        raise OperatorFault(f"{source}: " + "; ".join(wrong[:20])) from None
