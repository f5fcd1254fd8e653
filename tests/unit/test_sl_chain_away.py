"""A program opens its session in the very moment in which the chain does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from swarm.chain.rpc import RpcError, RpcUnreachable
from swarm.core.errors import ChainFault, ProgramFault
from swarm.node.sn_link import INTERNAL
from swarm.obs.waits import Waits
from swarm.sl import asking, service
from swarm.sl.service import Node


def node(monkeypatch: pytest.MonkeyPatch, *faults: ChainFault) -> Node:
    """An SL whose chain fails so often, and then knows no job at all."""
    left = list(faults)

    class Training:
        def __init__(self, client: Any, address: Any) -> None: ...

        async def name_of(self, job: bytes) -> str:
            if left:
                raise left.pop(0)
            return ""

    monkeypatch.setattr(service, "Training", Training)
    monkeypatch.setattr(service, "Membership", Training)
    monkeypatch.setattr(asking, "CHAIN_RETRY_SECONDS", 0.01)
    made = Node.__new__(Node)
    unused: Any = SimpleNamespace(training=None, membership=None, url="https://sn:1")
    made._runtime, made._client, made._swarm, made._group = None, unused, unused, unused
    made._waits, made._link = Waits(), unused
    return made


async def test_a_program_waits_while_an_sn_restarts_its_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A geth that restarts to meet another SN is away for seconds; no program ends for that."""
    away = (RpcUnreachable("503 starting"), RpcError(INTERNAL, "the chain does not answer now"))
    with pytest.raises(ProgramFault, match="no training contract"):
        await node(monkeypatch, *away)._take_part("job")


async def test_what_the_chain_says_no_to_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only absence is waited for."""
    with pytest.raises(RpcError, match="method not found"):
        await node(monkeypatch, RpcError(-32601, "method not found"))._take_part("job")


async def test_the_wait_for_the_chain_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is not kept for ever before it has begun."""
    monkeypatch.setattr(asking, "CHAIN_WAIT_SECONDS", 0.05)
    with pytest.raises(RpcUnreachable):
        await node(monkeypatch, *[RpcUnreachable("down")] * 1000)._take_part("job")
