"""The REST face's stream of the chain's events: server-sent, in order, each once, resumed by id.

Nothing is kept for a client: the chain's logs have numbers, and an id names the block by its hash too. On a chain that
may take blocks back, what is told stands so many blocks deep as WAIT asks for; a client need not undo anything then. If
more was taken back, or an id is of another chain, the event ``reset`` says from which block on all comes again.
"""

# No postponed annotations here: FastAPI reads those of the handlers below.

import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header
from fastapi.responses import StreamingResponse

from swarm.chain.events import EventDecoder
from swarm.chain.paging import logs_up_to
from swarm.core.errors import ChainFault
from swarm.inspect.operator import Member
from swarm.inspect.plain import plain
from swarm.net.answers import ApiError
from swarm.net.identity import PeerIdentity

from .callers import name_of
from .freeing import now_of
from .waiting import DEEP_BLOCKS

STREAMS_MAX = 32
"""Clients that listen to events at once."""
STREAMS_OF_ONE_MAX = 4
"""Of one certificate's name."""
LOOK_SECONDS = 5.0
"""The safety net when no wake-up comes; a comment is sent then, so that a client that is gone is noticed."""
REWIND_BLOCKS = 64
"""How far before an event whose block was taken back all comes again."""
AHEAD_BLOCKS_MAX = 64
"""An SN that lags may be so far behind what a client has; further ahead is no place on this chain."""
LAST_INDEX = 999_999_999
"""Behind every event of a block."""
HASH_CHARS = 8
CONTRACTS = ("Membership", "Training", "JobOptions", "Tasks", "Taskrunners")
EVENT_ID = "([0-9]{1,15})-([0-9]{1,9})(?:-([0-9a-f]{8}))?"
_EVENT_ID = re.compile(EVENT_ID)


@dataclass(frozen=True, slots=True)
class Place:
    """The last event that a client has. Args: hash: the beginning of its block's hash, "" if it is not known."""

    block: int
    index: int
    hash: str = ""

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises ApiError: it is no event's id."""
        found = _EVENT_ID.fullmatch(text)
        if found is None:
            raise ApiError(422, "bad_request", "Last-Event-ID: expected the id of an event, <block>-<index>-<hash>")
        return cls(int(found[1]), int(found[2]), found[3] or "")

    def __str__(self) -> str:
        return f"{self.block}-{self.index}" + (f"-{self.hash}" if self.hash else "")


class Seats:
    """So many at once in all, and of one name; taken before any work is done for it."""

    def __init__(self, most: int, of_one: int) -> None:
        self._most, self._of_one = most, of_one
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[None]:
        """Raises ApiError: there is none left."""
        if self._taken[name] >= self._of_one:
            raise ApiError(503, "busy", f"{self._of_one} clients with this certificate's name listen already")
        if self._taken.total() >= self._most:
            raise ApiError(503, "busy", f"{self._most} clients listen already")
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            self._taken += Counter()  # drops names that have none


def add_stream(
    app: FastAPI, member_of: Callable[..., Awaitable[Member]], caller_of: Callable[..., Awaitable[PeerIdentity]]
) -> None:
    """Args: member_of, caller_of: dependencies: this SWCI in the swarm of a caller's shell, and the caller itself."""
    seats = Seats(STREAMS_MAX, STREAMS_OF_ONE_MAX)

    async def seat(caller: Annotated[PeerIdentity, Depends(caller_of)]) -> AsyncIterator[PeerIdentity]:
        with seats.taken(name_of(caller)):
            yield caller  # until the whole answer is sent

    @app.get(
        "/v1/events",
        summary="The chain's events from Last-Event-ID on, or those to come (server-sent events)",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        caller: Annotated[PeerIdentity, Depends(seat)],
        here: Annotated[Member, Depends(member_of)],
        last_event_id: Annotated[str, Header(max_length=40, pattern=f"^({EVENT_ID})?$")] = "",
    ) -> StreamingResponse:
        last = Place.parse(last_event_id) if last_event_id else None
        return StreamingResponse(follow(here, last, caller.not_after), media_type="text/event-stream")


async def follow(here: Member, last: Place | None, until: datetime) -> AsyncIterator[str]:
    """Events as they come, one page of logs in memory at a time: a client that does not read holds up only itself.

    Args:
        last: the last one that the client has; None: those to come.
        until: the end of the client's certificate, and so of its stream.
    """
    there = {name: here.swarm.contracts[name] for name in CONTRACTS}
    decode, depth = EventDecoder(there), DEEP_BLOCKS if here.swarm.can_reorganise else 0
    at, unchecked, head = last, True, -1
    while datetime.now(UTC) < until:
        ticket = here.reader.waker.ticket()
        try:
            head = max(0, (await now_of(here.reader))[0] - depth)
            if at is None:
                at, unchecked = Place(head, LAST_INDEX, await _hash(here, head)), False
            if unchecked or depth:
                why, again = await _broken(here, at, head)
                if why:
                    at = again
                    data = json.dumps({"from": again.block + 1, "why": why})
                    yield f"id: {again}\nevent: reset\ndata: {data}\n\n"
                unchecked = False
            async for log in logs_up_to(here.link.rpc, head, list(there.values()), first=at.block):
                event = decode(log)
                if event is not None and (log.block, log.index) > (at.block, at.index):
                    at = Place(log.block, log.index, log.block_hash.hex()[:HASH_CHARS])
                    data = json.dumps(plain(event), default=str)
                    yield f"id: {at}\nevent: {type(event).__name__}\ndata: {data}\n\n"
        except ChainFault as fault:
            yield f": the SN does not answer: {' '.join(str(fault).split())}\n\n"
        if not await ticket.wait(LOOK_SECONDS):
            lags = at is not None and 0 <= head < at.block
            yield f": the chain is at block {head}, waiting for more\n\n" if lags else ": waiting\n\n"
    yield ": your certificate has expired\n\n"


async def _broken(here: Member, at: Place, head: int) -> tuple[str, Place]:
    """Why the chain does not go on behind that place, "" if it does; and where it is followed from then."""
    if at.block > head + AHEAD_BLOCKS_MAX:
        return f"the chain has no block {at.block} yet, it is at {head}", Place(
            head, LAST_INDEX, await _hash(here, head)
        )
    if not at.hash or at.block > head or await _hash(here, at.block) == at.hash:
        return "", at
    first = max(0, at.block - REWIND_BLOCKS)
    return f"block {at.block} is another one now", Place(first, LAST_INDEX if first else 0, await _hash(here, first))


async def _hash(here: Member, block: int) -> str:
    found: Any = await here.link.rpc("eth_getBlockByNumber", [hex(block), False])
    if not isinstance(found, dict):
        raise ChainFault(f"the SN does not know block {block}")
    return str(found["hash"])[2 : 2 + HASH_CHARS].lower()
