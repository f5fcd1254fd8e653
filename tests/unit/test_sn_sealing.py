"""One SN among others, its chain and its fellows faked: who counts as alive, when it seals, what it votes."""

from __future__ import annotations

import pytest
from swarm.core.errors import ChainFault
from swarm.core.ids import Address
from swarm.obs.waits import Waits
from swarm.sn import sealing
from swarm.sn.fleet import Answer, Sn
from swarm.sn.sealers import Life
from swarm.sn.sealing import FORK_SECONDS, Sealing

DEAD = 60.0
UP, DOWN, LEAVING, NONE = Answer.UP, Answer.DOWN, Answer.LEAVING, Answer.NONE


def place(letter: str) -> Address:
    return Address(letter.encode() * 20)


def sn(letter: str, since: int) -> Sn:
    enode = f"enode://{'0' * 128}@127.0.0.1:{since}"
    return Sn(place(letter), f"https://{letter}:1", enode, place(letter.upper()), since, letter == "a")


class Chain:
    """geth and GethHost at once: blocks sealed by letters."""

    def __init__(self, signers: str) -> None:
        self.synced, self.enode, self.sealer = True, "enode://me", place("A")
        self.who = [place(s) for s in signers]
        self.blocks: list[Address] = [place("A")]
        self.mines, self.votes, self.met, self.rewound = False, {}, [], []

    admin = property(lambda self: self)

    def known_peers(self) -> dict[Address, str]:
        return {}

    async def meet(self, wanted) -> None:
        self.met.append(sorted(bytes(n[:1]).decode() for n in wanted))

    async def signers(self) -> list[Address]:
        return self.who

    async def height(self) -> int:
        return len(self.blocks) - 1

    async def block(self, number: int | None = None) -> tuple[int, str] | None:
        at = len(self.blocks) - 1 if number is None else number
        return (at, f"{at}-mine") if at < len(self.blocks) else None

    async def tip(self) -> tuple[int, str, int]:
        return len(self.blocks) - 1, "0xff", len(self.blocks)

    async def sealer_of(self, block_hash: str) -> Address:
        return self.blocks[int(block_hash.split("-")[0])]

    async def sealing(self) -> bool:
        return self.mines

    async def start_sealing(self) -> None:
        self.mines = True

    async def stop_sealing(self) -> None:
        self.mines = False

    async def rewind(self, number: int) -> None:
        self.rewound.append(number)

    async def proposals(self) -> dict[Address, bool]:
        return dict(self.votes)

    async def propose(self, who: Address, seal: bool) -> None:
        self.votes[who] = seal

    async def discard(self, who: Address) -> None:
        del self.votes[who]


class Fellows:
    """The other SNs' answers and heads, by letter."""

    def __init__(self, chain: Chain, letters: str) -> None:
        self.chain = chain
        self.sns = [sn(letter, at) for at, letter in enumerate(letters)]
        self.answers = dict.fromkeys(letters[1:], UP)
        self.agrees = dict.fromkeys(letters[1:], True)
        self.tips: dict[str, object] = {}
        self.fault = False

    def others(self) -> list[Sn]:
        return self.sns[1:]

    async def refresh(self) -> list[Sn]:
        if self.fault:
            raise ChainFault("no chain")
        return self.sns

    async def ask_all(self):
        return {one.node: self.answers[one.node[:1].decode()] for one in self.others()}

    async def block(self, one: Sn, number: int | None = None):
        mine = await self.chain.block(number)
        return mine if self.agrees[one.node[:1].decode()] else (mine[0], "another")

    async def tip(self, one: Sn):
        return self.tips.get(one.node[:1].decode())


class World:
    def __init__(self, letters: str = "abc", signers: str = "A") -> None:
        self.now = 0.0
        self.chain = Chain(signers)
        self.fleet = Fellows(self.chain, letters)
        self.waits = Waits()
        self.sealing = Sealing(
            self.chain,
            self.fleet,
            place("a"),
            self.waits,
            ready=lambda: True,
            dead_seconds=DEAD,
            clock=lambda: self.now,
        )

    async def look(self, seconds: float = 1.0, sealed: str = "A") -> str:
        """Time passes, blocks come, one look; the lives as letters of READY, SHAKY, LEAVING, DEAD."""
        self.now += seconds
        self.chain.blocks += [place(s) for s in sealed]
        await self.sealing._look()
        return "".join(life.name[0] for life in self.sealing.lives().values())


