"""The way to swarms of a SWCI that serves many clients: one SN that hangs is nobody else's trouble."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swarm.swci.access import RealAccess, _Open
from swarm.swci.contexts import Context, ContextBook


async def test_an_sn_that_hangs_holds_up_nobody_in_another_context(tmp_path: Path) -> None:
    """It is entered while others are; who means the same one waits for that, and enters nothing twice."""
    there, settings = asyncio.Event(), Any
    entered: list[str] = []

    class Access(RealAccess):
        async def _enter(self, context: Context, pin: bytes | None) -> _Open:
            entered.append(context.name)
            if context.name == "hangs":
                await there.wait()
            found: Any = SimpleNamespace(name=context.name)
            return _Open(found, b"pin", AsyncExitStack())

    book = ContextBook(None)
    book.create("hangs", "https://a:1")
    book.create("lives", "https://b:1")
    access = Access(settings, tmp_path)  # type: ignore[arg-type]

    def member(name: str) -> Any:
        return access.member(book.get(name), book.pin(name))

    slow = [asyncio.ensure_future(member("hangs")) for _ in range(2)]
    await asyncio.sleep(0)
    found: Any = await asyncio.wait_for(member("lives"), 5)
    assert found.name == "lives"
    there.set()
    first, second = await asyncio.gather(*slow)
    assert first is second
    assert sorted(entered) == ["hangs", "lives"]
