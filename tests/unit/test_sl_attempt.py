"""What an SL tells its SWOP of the run that it joined."""

from __future__ import annotations

import asyncio
from pathlib import Path

from swarm.core.ids import Address, Digest
from swarm.core.swop.outcome import Joined, joined_of
from swarm.sl.attempt import tell_joined

JOINED = Joined(Address(bytes(20)), Digest(bytes(32)), 2)


async def test_an_earlier_attempts_word_goes_and_a_new_one_comes_once_joined(tmp_path: Path) -> None:
    """Nothing while no program has joined: that is how its SWOP sees one that never did (row X15)."""
    path, looks = tmp_path / "joined.json", 0
    path.write_text("of an earlier attempt")

    def look() -> Joined | None:
        nonlocal looks
        looks += 1
        assert not path.exists()
        return JOINED if looks > 2 else None

    async with asyncio.timeout(10):
        await tell_joined(path, "mark", look)
    assert joined_of(path.read_bytes(), "mark") == JOINED
    assert joined_of(path.read_bytes(), "another") is None
    assert path.stat().st_mode & 0o777 == 0o600
