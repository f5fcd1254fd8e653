"""The SN's memory: who holds which key (cached), how much each may ask, and listeners of heads."""

from __future__ import annotations

import pytest
from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import ChainFault
from swarm.core.ids import ZERO32, Address
from swarm.net.answers import ApiError
from swarm.node.rates import PEERS_MAX, Buckets
from swarm.sn.heads import LISTENERS_MAX, LISTENERS_PEER_MAX, QUEUE_HEADS_MAX, Head, Heads, TooManyListeners
from swarm.sn.members import CACHE_SECONDS_MAX, Members
from swarm.sn.relay import ANSWER_BYTES_MAX, Relay

KEY, NODE = b"\x01" * 32, Address(b"\x02" * 20)


class Ledger:
    """A Membership contract in memory that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.number = 1
        self.status = Status.ACTIVE
        self.expires = 1000
        self.broken = False

    async def version(self) -> int:
        self.asked.append("version")
        if self.broken:
            raise ChainFault("down")
        return self.number

    async def holder_of(self, spki: bytes) -> Address | None:
        self.asked.append("holder")
        return NODE if spki == KEY else None

    async def member(self, node: Address) -> Member:
        self.asked.append("member")
        return Member(Role.SL, self.status, KEY, ZERO32, ZERO32, self.expires, 1, 1)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_request_costs_no_call_while_the_chain_stands_still():
    """One look-up, then none; a head without changes costs one call, a new version a fresh look-up."""
    ledger, clock = Ledger(), Clock()
    members = Members(ledger, clock)
    for _ in range(10):
        assert await members.active(KEY) == NODE
    assert ledger.asked == ["version", "holder", "member"]
    members.head_moved()
    assert await members.active(KEY) == NODE
    assert ledger.asked[3:] == ["version"]


async def test_a_revocation_counts_from_the_next_head():
    """After the head that changed the version, the member is none."""
    ledger = Ledger()
    members = Members(ledger, Clock())
    assert await members.active(KEY) == NODE
    ledger.status, ledger.number = Status.REVOKED, 2
    members.head_moved()
    assert await members.active(KEY) is None


async def test_expiry_needs_no_block():
    """A member that is cached as active ends at its second."""
    ledger, clock = Ledger(), Clock()
    members = Members(ledger, clock)
    clock.now = ledger.expires - CACHE_SECONDS_MAX / 2
    assert await members.active(KEY) == NODE
    clock.now = ledger.expires + 1
    assert await members.active(KEY) is None


async def test_an_unanswered_version_lets_nobody_in_by_old_knowledge():
    """When the chain does not answer after a new head, the cache is not used."""
    ledger = Ledger()
    members = Members(ledger, Clock())
    await members.active(KEY)
    members.head_moved()
    ledger.broken = True
    for _ in range(2):
        with pytest.raises(ChainFault):
            await members.active(KEY)


async def test_a_stranger_is_nobody():
    """A key that no member holds."""
    assert await Members(Ledger(), Clock()).active(b"\x09" * 32) is None


def test_a_bucket_empties_and_fills():
    """Burst, then the rate; one peer's use is not another's; waiting time is told exactly."""
    clock = Clock()
    buckets = Buckets(10.0, 20.0, clock)
    assert buckets.take(b"a", 20) == 0
    assert buckets.take(b"a", 5) == pytest.approx(0.5)
    assert buckets.take(b"b", 20) == 0
    clock.now += 0.5
    assert buckets.take(b"a", 5) == 0
    clock.now += 100
    assert buckets.take(b"a", 1000) == 0
    assert buckets.take(b"a", 1) > 0


def test_buckets_are_bounded():
    """Peers beyond the bound push out those seen longest ago."""
    buckets = Buckets(1.0, 1.0, Clock())
    for number in range(PEERS_MAX + 10):
        buckets.take(number.to_bytes(4, "big"))
    assert buckets.take((PEERS_MAX + 9).to_bytes(4, "big")) > 0
    assert buckets.take((0).to_bytes(4, "big")) == 0


def head(number: int) -> Head:
    return Head(number, hex(number), number, 0)


def test_a_slow_listener_is_dropped_and_told():
    """A full queue drops its listener; the others go on."""
    heads = Heads()
    with heads.listen(b"a") as slow, heads.listen(b"b") as quick:
        for number in range(QUEUE_HEADS_MAX + 1):
            heads.publish(head(number))
            quick.queue.get_nowait()
        assert slow.dropped.is_set()
        assert not quick.dropped.is_set()
        assert heads.latest == head(QUEUE_HEADS_MAX)


def test_listeners_are_bounded_and_leave():
    """One above the bound is refused; a place given back is free."""
    heads = Heads()
    held = [heads.listen(b"%d" % n) for n in range(LISTENERS_MAX)]
    for one in held:
        one.__enter__()
    with pytest.raises(TooManyListeners), heads.listen(b"x"):
        pass
    held[0].__exit__(None, None, None)
    with heads.listen(b"x"):
        pass


def test_one_peer_cannot_take_all_places():
    """Beyond its own bound a peer is refused, others are not."""
    heads = Heads()
    held = [heads.listen(b"a") for _ in range(LISTENERS_PEER_MAX)]
    for one in held:
        one.__enter__()
    with pytest.raises(TooManyListeners), heads.listen(b"a"):
        pass
    with heads.listen(b"b"):
        pass


async def test_the_relay_bounds_rate_range_and_size():
    """429 when the rate is used up, -32005 for too many blocks or too large an answer."""

    async def rpc(method, params):
        return {"eth_blockNumber": hex(50_000), "eth_getCode": "0x" + "00" * ANSWER_BYTES_MAX}.get(method, [])

    relay = Relay(rpc, [], Buckets(1.0, 30.0, Clock()))
    logs = b'{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x0"}]}'
    assert b"-32005" in await relay.answer(b"a", logs)
    code = b'{"jsonrpc":"2.0","id":1,"method":"eth_getCode","params":["0x' + b"11" * 20 + b'"]}'
    answer = await relay.answer(b"a", code)
    assert b"-32005" in answer
    assert len(answer) < 1000
    for _ in range(30):
        last = await relay.answer(b"b", b"[")
        assert b"-32700" in last
    with pytest.raises(ApiError) as refused:
        await relay.answer(b"b", b"[")
    assert refused.value.status == 429


async def test_reverts_reach_the_caller_as_the_chain_gave_them():
    """Code and data of the chain's error travel on; a chain without an answer is -32603."""

    class Said(ChainFault):
        code, message, data = 3, "execution reverted", "0xdead"

    async def rpc(method, params):
        raise Said("x") if method == "eth_call" else ChainFault("gone")

    relay = Relay(rpc, ["0x" + "11" * 20])
    call = b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x' + b"11" * 20 + b'"}]}'
    assert b'"code":3' in (answer := await relay.answer(b"a", call))
    assert b'"data":"0xdead"' in answer
    assert b"-32603" in await relay.answer(b"a", b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}')
