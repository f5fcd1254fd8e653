"""What an operator is shown of a program that failed: its site's lines if the chain knows them, else one sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.errors import OperatorFault
from swarm.core.failuretext import hash_of
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.taskrun.work import Key
from swarm.swci import failuretexts
from swarm.swci.commands import runners
from swarm.swci.failuretexts import SHOWN_LINES, last_words

SWOP = Address(b"s" * 20)
KEY = Key(Digest(b"a" * 32), 2, 1)
LINES = [f"line {n}" for n in range(30)] + ["ValueError: \x1b[2Jno column"]


async def words(monkeypatch: pytest.MonkeyPatch, told: Any, text_hash: Digest, *, heard: bool = True) -> list[str]:
    async def nodes_of(*_: object) -> list[Any]:
        return [SimpleNamespace(node=to_hex(SWOP))] if heard else []

    async def lines_of(*_: object) -> tuple[list[str], int]:
        if isinstance(told, Exception):
            raise told
        return told, 0

    async def view() -> None:
        return None

    monkeypatch.setattr(failuretexts, "nodes_of", nodes_of)
    monkeypatch.setattr(failuretexts, "lines_of", lines_of)
    member: Any = SimpleNamespace(view=view, places=None)
    pair: Any = SimpleNamespace(text_hash=text_hash)
    return await last_words(member, SWOP, KEY, pair)


async def test_the_end_of_the_text_whose_hash_is_on_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty lines, and nothing in them steers a terminal."""
    head, *shown = await words(monkeypatch, LINES, hash_of(LINES))
    assert head == f"the last {SHOWN_LINES} lines of pair 2 at SWOP {to_hex(SWOP)}:"
    assert len(shown) == SHOWN_LINES
    assert shown[0] == "  line 11"
    assert "\x1b" not in "".join(shown)


@pytest.mark.parametrize(
    ("told", "on_chain", "heard", "why"),
    [
        (LINES, hash_of(LINES[:-1]), True, "not those whose hash is on the chain: not shown"),
        ([], Digest(bytes(32)), True, "its program wrote nothing before it failed"),
        (LINES, hash_of(LINES), False, "is not heard of"),
        (OperatorFault("the site does not share it"), hash_of(LINES), True, "is kept at its site: the site does not"),
    ],
)
async def test_else_one_sentence_says_why_there_are_none(
    monkeypatch: pytest.MonkeyPatch, told: Any, on_chain: Digest, heard: bool, why: str
) -> None:
    """Whatever a site does, the end of a task is told."""
    [said] = await words(monkeypatch, told, on_chain, heard=heard)
    assert why in said
    assert "ValueError" not in said


async def test_a_viewer_is_not_even_looked_up_for() -> None:
    """What programs wrote is for operators: PEER STATUS asks nobody for it then."""
    session: Any = SimpleNamespace(viewer=True)
    nothing: Any = None
    await runners._tell_words(session, nothing, nothing, "", nothing)
