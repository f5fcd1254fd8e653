"""The event feed against a scripted chain: lagging nodes, long backlogs, reorgs across pages, failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from swarm.chain.feed import PAGE_BLOCKS_MAX, Cursor, EventFeed, ForeignChain, Happened, Removed
from swarm.chain.logs import Log
from swarm.chain.rpc import RpcError, RpcUnreachable
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault
from swarm.core.ids import Address, sha256, to_hex

WHO = Address(b"\x01" * 20)
SECONDS_MAX = 5.0


class Scripted:
    """A chain whose blocks carry one log each where ``marks`` says so; every answer is counted."""

    def __init__(self, blocks: int) -> None:
        self.hashes = [sha256(b"block %d" % n) for n in range(blocks)]
        self.marks: set[int] = set()
        self.logs_max = 10**9
        self.down = False
        self.calls: list[tuple[str, Any]] = []

    def fork(self, height: int, to: int) -> None:
        """Replace everything from ``height`` on; the new branch is ``to`` blocks high in all."""
        self.hashes[height:] = [sha256(b"fork %d" % n) for n in range(height, to)]
        self.marks = {m for m in self.marks if m < height}

    async def __call__(self, method: str, params: list[Any]) -> Any:
        self.calls.append((method, params))
        if self.down:
            raise RpcUnreachable("down")
        if method == "eth_getBlockByNumber":
            n = len(self.hashes) - 1 if params[0] == "latest" else int(params[0], 16)
            return {"number": hex(n), "hash": to_hex(self.hashes[n])} if n < len(self.hashes) else None
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        found = sorted(m for m in self.marks if first <= m <= last)
        if len(found) > self.logs_max:
            raise RpcError(-32005, "query returned more than 10 results")
        return [self._log(n) for n in found]

    def _log(self, n: int) -> dict[str, Any]:
        return {
            "address": to_hex(WHO),
            "topics": [],
            "data": "0x",
            "blockNumber": hex(n),
            "blockHash": to_hex(self.hashes[n]),
            "transactionHash": to_hex(sha256(b"tx")),
            "logIndex": "0x0",
        }


class Book:
    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursor = cursor
        self.saves = 0
        self.got: list[tuple[str, int]] = []

    def load(self) -> Cursor | None:
        return self.cursor

    def save(self, cursor: Cursor) -> None:
        self.cursor, self.saves = cursor, self.saves + 1

    async def __call__(self, notice: Happened | Removed) -> None:
        self.got.append(("+" if isinstance(notice, Happened) else "-", notice.log.block))


def feed(chain: Scripted, book: Book, final: int = 3, **options: Any) -> EventFeed:
    def decode(log: Log) -> int:
        return log.block

    return EventFeed(chain, [WHO], decode, book, confirmations_final=final, waker=Waker(), **options)


async def test_a_reorg_removes_newest_first_and_only_what_is_gone() -> None:
    """Logs on the abandoned branch are taken back in reverse; those below the fork stay told once."""
    chain, book = Scripted(11), Book()
    chain.marks = {8, 9, 10}
    one = feed(chain, book)
    await one.catch_up(book)
    chain.fork(9, 12)
    chain.marks |= {10}
    await one.catch_up(book)
    assert book.got == [("+", 8), ("+", 9), ("+", 10), ("-", 10), ("-", 9), ("+", 10)]


@pytest.mark.parametrize("height", [10, 11, 12])
async def test_a_reorg_is_seen_whole_while_the_new_branch_is_shorter(height: int) -> None:
    """What stood above a replaced block is gone with it, newest first, before the chain is as high again."""
    chain, book = Scripted(12), Book()
    chain.marks = {8, 9, 11}
    one = feed(chain, book, final=6)
    await one.catch_up(book)
    chain.fork(9, height)
    await one.catch_up(book)
    assert book.got[3:] == [("-", 11), ("-", 9)]
    chain.hashes.append(sha256(b"next"))
    await one.catch_up(book)
    assert len(book.got) == 5


async def test_a_lagging_node_takes_nothing_back() -> None:
    """After a fail-over to a node that is behind, events above its head are neither removed nor told again."""
    chain, book = Scripted(11), Book()
    chain.marks = {9, 10}
    one = feed(chain, book)
    await one.catch_up(book)
    behind = chain.hashes.pop()
    await one.catch_up(book)
    chain.hashes.append(behind)
    chain.hashes.append(sha256(b"next"))
    await one.catch_up(book)
    assert book.got == [("+", 9), ("+", 10)]


async def test_a_long_backlog_is_read_in_pages_each_event_once() -> None:
    """A node that was away reads bounded pages and tells every event once, in order."""
    chain, book = Scripted(2 * PAGE_BLOCKS_MAX + 500), Book()
    chain.marks = set(range(0, len(chain.hashes), 7))
    await feed(chain, book).catch_up(book)
    assert book.got == [("+", n) for n in sorted(chain.marks)]
    spans = [int(p[0]["toBlock"], 16) - int(p[0]["fromBlock"], 16) + 1 for m, p in chain.calls if m == "eth_getLogs"]
    assert max(spans) <= PAGE_BLOCKS_MAX + 3
    assert book.cursor == Cursor(len(chain.hashes) - 4, chain.hashes[-4])


async def test_a_node_that_gives_fewer_logs_is_asked_for_less() -> None:
    """A limit on results shrinks the page until the answer fits; nothing is skipped."""
    chain, book = Scripted(300), Book()
    chain.marks, chain.logs_max = set(range(300)), 40
    await feed(chain, book).catch_up(book)
    assert book.got == [("+", n) for n in range(300)]


async def test_the_cursor_moves_only_over_handled_events() -> None:
    """A handler that fails leaves the cursor where it was, so the event comes again after a restart."""
    chain, book = Scripted(10), Book()
    chain.marks = {2}

    async def fails(_: Any) -> None:
        raise ValueError("handler")

    with pytest.raises(ValueError, match="handler"):
        await feed(chain, book).catch_up(fails)
    assert book.cursor is None
    await feed(chain, book).catch_up(book)
    assert book.got == [("+", 2)]
    assert book.cursor == Cursor(6, chain.hashes[6])


async def test_failures_of_the_node_are_retried_and_shown() -> None:
    """While the node is down the feed says so, and goes on by itself when it is back."""
    chain, book = Scripted(10), Book()
    chain.marks, chain.down = {9}, True
    pauses: list[float] = []
    one: EventFeed

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            assert one.trouble == "down"
            chain.down = False
        await asyncio.sleep(0)

    one = feed(chain, book, sleep=sleep)
    running = asyncio.create_task(one.run(book))
    async with asyncio.timeout(SECONDS_MAX):
        while not book.got:  # noqa: ASYNC110 - the feed's own sleep is scripted
            await asyncio.sleep(0)
    running.cancel()
    assert pauses[:3] == [0.1, 0.2, 0.5]
    assert one.trouble == ""
    assert book.got == [("+", 9)]


async def test_a_replaced_final_block_is_an_incident() -> None:
    """A reorg below what was final is never papered over."""
    chain, book = Scripted(10), Book()
    chain.marks = {2}
    await feed(chain, book).catch_up(book)
    chain.fork(3, 12)
    with pytest.raises(ForeignChain, match="block 6"):
        await feed(chain, book).run(book)


async def test_a_node_that_has_not_caught_up_is_waited_for() -> None:
    """A node below our cursor is not another chain: it is behind, and that is said."""
    chain = Scripted(5)
    book = Book(Cursor(8, sha256(b"block 8")))
    with pytest.raises(ChainFault, match="has not reached block 8"):
        await feed(chain, book).catch_up(book)
    chain.hashes = [sha256(b"block %d" % n) for n in range(12)]
    chain.marks = {8, 9}
    await feed(chain, book, final=0).catch_up(book)
    assert book.got == [("+", 9)]


async def test_a_quiet_chain_is_not_read_again() -> None:
    """As long as the head stays, a look costs one request and reads no logs."""
    chain, book = Scripted(10), Book()
    one = feed(chain, book)
    await one.catch_up(book)
    before = len(chain.calls)
    await one.catch_up(book)
    assert [m for m, _ in chain.calls[before:]] == ["eth_getBlockByNumber"]
