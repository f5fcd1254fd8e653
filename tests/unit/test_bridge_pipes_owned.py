"""A pair of pipes belongs to one SL."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_shell import Log, Shell, bridge_at
from swarm.core.errors import OperatorFault
from swarm.sl.bridge.bridge import FifoBridge


async def test_a_second_sl_on_the_same_pipes_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    """Each would read half of what a program says: the pipe, who has it and what to set are named."""
    async with bridge_at(tmp_path) as first:
        own = tmp_path / "second"
        second = FifoBridge(first.request, first.response, first.exchange, own, Shell(own), log=Log())
        with pytest.raises(OperatorFault, match=r"request\S* belongs to another running process .*SL_REQUEST_CHANNEL"):
            second.prepare()
    second.prepare()
