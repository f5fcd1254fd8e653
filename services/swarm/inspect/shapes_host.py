"""The shape of what is said while it goes on, and of what works on this host alone; see :mod:`.shapes`."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict


class Step(TypedDict):
    """What a wait says, as it changes; the last one says how it ended."""

    job: str
    run: int | None
    told: str


class Said(TypedDict):
    """What a command that changes something says: the lines of its text."""

    lines: list[str]


class ReadySaid(TypedDict):
    """Whether a node does its work."""

    role: str
    ready: bool
    reason: str | None


class Waiting(TypedDict):
    """A node that waits to be let in."""

    node: str
    role: str
    certificate: str
    instead: NotRequired[str]
    """the member under the same certificate that it takes the place of"""


class Approvals(TypedDict):
    """Who waits at an SN, or who was let in."""

    folder: str
    waiting: list[Waiting]
    approved: str | None


class ExportedFile(TypedDict):
    """What an export holds."""

    file: str
    members: int
    jobs: int
    runs: int
    block: int
    genesis: str
    contracts: int
    notes: list[str]


class Finding(TypedDict):
    """What is wrong with a file, and where."""

    weight: str
    line: int | None
    column: int | None
    text: str


class TaskTold(TypedDict):
    """A task that a file defines."""

    name: str
    type: str
    author: str
    prereq: str
    outcome: str
    lines: int


class CheckedFile(TypedDict):
    """What was found in a file."""

    file: str
    taken: bool
    kind: str | None
    task: TaskTold | None
    verdict: str
    findings: list[Finding]


class CheckedFiles(TypedDict):
    """What was found in task files and profiles."""

    files: list[CheckedFile]


class RenderedSites(TypedDict):
    """What sites will run of a task."""

    sites: list[dict[str, Any]]
    defects: list[str]
    """what is taken and cannot work"""


class CertFinding(TypedDict):
    """What is right or wrong with a field of a certificate."""

    level: str
    field: str
    text: str


class CertFindings(TypedDict):
    """What is right and wrong with a certificate."""

    cert: str
    findings: list[CertFinding]
    faults: list[str]
    """fields that must be mended"""


class Fault(TypedDict):
    """Why a command did not do what it was asked for."""

    kind: str
    """usage, the kind of the fault, or the name of a contract's refusal"""
    message: str
    fault: str
    """whose"""
    fix: str | None
    """what to do, where that is known apart from the message"""


class PolicyAllowed(TypedDict):
    """A rule that was written into a site's policy file."""

    file: str
    rule: dict[str, list[str] | bool]
    rules: int
    """how many the file has"""


class PolicyRule(TypedDict):
    """What one rule names and grants."""

    tasks: list[str]
    kinds: list[str]
    authors: list[str]
    texts: list[str]
    images: list[str]
    mounts: list[str]
    urls: list[str]
    secrets: list[str]
    capabilities: list[str]
    build_network: bool
    network: bool
    writable_root: bool
    confined: bool
    devices: bool
    privileged: bool
    memory: int
    """bytes of a program, or of a build's step; 0: all but what the host needs itself"""
    build_minutes: int


class PolicyChecked(TypedDict):
    """What a site's policy file says."""

    file: str
    share_logs: bool
    rules: list[PolicyRule]


class SiteBundle(TypedDict):
    """One site's join bundle, as it was written."""

    site: str
    folder: str
    written: list[str]
    kept: list[str]


class HostFinding(TypedDict):
    """One thing that was looked at on a host, or between sites."""

    area: str
    """such as engine, certificates, path, data"""
    level: str
    """ok, warn or fault"""
    text: str
    fix: str
    """what to do; empty where all is well"""


class PathTold(TypedDict):
    """A path to a port of another host."""

    host: str
    port: int
    whose: str
    reach: str
    """answers, taken, refused, silent, unknown name, stuck or untrusted"""
    milliseconds: float | None
    """of a TCP connection, the shortest of a few"""
    segment_bytes: int | None
    """largest TCP segment"""


class HostReport(TypedDict):
    """What is right and wrong on a host."""

    site: str
    version: str
    """of the swarm program that looked"""
    contracts: int
    """version of the contracts that it knows"""
    at: float
    images: dict[str, str | None]
    """id of each node image by role; null: it is not there"""
    reached: list[PathTold]
    findings: list[HostFinding]
    faults: int


class SiteCheck(TypedDict):
    """What runs, and what sites told, beside the inventory."""

    inventory: str
    sites: list[str]
    findings: list[HostFinding]
    faults: int
