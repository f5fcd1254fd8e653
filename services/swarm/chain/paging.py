"""All logs of some contracts up to a block, page by page. What a node must not miss it follows by :mod:`.feed`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from swarm.core.errors import ChainFault
from swarm.core.ids import Address, to_hex

from .logs import Log, parse_log
from .rpc import Rpc, RpcError

PAGE_BLOCKS_MAX = 10_000


async def logs_up_to(
    rpc: Rpc, head: int, contracts: Sequence[Address], topics: Sequence[str | None] = (), *, first: int = 0
) -> AsyncIterator[Log]:
    """The matching logs of blocks ``first`` to ``head`` in chain order.

    Raises:
        ChainFault: the chain, or the SN before it, failed.
    """
    wanted: dict[str, Any] = {"address": [to_hex(one) for one in contracts], "topics": list(topics)}
    page = PAGE_BLOCKS_MAX
    while first <= head:
        last = min(head, first + page - 1)
        try:
            raw = await rpc("eth_getLogs", [{**wanted, "fromBlock": hex(first), "toBlock": hex(last)}])
        except RpcError:
            if page == 1:
                raise
            page = max(1, page // 4)  # more than the SN gives at once
            continue
        if not isinstance(raw, list):
            raise ChainFault(f"eth_getLogs answered {raw!r:.100}")
        for log in sorted(map(parse_log, raw), key=lambda one: (one.block, one.index)):
            yield log
        first = last + 1
        page = min(PAGE_BLOCKS_MAX, page * 2)
