"""Which node LOGS means, and where it is reached."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from swarm.core.errors import OperatorFault
from swarm.inspect.nodes import Node
from swarm.swci.nodelogs import called, last_lines


def node(kind: str, name: str, number: int, host: str = "-", port: str = "-") -> Node:
    uid = f"0x{number:040x}"
    return Node(kind, host, port, name, uid, uid, 0.0)


NODES = [node("SENTINEL", "sn-1", 0xA1), node("SL", "sl-1", 0xB1), node("SL", "twin", 0xB2), node("SL", "twin", 0xB3)]


def test_a_node_is_called_by_its_name_or_its_uuid() -> None:
    """A name that two have is none; what is none is answered with what is there."""
    assert called(NODES, "sl-1") is NODES[1]
    assert called(NODES, NODES[3].node) is NODES[3]
    with pytest.raises(OperatorFault, match="there is no node 'twin'"):
        called(NODES, "twin")
    with pytest.raises(OperatorFault, match="did you mean sl-1"):
        called(NODES, "sl-9")


@pytest.mark.parametrize(
    ("kind", "told"),
    [("SL", "joins a training"), ("SN", "--host-ip"), ("SENTINEL", "--host-ip"), ("SWOP", "started with --host-ip")],
)
async def test_a_node_that_told_no_address_is_not_looked_for(kind: str, told: str) -> None:
    """One sentence: why it is not known, and where the lines can be read."""
    view: Any = SimpleNamespace(status={"node": "0x00"})
    with pytest.raises(OperatorFault, match=f"{told}.*read them at that site"):
        await last_lines(SimpleNamespace(), view, node(kind, "x", 1))  # type: ignore[arg-type]
