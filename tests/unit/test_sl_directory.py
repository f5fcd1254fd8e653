"""Whose records an SL keeps: those that it has to do with, whoever else the swarm has admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import ChainFault
from swarm.core.ids import ZERO32, Address, Digest, sha256
from swarm.sl import directory
from swarm.sl.directory import Members
from swarm.store.journal import Journal

FAR = 2**40


def node(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


class Chain:
    """A swarm of whatever size: it answers about one member at a time, and lists nobody."""

    def __init__(self) -> None:
        self.asked: list[Address] = []
        self.records: dict[Address, Member] = {}

    async def member(self, node: Address) -> Member:
        self.asked.append(node)
        return self.records.get(node) or Member(Role.SL, Status.ACTIVE, sha256(node), ZERO32, ZERO32, FAR, 1, 1)

    async def holder_of(self, spki: Digest) -> Address | None:
        return next((n for n in map(node, range(100)) if sha256(n) == spki), None)

    def revoke(self, one: Address) -> None:
        self.records[one] = Member(Role.SL, Status.REVOKED, sha256(one), ZERO32, ZERO32, FAR, 1, 9)


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def members(chain: Chain, tmp_path: Path, clock: list[float]) -> Iterator[Members]:
    with Journal(tmp_path / "journal.db") as journal:
        yield Members(chain, journal, lambda: clock[0])  # type: ignore[arg-type]


async def test_only_those_of_the_run_are_read_and_once(chain: Chain, members: Members) -> None:
    """Further blocks ask nothing; a newcomer is one question."""
    for _ in range(5):
        await members.refresh([node(1), node(2)])
    assert sorted(chain.asked) == [node(1), node(2)]
    await members.refresh([node(1), node(2), node(3)])
    assert chain.asked[2:] == [node(3)]
    assert members.active(node(3), 5)
    assert not members.active(node(4), 5)


async def test_a_change_that_the_chain_told_of_is_read_anew(chain: Chain, members: Members) -> None:
    """Revoked: no longer active, and its certificate opens nothing; nobody else is asked about."""
    await members.refresh([node(1), node(2)])
    assert await members.holder(sha256(node(1)), 5) == node(1)
    chain.records[node(1)] = Member(Role.SL, Status.REVOKED, sha256(node(1)), ZERO32, ZERO32, FAR, 1, 9)
    members.changed(node(1))
    await members.refresh([node(1), node(2)])
    assert chain.asked.count(node(2)) == 1
    assert not members.active(node(1), 5)
    assert await members.holder(sha256(node(1)), 5) is None


async def test_a_new_certificate_key_takes_the_place_of_the_old(chain: Chain, members: Members) -> None:
    """After a rebind the peer must show the new one."""
    await members.refresh([node(1)])
    chain.records[node(1)] = Member(Role.SL, Status.ACTIVE, sha256(b"new"), ZERO32, ZERO32, FAR, 1, 9)
    members.changed(node(1))
    await members.refresh([node(1)])
    assert await members.holder(Digest(sha256(b"new")), 5) == node(1)
    assert members.expect(node(1))._spki == sha256(b"new")


async def test_a_member_outside_the_run_is_looked_up_by_its_key(chain: Chain, members: Members) -> None:
    """Such as one that asks before this node has seen its join; its record is kept like the others'."""
    assert await members.holder(sha256(node(7)), 5) == node(7)
    assert await members.holder(sha256(node(7)), 5) == node(7)
    assert chain.asked == [node(7)]


async def test_what_is_kept_has_a_bound(chain: Chain, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects, and whatever runs come and go: the oldest that the run does not need give way."""
    monkeypatch.setattr(directory, "RECORDS_MAX", 8)
    for number in range(0, 60, 3):
        await members.refresh([node(1), node(number), node(number + 1), node(number + 2)])
        assert len(members._members) <= 8
        assert len(members._holders) <= 8
    assert chain.asked.count(node(1)) == 1


async def test_what_no_event_told_of_is_found_after_a_while(chain: Chain, members: Members, clock: list[float]) -> None:
    """A revocation whose event was lost holds at the latest 30 s later, a bounded number of questions a look."""
    everybody = [node(number) for number in range(1, 41)]
    await members.refresh(everybody)
    chain.revoke(node(40))
    clock[0] = directory.AGAIN_SECONDS - 1
    await members.refresh(everybody)
    assert members.active(node(40), 5)
    clock[0] = directory.AGAIN_SECONDS
    asked = len(chain.asked)
    await members.refresh(everybody)
    assert len(chain.asked) == asked + directory.AGAIN_MAX
    for _ in range(2):
        await members.refresh(everybody)
    assert len(chain.asked) == asked + len(everybody)
    assert not members.active(node(40), 5)


async def test_an_answer_that_a_revocation_has_overtaken_is_not_kept(chain: Chain, members: Members) -> None:
    """A peer knocks, its record is asked for; the chain tells of its end before the answer of before is here."""
    peer, answer = node(7), asyncio.Event()
    record = await chain.member(peer)
    of_before = chain.member

    async def late(one: Address) -> Member:
        await answer.wait()
        return record

    chain.member = late  # type: ignore[method-assign]
    knocking = asyncio.ensure_future(members.holder(sha256(peer), 5))
    await asyncio.sleep(0)
    chain.revoke(peer)
    members.changed(peer)
    chain.member = of_before  # type: ignore[method-assign]
    await members.refresh([peer])
    answer.set()
    await knocking
    assert not members.active(peer, 5)
    assert await members.holder(sha256(peer), 5) is None


async def test_a_large_run_is_read_in_parts(chain: Chain, members: Members) -> None:
    """1,065 records: never more at once than the line to the SN lets wait; a part that was read stays."""
    running, most, left = 0, 0, 950
    answer = chain.member

    async def counted(one: Address) -> Member:
        nonlocal running, most, left
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        left -= 1
        if left == 0:
            raise ConnectionError("the SN went away")
        return await answer(one)

    chain.member = counted  # type: ignore[method-assign]
    run = [node(number) for number in range(1, 1066)]
    with pytest.raises(ConnectionError):
        await members.refresh(run)
    kept = sum(members.active(one, 5) for one in run)
    assert kept == 900
    await members.refresh(run)
    assert most == directory.READ_AT_ONCE_MAX
    assert sum(members.active(one, 5) for one in run) == len(run)


async def test_a_turn_to_another_sn_in_the_middle_hides_nobody(chain: Chain, members: Members) -> None:
    """It comes while a newcomer is asked about: the others, known before, are no less active."""
    await members.refresh([node(1), node(2)])
    answer = chain.member

    async def turning(one: Address) -> Member:
        chain.member = answer  # type: ignore[method-assign]
        members.all_changed()
        return await answer(one)

    chain.member = turning  # type: ignore[method-assign]
    everybody = [node(1), node(2), node(3)]
    await members.refresh(everybody)
    assert all(members.active(one, 5) for one in everybody)


async def test_turns_without_end_make_a_look_void(members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded: then it is a fault of the chain, told and tried again; no member is taken for one that has gone."""
    read = members._read

    async def void(nodes: Sequence[Address]) -> None:
        await read(nodes)
        members.all_changed()

    monkeypatch.setattr(members, "_read", void)
    with pytest.raises(ChainFault, match="records of 2 members were void 5 times"):
        await members.refresh([node(1), node(2)])
