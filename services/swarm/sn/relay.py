"""Forwards checked calls to the chain and puts the answers together; bounded in rate, range and size.

Owns what happens between :mod:`swarm.sn.gateway` (what may be asked) and the chain. Who the asker is was
decided before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from typing import Any

from swarm.chain.rpc import Rpc
from swarm.core.errors import ChainFault
from swarm.core.limits import HTTP_BODY_BYTES_MAX
from swarm.net.answers import ApiError
from swarm.node.rates import Buckets

from .gateway import (
    INTERNAL,
    LIMIT,
    LOGS_BLOCKS_MAX,
    PARAMS,
    REFUSED,
    Call,
    Fault,
    Request,
    cost,
    logs_range,
    parse,
    target,
)

log = logging.getLogger(__name__)

RATE_PER_SECOND = 400.0
RATE_BURST = 2000.0
"""In tokens of :func:`swarm.sn.gateway.cost`; a node in a fast round needs some 50 a second."""
ANSWER_BYTES_MAX = HTTP_BODY_BYTES_MAX - 64 * 1024
"""Below what our clients read of an answer, with room for the error that says so."""


class Relay:
    """The chain's JSON-RPC for members.

    Args:
        contracts: the only code that may be run, by calls and by transactions: a member's own contract could
            otherwise burn the chain's time (lower-case addresses).
    """

    def __init__(self, rpc: Rpc, contracts: Collection[str], buckets: Buckets | None = None) -> None:
        self._rpc = rpc
        self._contracts = frozenset(contracts)
        self._buckets = buckets or Buckets(RATE_PER_SECOND, RATE_BURST)

    async def answer(self, peer: bytes, body: bytes) -> bytes:
        """The JSON-RPC answer to one request body of the peer with this key.

        Raises:
            ApiError: 429, the peer's rate is used up.
        """
        request = parse(body)
        if isinstance(request, Fault):
            self._pay(peer, 1)
            return _encode(request.to_json())
        self._pay(peer, sum(cost(c) if isinstance(c, Call) else 1 for c in request.calls))
        return await self._answers(request)

    def _pay(self, peer: bytes, tokens: float) -> None:
        wait = self._buckets.take(peer, tokens)
        if wait:
            raise ApiError(429, "too_many_requests", f"the rate of this node is used up; wait {wait:.2f} s", wait=wait)

    async def _answers(self, request: Request) -> bytes:
        parts: list[bytes] = []
        size = 0
        # One after the other: a batch may hold transactions whose order matters.
        for call in request.calls:
            part = _encode(call.to_json() if isinstance(call, Fault) else await self._one(call))
            if size + len(part) > ANSWER_BYTES_MAX:
                over = f"the answer would have more than {ANSWER_BYTES_MAX} bytes; ask for less at a time"
                part = _encode(Fault(call.id, LIMIT, over).to_json())
            size += len(part) + 1
            parts.append(part)
        return b"[" + b",".join(parts) + b"]" if request.batch else parts[0]

    async def _one(self, call: Call) -> dict[str, Any]:
        try:
            aim = target(call)
        except ValueError as error:
            return Fault(call.id, PARAMS, f"{call.method}: {error}").to_json()
        if aim is not None and aim not in self._contracts:
            told = f"{call.method}: {aim} is none of this swarm's contracts; only those can be called"
            return Fault(call.id, REFUSED, told).to_json()
        try:
            if call.method == "eth_getLogs" and "blockHash" not in call.params[0]:
                head = int(await self._rpc("eth_blockNumber", []), 16)
                wanted = logs_range(call.params, head)
                if wanted > LOGS_BLOCKS_MAX:
                    told = f"at most {LOGS_BLOCKS_MAX} blocks at a time, this asks for {wanted}"
                    return Fault(call.id, LIMIT, told).to_json()
            result = await self._rpc(call.method, call.params)
        except ChainFault as error:
            code = getattr(error, "code", None)
            if not isinstance(code, int):
                log.warning("%s was not answered by the chain: %s", call.method, error)
                return Fault(call.id, INTERNAL, "the chain does not answer now; try again").to_json()
            answer = Fault(call.id, code, getattr(error, "message", str(error))).to_json()
            data = getattr(error, "data", None)
            if data is not None:
                answer["error"]["data"] = data
            return answer
        return {"jsonrpc": "2.0", "id": call.id, "result": result}


def _encode(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
