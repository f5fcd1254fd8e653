"""Answers and events of Tasks and Taskrunners as core's plain values, and back.

Owns the shapes only. An answer is an SN's word: what cannot be (an enum's number, a list longer than any) raises a
ValueError here, which the facades turn into a ChainFault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from swarm.core.limits import RUNNER_PAIRS_MAX, TASK_CHUNKS_MAX, TASK_LINES_MAX, TASK_TEXT_BYTES_MAX
from swarm.core.taskview import (
    Assignment,
    AssignmentPhase,
    Follower,
    Order,
    Outcome,
    Pair,
    PairState,
    Peer,
    PeerState,
    Report,
    TaskBody,
    TaskHeader,
    TaskInfo,
    TaskType,
)

from .names import snake

FAULT_BYTES = 31
"""An exception's class, or another short reason, on chain."""
Raw = Mapping[str, Any]
_ENUMS: Mapping[type, Mapping[str, Any]] = {
    Assignment: {"phase": AssignmentPhase, "outcome": Outcome, "task_type": TaskType},
    Peer: {"state": PeerState},
    Pair: {"state": PairState},
}


def read_header(raw: Raw) -> TaskHeader:
    texts = {name: _text(raw[name], TASK_TEXT_BYTES_MAX, name) for name in ("name", "author", "prereq", "outcome")}
    return TaskHeader(task_type=TaskType(raw["taskType"]), **texts)


def read_info(raw: Raw) -> TaskInfo:
    values = _snake(raw)
    values["header"] = read_header(values["header"])
    found = TaskInfo(**{f.name: values[f.name] for f in fields(TaskInfo)})
    if found.lines > TASK_LINES_MAX or found.chunks > TASK_CHUNKS_MAX:
        raise ValueError(f"a task with {found.lines} lines and {found.chunks} chunks of text")
    return found


def header_values(header: TaskHeader) -> tuple[Any, ...]:
    """A header as the contract's calldata struct."""
    return (int(header.task_type), header.name, header.author, header.prereq, header.outcome)


def read_order(raw: Raw) -> Order:
    values = _snake(raw)
    values["named"] = tuple(values["named"])
    return Order(**{f.name: values[f.name] for f in fields(Order)})


def order_values(order: Order) -> tuple[Any, ...]:
    """An order as the contract's calldata struct."""
    o = order
    return (o.key, o.task, o.prereq, o.n, list(o.named), o.expect, o.enrol_seconds)


def read_assignment(raw: Raw) -> Assignment:
    found: Assignment = _struct(Assignment, raw)
    if found.open + found.succeeded + found.failed != found.allotted:
        counts = f"{found.open} open, {found.succeeded} succeeded, {found.failed} failed"
        raise ValueError(f"{found.allotted} pairs allotted, and {counts}")
    return found


def read_peer(raw: Raw) -> Peer:
    found: Peer = _struct(Peer, {**raw, "fault": read_fault(raw["fault"])})
    if found.allotted > RUNNER_PAIRS_MAX:
        raise ValueError(f"a peer with {found.allotted} pairs")
    return found


def read_pair(raw: Raw) -> Pair:
    found: Pair = _struct(Pair, {**raw, "fault": read_fault(raw["fault"])})
    return found


def read_report(raw: Raw) -> Report:
    found: Report = _struct(Report, {**raw, "fault": read_fault(raw["fault"])})
    return found


def report_values(report: Report) -> tuple[Any, ...]:
    """A report as the contract's calldata struct."""
    r = report
    return (r.pair, r.ok, r.exit_code, fault_word(r.fault), r.text_hash, r.sl, r.run, r.job)


def read_follower(raw: Raw) -> Follower:
    found: Follower = _struct(Follower, raw)
    return found


def read_fault(word: bytes) -> str:
    """The name in a bytes31; any bytes, since the chain checks none."""
    return word.rstrip(b"\0").decode("utf-8", "replace")


def fault_word(name: str) -> bytes:
    """A fault's name as the contract takes it: at most 31 bytes, cut there, and no half of a character."""
    raw = name.encode("utf-8", "replace")[:FAULT_BYTES]
    return raw.decode("utf-8", "ignore").encode().ljust(FAULT_BYTES, b"\0")


def packed(body: TaskBody) -> bytes:
    """A whole body as the contract takes it in one piece."""
    return b"".join(len(item).to_bytes(4, "big") + item for item in (*body.lines, *body.chunks))


def unpacked(lines: int, chunks: int, raw: bytes) -> TaskBody:
    """Raises ValueError: these are not so many items."""
    items, at = [], 0
    for _ in range(lines + chunks):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        items.append(raw[at + 4 : end])
        at = end
        if at > len(raw):
            break
    if at != len(raw) or len(items) != lines + chunks:
        raise ValueError(f"{len(raw)} bytes are no {lines} lines and {chunks} chunks")
    return TaskBody(tuple(items[:lines]), tuple(items[lines:]))


def none_if_zero(assignment: Assignment) -> Assignment | None:
    return assignment if any(assignment.aid) else None


def _struct(kind: type, raw: Raw) -> Any:
    values = _snake(raw)
    for name, enum in _ENUMS.get(kind, {}).items():
        values[name] = enum(values[name])
    return kind(**{f.name: values[f.name] for f in fields(kind)})


def _text(value: str, most: int, what: str) -> str:
    # Bytes that are no UTF-8 come as one mark each, which has three.
    if len(value) > most:
        raise ValueError(f"{what} has {len(value)} characters")
    return value


def _snake(raw: Raw) -> dict[str, Any]:
    return {snake(key): value for key, value in raw.items()}
