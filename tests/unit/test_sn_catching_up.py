"""A start of an SN that was here before: whose heads it waits for, and how long one that lies can hold it up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.ids import Address
from swarm.obs.waits import Waits
from swarm.sn import starting
from swarm.sn.fleet import Sn
from swarm.sn.starting import Starting

Head = tuple[int, str]
SNS = [Sn(Address(bytes([i] * 20)), f"https://sn{i}:1", "", Address(bytes(20)), i, False) for i in (1, 2, 3)]


class Swarm:
    """Other SNs with their heads, and this node's geth; one second passes at each look, and one block comes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: dict[Sn, int | None], ours: int) -> None:
        self.now, self.ours, self.lead = 1000.0, ours, others
        """How far ahead of this node each other SN says it is; None: it gives no answer."""
        self.pace = 0
        """Blocks that this node gains on the others in a second."""
        monkeypatch.setattr(starting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(starting.asyncio, "sleep", self._sleep)
        fleet: Any = SimpleNamespace(others=lambda: list(others), block=self._block, refresh=self._refresh)
        geth: Any = SimpleNamespace(admin=SimpleNamespace(block=self._own))
        unused: Any = SimpleNamespace()
        self._geth = geth
        self._starting = Starting(geth, unused, unused, fleet, unused, Waits(), uri=None, rejoin=None)

    async def _sleep(self, seconds: float) -> None:
        self.now += 1.0
        self.ours += 1
        self.lead = {sn: None if lead is None else lead - self.pace for sn, lead in self.lead.items()}
        if self.now > 1600.0:
            raise asyncio.CancelledError

    async def _refresh(self) -> None: ...

    async def _own(self, number: int | None = None) -> Head | None:
        at = self.ours if number is None else number
        return None if at > self.ours else (at, f"0x{at:x}")

    async def _block(self, sn: Sn, number: int | None = None) -> Head | None:
        lead = self.lead[sn]
        return (
            None
            if lead is None
            else (self.ours + lead, f"0x{self.ours + lead:x}")
            if number is None
            else (number, f"0x{number:x}")
        )

    async def seconds(self) -> float:
        began = self.now
        await self._starting._catch_up(self._geth)
        return self.now - began


async def test_equal_heads_are_enough_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits when nothing is missing."""
    assert await Swarm(monkeypatch, {SNS[0]: 0, SNS[1]: 0}, 100).seconds() == 0


async def test_one_that_invents_a_head_does_not_hold_up_a_start_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute the chain of half of those that answer is good enough; one liar cannot keep all SNs down."""
    seconds = await Swarm(monkeypatch, {SNS[0]: 0, SNS[1]: 10**9}, 100).seconds()
    assert 0 < seconds <= starting.DOUBT_SECONDS + 2


async def test_who_lags_behind_all_waits_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that has much to catch up takes the time it needs."""
    swarm = Swarm(monkeypatch, {SNS[0]: 900, SNS[1]: 900}, 100)
    swarm.pace = 3
    assert await swarm.seconds() >= 295


async def test_the_longest_chain_of_all_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the one that has most goes first."""
    assert await Swarm(monkeypatch, {SNS[0]: -50, SNS[1]: -7}, 100).seconds() == 0


async def test_nobody_to_ask_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 10 s without an answer the node goes on alone."""
    assert await Swarm(monkeypatch, {SNS[0]: None}, 100).seconds() <= starting.ALONE_SECONDS + 2
