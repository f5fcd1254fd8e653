"""What a program wrote before it failed, from the SWOP that has it: shown only if its hash is the chain's.

Owns the way there and what is said where there is none; the form is :mod:`swarm.core.failuretext`'s.
"""

from __future__ import annotations

import time

from swarm.core.errors import ChainFault, OperatorFault, PeerFault
from swarm.core.failuretext import hash_of, query_of
from swarm.core.ids import Address, to_hex
from swarm.core.shown import shown
from swarm.core.taskrun.work import Key
from swarm.core.taskview import Pair
from swarm.inspect.nodes import nodes_of
from swarm.inspect.operator import Member

from .nodelogs import lines_of

SHOWN_LINES = 20


async def last_words(member: Member, swop: Address, key: Key, pair: Pair) -> list[str]:
    """Lines for people: the end of that text, or one that says why it is not shown.

    Never raises for what a site or its network does: a task's end is told in any case.
    """
    name = f"SWOP {to_hex(swop)}"
    if not any(pair.text_hash):
        return [f"{name} has no lines of pair {key.pair}: its program wrote nothing before it failed"]
    try:
        view = await member.view()
        living = await nodes_of(view, member.places, time.time())
        node = next((one for one in living if one.node == to_hex(swop)), None)
        if node is None:
            return [f"{name} is not heard of: what the program of pair {key.pair} wrote is kept there"]
        lines, _ = await lines_of(member, view, node, query_of(key))
    except (OperatorFault, PeerFault, ChainFault) as fault:
        return [f"what the program of pair {key.pair} wrote last is kept at its site: {fault}"]
    if hash_of(lines) != pair.text_hash:
        return [f"{name} gives lines of pair {key.pair} that are not those whose hash is on the chain: not shown"]
    last = [shown(line) for line in lines[-SHOWN_LINES:]]
    return [f"the last {len(last)} lines of pair {key.pair} at {name}:", *(f"  {line}" for line in last)]
