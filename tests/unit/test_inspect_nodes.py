"""LIST NODES from signs of life: when a node was heard, and below which SN it stands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.ids import Address
from swarm.inspect.nodes import nodes_of

TOLD, HERE = 1_700_000_000.0, 1_700_000_600.0


class Nowhere:
    """Nobody said where it is reached."""

    async def of(self, jobs: Any) -> dict[str, tuple[str, str]]:
        return {}


def view(signs: list[dict[str, Any]], **status: Any) -> Any:
    async def owner() -> Address:
        return Address(b"\x01" * 20)

    return SimpleNamespace(signs=signs, status={"node": "0xaa", **status}, membership=SimpleNamespace(owner=owner))


def sign(node: str, role: str, sn: str, name: str = "") -> dict[str, Any]:
    return {"node": node, "role": role, "name": name, "alive": True, "age_seconds": 5.0, "sn": sn, "said": None}


@pytest.mark.parametrize(("status", "at"), [({"time": TOLD}, TOLD - 5), ({}, HERE - 5)])
async def test_when_a_node_was_heard_is_told_in_the_time_of_who_heard_it(status: dict[str, float], at: float) -> None:
    """A clock of this host that is ten minutes ahead says nothing of it; an SN of an older version tells none."""
    places: Any = Nowhere()
    (found,) = await nodes_of(view([sign("0xaa", "sn", "sn-1", "sn-1")], **status), places, HERE)
    assert found.at == at


async def test_many_sns_that_are_called_alike_are_looked_at_once_each() -> None:
    """Whatever an SN lists: a name that several have names none of them."""
    places: Any = Nowhere()
    signs = [sign(f"0x{number:040x}", "sn", "twin", "twin") for number in range(20_000)]
    found = await nodes_of(view([*signs, sign("0xcc", "sl", "twin", "sl-1")]), places, HERE)
    assert len(found) == 20_001
    assert found[-1].parent == "0xaa"
