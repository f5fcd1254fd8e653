"""An SL asks the others what their data look like, within bounds, and both sides hear of differences."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from swarm.core.dataschema import DataSchema
from swarm.core.errors import PeerFault
from swarm.core.ids import Address
from swarm.net.faults import BadAnswer
from swarm.sl import schemas as module
from swarm.sl.schemas import Schemas, told

ONE, TWO = Address(b"\x01" * 20), Address(b"\x02" * 20)
HERE, THERE = DataSchema(labels=(0, 1)), DataSchema(labels=(0, 1, 2))


class Pair:
    """Two SLs that reach each other."""

    def __init__(self, one: DataSchema | None, two: DataSchema | None) -> None:
        self.asked = 0
        self.one = Schemas(lambda: [TWO], self._ask_two)
        self.two = Schemas(lambda: [ONE], self._ask_one)
        self.one.hold(one)
        self.two.hold(two)

    async def _ask_two(self, node: Address, path: str, body: Any) -> Any:
        assert (node, path) == (TWO, "/v1/schema")
        self.asked += 1
        return self.two.answer(ONE, body)

    async def _ask_one(self, node: Address, path: str, body: Any) -> Any:
        return self.one.answer(TWO, body)


async def test_both_sides_name_the_difference() -> None:
    """Who asks has it as a sentence; who was asked has it for its program, once; asking itself it says so too."""
    pair = Pair(HERE, THERE)
    (found,) = await pair.one.compare()
    assert "the data of 0x" + "02" * 20 in found
    assert "label 2 is only there" in found
    (heard,) = pair.two.unsaid()
    assert "the data of 0x" + "01" * 20 in heard
    assert "label 2 is only here" in heard
    assert pair.two.unsaid() == []
    assert len(await pair.two.compare()) == 1
    assert pair.one.unsaid() == []


@pytest.mark.parametrize(("one", "two"), [(None, THERE), (HERE, None), (None, None), (HERE, HERE)])
async def test_no_description_is_no_check(one: DataSchema | None, two: DataSchema | None) -> None:
    """Only two descriptions can differ; a site without one asks nobody, and tells nothing when asked."""
    pair = Pair(one, two)
    assert await pair.one.compare() == []
    assert pair.two.unsaid() == []
    assert pair.asked == (one is not None)
    assert pair.two.answer(ONE, {"schema": None}) == {"schema": None if two is None else two.to_json()}


async def test_a_new_session_begins_anew() -> None:
    """What was found for an earlier program is not told to the next one."""
    pair = Pair(HERE, THERE)
    await pair.one.compare()
    pair.one.hold(THERE)
    assert await pair.one.compare() == []


async def test_sites_that_do_not_answer_cost_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent ones, refusing ones and liars: the comparison ends, with what the others said."""
    monkeypatch.setattr(module, "COMPARE_SECONDS", 0.3)
    monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.01)
    silent, lost, liar, late = (Address(bytes([i]) * 20) for i in (3, 4, 5, 6))
    tries = []

    async def ask(node: Address, path: str, body: Any) -> Any:
        if node == silent:
            await asyncio.Event().wait()
        if node == lost:
            raise PeerFault("its address is not known yet")
        if node == liar:
            return {"schema": {"labels": [[]]}}
        tries.append(node)
        if len(tries) < 3:
            raise BadAnswer("https://late", 404, "not_found", "nothing here for you")
        return {"schema": THERE.to_json()}

    schemas = Schemas(lambda: [silent, lost, liar, late], ask)
    schemas.hold(HERE)
    began = time.monotonic()
    found = await schemas.compare()
    assert time.monotonic() - began < 5
    assert len(found) == 1
    assert "06" * 20 in found[0]


@pytest.mark.parametrize("body", [None, [], {}, {"schema": 5}, {"schema": None, "x": 1}, {"schema": {"labels": 1}}])
def test_a_body_that_is_no_description_is_a_value_error(body: Any) -> None:
    """The peer server answers 400 to each."""
    schemas = Schemas(list, lambda *_: asyncio.sleep(0))
    schemas.hold(HERE)
    with pytest.raises(ValueError, match=r"^data schema: "):
        schemas.answer(TWO, body)


def test_the_program_is_told_a_bounded_text() -> None:
    """Ten sites are spelt out."""
    assert told([]) == ""
    assert told(["a"] * 13).splitlines() == ["a"] * 10 + ["and 3 more sites"]
