"""The shape of each reading's answer: what ``--output json`` has as ``data``, and what the REST resources answer.

One type each, and nothing that acts: a start of ``swarm`` makes no models of them. JSON Schemas are made in
:mod:`.schemas`. A text below a field is its description there. Addresses, ids and hashes are hex, times seconds since
1970 or None, whole numbers beyond 53 bits texts. Fields may be added in a later version, none goes or changes.
"""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

# ---- the swarm ---------------------------------------------------------------------------------------------------


class Head(TypedDict):
    """The newest block that the SN knows."""

    number: int


class SwarmTold(TypedDict):
    """Which swarm an SN serves."""

    chain: str
    """geth or embedded"""
    admission: str
    chain_id: int
    contracts: dict[str, str]
    directory: NotRequired[str | None]
    """the contract that names the others; an SN of an older version does not tell it"""


class SnTold(TypedDict):
    """What the SN says of itself."""

    node: str
    up: bool
    reason: str | None
    head: Head | None
    swarm: SwarmTold
    time: NotRequired[float | None]
    """of its host's clock; an SN of an older version does not tell it"""


class Wait(TypedDict):
    """One thing that a node waits for."""

    what: str
    whom: str
    since: float
    """seconds that it has lasted"""
    until: float | None
    """seconds that are left of it; None: no end"""
    then: str
    """what happens then"""


class NodeRow(TypedDict):
    """A member as it stands: what the chain says of it, and what it told its SN last."""

    node: str
    name: str
    role: str
    status: str
    expires: int | None
    alive: bool
    seen_seconds: float | None
    """since it was last heard of"""
    sn: str | None
    state: str
    job: str | None
    run: int | None
    round: int | None
    behind: int | None
    """rounds committed since the merged model that its program trains from"""
    leading: str
    epochs_done: int | None
    epochs_total: int | None
    loss: float | None
    metric: float | None
    bytes_in: int | None
    bytes_out: int | None
    disk_bytes: int | None
    height: int | None
    waits: list[Wait]


class JobStands(TypedDict):
    """Where a job stands now."""

    run: int
    phase: str
    round: int
    joined: int
    min_peers: int
    last: str | None
    """chunk root of the run's last merged model"""
    told: str
    """the same in a few words"""


class Standing(TypedDict):
    """The whole swarm at one moment."""

    sn: SnTold
    nodes: list[NodeRow]
    jobs: dict[str, JobStands]
    jobs_more: int
    """jobs that are not shown"""


class WaitRow(Wait):
    """One thing that one node waits for."""

    node: str
    name: str
    role: str


class Node(TypedDict):
    """A living node of role SN, SL or SWOP, and where it is reached."""

    kind: str
    """SENTINEL, SN, SL or SWOP"""
    host: str
    port: str
    name: str
    node: str
    parent: str
    at: float
    """when it was last heard of"""


class MemberRow(TypedDict):
    """Somebody who was admitted."""

    node: str
    role: str
    status: str
    expires: int
    """block time; a very great one means for ever"""


# ---- jobs and runs -------------------------------------------------------------------------------------------------


class JobName(TypedDict):
    """A job."""

    name: str
    id: str


class Job(TypedDict):
    """What is fixed about a job."""

    name: str
    id: str
    origin: str | None
    """genesis of the chain that it was carried over from; None: this chain"""
    runs: int
    options: str
    """what holds for its next runs, as JSON; "": nothing"""
    options_changed: int
    """how often they were set"""


class JobOptions(TypedDict):
    """What holds for all members of a job's next runs."""

    job: str
    options: dict[str, Any] | None
    """None: the programs alone say how they train"""
    change: int
    """how often they were set"""


class Earlier(TypedDict):
    """Of a run that was carried over from another chain."""

    chain: str
    began: int
    ended: int


class RunRow(TypedDict):
    """A run of a job in the list of all."""

    job: str
    run: int
    state: str
    how: str | None
    """how it ended, or why it goes no further"""
    rounds: int
    members: list[str]
    contributors: list[str]
    late: int
    """how many merged contributions were behind"""
    earlier: Earlier | None
    final: str | None
    """chunk root of the last merged model"""
    first_block: int | None
    last_block: int | None
    began: int | None
    ended: int | None


class RunMember(TypedDict):
    """A member of a run."""

    node: str
    uri: str
    joined_block: int
    eligible: bool | None
    """whether it may lead; None: not known of a run that was carried over"""
    state: str
    loss: float | None
    metric: float | None


class Contribution(TypedDict):
    """What a member gave to a round."""

    node: str
    version: int
    blob: str
    size: int
    weight: int
    counted: float
    """what the weight counts for under the job's options"""
    behind: int
    """by how many rounds the model is behind, as its site says; 255: so many or more"""
    coefficient: float
    loss: float | None
    metric: float | None
    epochs_done: int
    epochs_total: int
    done: bool
    observer: bool
    own_figure: bool


class _Round(TypedDict):
    round: int
    epoch: int
    opened_block: int | None
    roster: list[str]
    merged: str
    contributions: list[Contribution]
    attempt: int
    leader: str
    size: int
    method: str
    interval: int
    acks: int
    block: int | None


class Round(_Round, total=False):
    """A round that was merged."""

    time: int


class Call(TypedDict):
    """A call for absent members."""

    call: int
    by: str
    block: int
    answers: list[str]
    end: str | None


class Recomputed(TypedDict):
    """A round that was merged again from what this host's SL keeps."""

    round: int
    found: str
    """equal, DIFFERENT or not here"""
    why: str


class _Run(TypedDict):
    job: str
    run: int
    phase: str
    reason: str | None
    min_peers: int
    final: str | None
    options: str
    members: list[RunMember]
    rounds: list[Round]
    open_round: int | None
    calls: list[Call]
    earlier: Earlier | None


class Run(_Run, total=False):
    """The chain's record of a run."""

    recomputed: list[Recomputed]
    """with --recompute"""


class Figure(TypedDict):
    """What a member of the present run reported last."""

    node: str
    leads: bool
    loss: float | None
    metric: float | None
    epochs_total: int
    epochs_done: int
