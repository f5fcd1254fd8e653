"""What holds between sites: nodes that live beside those of the inventory, and the sites' reports beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..errors import OperatorFault
from ..shown import shown
from ..sites.compose import nodes_of
from ..sites.inventory import SITES_MAX, Inventory, SiteOf
from .facts import Finding, Level, Reach

REPORT_BYTES_MAX = 1024 * 1024
PATHS_MAX = 1_024
"""In one report."""
STAYS = ("sn", "sl", "swop")
"""Roles of nodes that tell their SN that they live; an SL of a SWOP's pair is there while its task runs."""
_Text = Annotated[str, StringConstraints(max_length=512)]


class PathTold(BaseModel):
    """As in ``swarm doctor --output json``."""

    model_config = ConfigDict(frozen=True)
    host: _Text
    port: int
    reach: Reach


class Report(BaseModel):
    """What the comparison needs of a site's report; the rest of it is that site's affair."""

    model_config = ConfigDict(frozen=True)
    site: _Text
    version: _Text
    contracts: int
    images: dict[_Text, _Text | None] = Field(max_length=16)
    reached: tuple[PathTold, ...] = Field(max_length=PATHS_MAX)
    faults: int


class _Enveloped(BaseModel):
    data: Report


class Living(BaseModel):
    """A node that an SN knows as living: role, its certificate's name, where it is reached ("-": it did not say)."""

    model_config = ConfigDict(frozen=True)
    role: str
    name: str
    host: str
    port: str


def report_of(data: bytes, source: str) -> Report:
    """A report in its envelope.

    Raises:
        OperatorFault: it is none.
    """
    try:
        return _Enveloped.model_validate_json(data).data
    except ValidationError as error:
        one = error.errors()[0]
        place = ".".join(str(part) for part in one["loc"]) or "the file"
        raise OperatorFault(
            f"{source}: {place}: {one['msg']}; it should be what swarm doctor --output json said at a site"
        ) from None


def beside_nodes(inventory: Inventory, living: Sequence[Living]) -> list[Finding]:
    """The nodes that should live, and those that do."""
    found: list[Finding] = []
    known: set[str] = set()
    for site in inventory.sites:
        ports = {whose: port for port, whose in site.ports()}
        for name, role in nodes_of(site):
            full = f"{site.name}-{name}"
            there = [one for one in living if one.role == role and _named(one.name) == full]
            known.update(one.name for one in there)
            if role not in STAYS or (name.startswith("pair") and not there):
                continue
            if not there:
                fix = f"type ./start.sh at site {site.name}, and look at: docker compose logs {name}"
                found.append(Finding("nodes", Level.FAULT, f"{full} ({role}) is not heard of", fix))
            found += [_place(site, full, one, ports.get(_whose(name, role))) for one in there]
    for other in living:
        if other.name not in known:
            text = f"{shown(other.name)} ({shown(other.role)}) lives and is not in the inventory"
            fix = "write its site into the inventory, or end it and revoke its membership"
            found.append(Finding("nodes", Level.WARN, text, fix))
    return found


def _named(name: str) -> str:
    """Of a certificate: the last part of an id of ours, or the common name."""
    return name.rpartition("/")[2].removeprefix("CN=")


def _whose(name: str, role: str) -> str:
    return {"sn": "sn's API", "swop": "swop's shared logs"}.get(role, f"{name}'s models")


def _place(site: SiteOf, full: str, one: Living, port: int | None) -> Finding:
    if one.host == "-" or port is None or (one.host, one.port) == (site.host, str(port)):
        return Finding("nodes", Level.OK, f"{full} ({one.role}) lives")
    text = f"{full} ({one.role}) says that it is reached at {shown(one.host)}:{shown(one.port)}"
    fix = f"the inventory says {site.host}:{port}: give site {site.name} its bundle anew, and type ./start.sh there"
    return Finding("nodes", Level.FAULT, text, fix)


def beside_reports(inventory: Inventory, reports: Sequence[Report]) -> list[Finding]:
    """Versions and images of all sites, and the paths between them, both ways."""
    found: list[Finding] = []
    by_site: dict[str, Report] = {}
    for one in reports[:SITES_MAX]:
        if one.site not in {site.name for site in inventory.sites}:
            text = f"a report is of a site {shown(one.site)!r}, which the inventory has not"
            found.append(Finding("sites", Level.WARN, text, "write it into the inventory, or leave the report out"))
        elif one.site in by_site:
            text = f"two reports are of site {one.site}"
            found.append(Finding("sites", Level.WARN, text, "leave the older one out; the first counts here"))
        else:
            by_site[one.site] = one
    for site in inventory.sites:
        if site.name not in by_site:
            fix = f"type there: swarm doctor --output json > {site.name}.json"
            found.append(Finding("sites", Level.WARN, f"there is no report of site {site.name}", fix))
        elif by_site[site.name].faults:
            text = f"site {site.name} has {by_site[site.name].faults} faults of its own"
            found.append(Finding("sites", Level.FAULT, text, "swarm doctor names each with its fix there"))
    found += _alike("version of swarm", {name: one.version for name, one in by_site.items()})
    found += _alike("version of the contracts", {name: str(one.contracts) for name, one in by_site.items()})
    for role in sorted({role for one in by_site.values() for role in one.images}):
        images = {name: one.images[role] or "none" for name, one in by_site.items() if role in one.images}
        found += _alike(f"{role} image", images)
    for site in inventory.sites:
        if site.name in by_site:
            found += _ways(inventory, site, by_site[site.name])
    return found


def _alike(what: str, values: Mapping[str, str]) -> Iterator[Finding]:
    if len(values) < 2:
        return
    groups: dict[str, list[str]] = {}
    for site, value in sorted(values.items()):
        groups.setdefault(value, []).append(site)
    if len(groups) == 1:
        yield Finding("sites", Level.OK, f"the {what} is the same at {len(values)} sites")
        return
    told = "; ".join(f"{shown(value)[:40]} at {', '.join(sites)}" for value, sites in sorted(groups.items()))
    fix = "take the same images to all of them (docker save | docker load, or pull by digest), then ./start.sh"
    yield Finding("sites", Level.FAULT, f"the {what} differs: {told}", fix)


def _ways(inventory: Inventory, site: SiteOf, report: Report) -> Iterator[Finding]:
    """From this site to each other one: at least one of its ports must have answered."""
    for other in inventory.sites:
        if other is site:
            continue
        tried = [one for one in report.reached if one.host == other.host]
        way = f"from {site.name} to {other.name}"
        bad = [one for one in tried if one.reach not in (Reach.ANSWERS, Reach.TAKEN, Reach.REFUSED)]
        if bad:
            ports = ", ".join(f"{one.port} ({one.reach})" for one in bad)
            fix = f"swarm doctor at {site.name} says more; open the ports of {other.name}'s firewall table to that host"
            yield Finding("path", Level.FAULT, f"{way}: {ports}", fix)
        elif tried:
            yield Finding("path", Level.OK, f"{way}: {len(tried)} ports reached")
        else:
            ports = " ".join(f"--peer {other.host}:{port}" for port, _ in list(other.ports())[:1])
            fix = f"type at {site.name}: swarm doctor {ports}; once nodes run, it finds them by itself"
            yield Finding("path", Level.WARN, f"{way}: not tried", fix)
