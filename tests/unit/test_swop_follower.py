"""What a SWOP's loop makes of a task that nobody signed: time for an SN to show another one, then a refusal by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from swarm.chain.tasksigned import TaskUnsigned
from swarm.core.errors import ChainFault
from swarm.core.ids import Digest
from swarm.core.taskrun.passes import Offer, Refusal
from swarm.swop.follower import UNSIGNED_SECONDS, Follower
from swarm.swop.judging import UNSIGNED, Judged

AID, OTHER = Digest(b"a" * 32), Digest(b"o" * 32)


class World:
    """A follower whose judge says what the test says, at the time that the test says."""

    def __init__(self) -> None:
        self.now, self.says = 0.0, None
        nothing: Any = None
        judge: Any = SimpleNamespace(judge=self._judge)
        self.follower = Follower(*[nothing] * 4, judge, *[nothing] * 4, clock=lambda: self.now)
        self.assigned(AID)

    def assigned(self, aid: Digest) -> None:
        self.follower._current = SimpleNamespace(aid=aid, task=b"t", prereq=b"p")  # type: ignore[assignment]

    async def _judge(self, _: object) -> Judged:
        if isinstance(self.says, Exception):
            raise self.says
        return Judged(Offer(1), of=(b"t", b"p"))  # type: ignore[arg-type]

    async def look(self, aid: Digest = AID) -> Offer | Refusal | None:
        await self.follower._look_into(aid)
        found = self.follower._judged.get(aid)
        return None if found is None else found.said


async def test_an_unsigned_task_is_declined_by_name_and_not_waited_for() -> None:
    """At first it is the SN's trouble, as blocks may be taken back; after a while it is refused for good."""
    world = World()
    world.says = TaskUnsigned("the SN shows task x, which 0xaa did not sign so")
    for world.now in (0.0, UNSIGNED_SECONDS - 1):
        with pytest.raises(TaskUnsigned):
            await world.look()
    world.now = UNSIGNED_SECONDS
    said = await world.look()
    assert isinstance(said, Refusal)
    assert said.fault == UNSIGNED
    assert "0xaa did not sign so" in world.follower._judged[AID].text
    world.says = AssertionError("asked again")
    assert await world.look() is said


async def test_each_assignment_has_its_own_time_and_a_signature_that_comes_counts() -> None:
    """An SN that showed it wrongly for a moment costs nothing."""
    world = World()
    world.says = TaskUnsigned("x")
    with pytest.raises(TaskUnsigned):
        await world.look()
    world.assigned(OTHER)
    world.now = UNSIGNED_SECONDS + 1
    with pytest.raises(TaskUnsigned):
        await world.look(OTHER)
    world.says = None
    assert await world.look(OTHER) == Offer(1)


async def test_an_sn_that_does_not_answer_refuses_nothing() -> None:
    """However long."""
    world = World()
    world.says = ChainFault("the SN does not know the task as final")
    for world.now in (0.0, 1_000_000.0):
        with pytest.raises(ChainFault):
            await world.look()
    assert not world.follower._judged
