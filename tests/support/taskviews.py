"""Views of an assignment, as a contract would show them, for tests of what is decided on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from swarm.core.ids import Address, Digest
from swarm.core.taskview import Assignment, AssignmentPhase, Outcome, TaskType

AID, TASK = Digest(b"a" * 32), Digest(b"t" * 32)
NOBODY, NOTHING = Address(bytes(20)), Digest(bytes(32))


def assignment(phase: AssignmentPhase, **more: Any) -> Assignment:
    """Of two pairs by number, given at second 1000 in block 1; ``more``: other fields."""
    found = Assignment(
        aid=AID,
        runner=NOTHING,
        op=1,
        phase=phase,
        outcome=Outcome.NONE,
        by=NOBODY,
        key=NOTHING,
        task=TASK,
        prereq=NOTHING,
        task_type=TaskType.RUN_SWARM,
        n=2,
        named=0,
        expect=0,
        enrol_seconds=300,
        peers=1,
        enrolled=0,
        declined=0,
        offered=0,
        swops=0,
        allotted=0,
        open=0,
        succeeded=0,
        failed=0,
        assigned_block=1,
        assigned_time=1000,
        started_block=0,
        started_time=0,
        ended_block=0,
        ended_time=0,
        heard=1000,
        suspected=0,
        suspected_block=0,
        ended_by=NOBODY,
        reset_by=NOBODY,
        reset_time=0,
        why="",
    )
    return replace(found, **more)