async def test_silence_without_blocks_is_death_and_an_answer_ends_it():
    """60 s without an answer and without a block; either of them is life, and one answer brings it back."""
    world = World(signers="ABC")
    assert await world.look() == "RRR"
    world.fleet.answers["c"] = NONE
    assert await world.look(59.0) == "RRS"
    assert await world.look(2.0, sealed="ABC") == "RRS"
    assert await world.look(59.0) == "RRS"
    assert await world.look(2.0) == "RRD"
    world.fleet.answers["c"] = UP
    assert await world.look() == "RRR"


async def test_down_counts_only_while_the_chain_moves():
    """Every SN of a chain that stands still says that it is down: nobody is dead for that."""
    world = World(signers="ABC")
    await world.look()
    world.fleet.answers |= {"b": DOWN, "c": DOWN}
    for _ in range(30):
        assert await world.look(10.0, sealed="") == "RSS"
    for _ in range(7):
        lives = await world.look(10.0, sealed="AB")
    assert lives == "RSD"


async def test_one_vote_stands_at_a_time():
    """Three live SNs and one sealer: one is voted in, then the next; what does not lead on is taken back."""
    world = World()
    world.chain.votes = {place("X"): True}
    await world.look()
    assert world.chain.votes == {place("B"): True}
    world.chain.who.append(place("B"))
    await world.look()
    assert world.chain.votes == {place("C"): True}
    world.chain.who.append(place("C"))
    await world.look()
    assert world.chain.votes == {}
    world.fleet.answers["b"] = LEAVING
    assert await world.look() == "RLR"
    assert world.chain.votes == {place("B"): False}


async def test_who_is_no_signer_neither_seals_nor_votes():
    """A follower casts nothing, and stops sealing when it was voted out."""
    world = World(signers="BCD")
    world.chain.mines = True
    await world.look(sealed="B")
    assert (world.chain.mines, world.chain.votes) == (False, {})


async def test_sealing_begins_with_equal_heads_of_a_majority():
    """Alone at once; with others only when a majority of the signers has this chain; the wait is shown."""
    alone = World()
    await alone.look()
    assert alone.chain.mines
    world = World(signers="ABC")
    world.fleet.agrees = {"b": False, "c": False}
    await world.look(sealed="")
    assert not world.chain.mines
    assert [row["what"] for row in world.waits.snapshot()] == ["equal heads before sealing"]
    world.fleet.agrees["c"] = True
    await world.look(sealed="")
    assert world.chain.mines
    assert world.waits.snapshot() == []


@pytest.mark.parametrize(("theirs", "rewound"), [("0x00", [0]), ("0xffff", [])])
async def test_a_fork_of_equal_weight_is_mended_after_a_stand_still(theirs, rewound):
    """Not before FORK_SECONDS, only on the side with the larger hash, and never for a heavier chain."""
    from swarm.sn.forks import Tip

    world = World(signers="ABC")
    await world.look()
    world.fleet.tips = {"b": Tip(1, theirs, 2), "c": Tip(1, "0x00", 3)}
    await world.look(FORK_SECONDS - 1, sealed="")
    assert world.chain.rewound == []
    await world.look(2.0, sealed="")
    assert world.chain.rewound == rewound


async def test_all_others_are_met_and_a_newcomer_before_it_is_listed():
    """Listed SNs and those that were just admitted are geth's peers; the answer names whom to meet."""
    world = World("ab")
    await world.look()
    told = await world.sealing.welcome(place("n"), "enode://n")
    assert world.chain.met[-1] == ["b", "n"]
    assert set(told) == {place("a"), place("b")}
    assert (await world.look(601.0), world.chain.met[-1]) == ("RR", ["b"])


async def test_a_planned_stop_waits_only_for_who_stays():
    """With others ready it waits to be out; when they leave as well there is nothing to wait for."""
    world = World(signers="AB", letters="ab")
    await world.look()
    assert world.sealing._staying()
    world.sealing.leaving = True
    assert await world.look() == "LR"
    assert world.chain.votes == {place("A"): False}
    world.fleet.answers["b"] = LEAVING
    assert await world.look() == "LL"
    assert not world.sealing._staying()
    assert Life.LEAVING in world.sealing.lives().values()


async def test_who_is_not_voted_out_in_time_says_so(monkeypatch, caplog):
    """The others may be down or cut off: this SN stops all the same, and its operator reads that it is still listed."""
    monkeypatch.setattr(sealing, "LEAVE_SECONDS_MAX", 0.05)
    monkeypatch.setattr(sealing, "LEAVE_LOOK_SECONDS", 0.01)
    world = World(signers="AB", letters="ab")
    await world.look()
    await world.sealing.leave()
    assert "stopping without having been voted out" in caplog.text
