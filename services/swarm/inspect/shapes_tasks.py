"""The shape of what is read of tasks and task runners; see :mod:`.shapes`."""

from __future__ import annotations

from typing_extensions import TypedDict


class TaskName(TypedDict):
    """A final task."""

    name: str
    versions: int


class TaskHeader(TypedDict):
    """What is known of a task before its body."""

    task_type: str
    name: str
    author: str
    prereq: str
    outcome: str


class Task(TypedDict):
    """The newest version of a task."""

    id: str
    header: TaskHeader
    creator: str
    removed: bool
    version: int
    lines: int
    chunks: int
    created: int
    """block"""
    created_time: int
    finalised: int
    """block"""
    finalised_time: int
    header_hash: str
    root: str
    body: list[str]
    """line 0, then the body, without numbers"""


class Body(TypedDict):
    """A task's body as the shell prints it."""

    id: str
    name: str
    lines: list[str]


class Assignment(TypedDict):
    """One task given once to one runner; docs/tasks.md says what each field means."""

    aid: str
    runner: str
    op: int
    phase: str
    outcome: str
    by: str
    key: str
    task: str
    prereq: str
    task_type: str
    n: int
    named: int
    expect: int
    enrol_seconds: int
    peers: int
    enrolled: int
    declined: int
    offered: int
    swops: int
    allotted: int
    open: int
    succeeded: int
    failed: int
    assigned_block: int
    assigned_time: int
    started_block: int
    started_time: int
    ended_block: int
    ended_time: int
    heard: int
    suspected: int
    suspected_block: int
    ended_by: str
    reset_by: str
    reset_time: int
    why: str


class RunnerStands(TypedDict):
    """A task runner and its present assignment."""

    shown: str
    """IDLE, ASSIGNED, RUNNING, ERROR or COMPLETE"""
    busy: bool
    current: Assignment | None


class Runner(TypedDict):
    """Everything about a task runner."""

    name: str
    id: str
    state: RunnerStands
    task: str | None
    """name of the task that it has"""
    told: str
    """how it stands, in a few words"""
    followers: int
    """SWOPs that listen"""
    assignments: int
    """so far"""
    lease_seconds: int


class AssignmentRow(TypedDict):
    """A past or present assignment of a task runner."""

    assignment: Assignment
    task: str
    told: str


class Peer(TypedDict):
    """A SWOP's part in an assignment."""

    swop: str
    state: str
    named: bool
    offer: int
    allotted: int
    open: int
    failed: int
    attempt: int
    heard: int
    started: int | str
    """bit map of the pairs that it said to have started; a text beyond 53 bits"""
    fault: str
    text_hash: str


class Pair(TypedDict):
    """A pair of SL and ML, or a task of another type, at one SWOP."""

    state: str
    attempt: int
    exit_code: int
    time: int
    fault: str
    text_hash: str
    sl: str
    run: int | str
    job: str


class PeerPairs(TypedDict):
    """One SWOP's part in an assignment, and its pairs."""

    task_type: str
    peer: Peer
    pairs: list[Pair]
    told: list[str]
    """how each pair stands, in a few words"""
