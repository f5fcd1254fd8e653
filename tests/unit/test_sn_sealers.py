"""Who should seal, as a table and as whole votes played out: to one or three, never through a dead majority."""

from __future__ import annotations

import itertools

import pytest
from swarm.core.ids import Address
from swarm.sn.sealers import Life, SealerView, Vote, majority, step, target

R, S, L, D = Life.READY, Life.SHAKY, Life.LEAVING, Life.DEAD
STEPS_MAX = 8


def who(name: str) -> Address:
    return Address(name.encode() * 20)


def views(lives: str) -> list[SealerView]:
    """``"ar bd"``: A (always the sentinel) is ready, B dead; in the order of admission."""
    words = {"r": R, "s": S, "l": L, "d": D}
    return [SealerView(who(t[0]), words[t[1]], sentinel=t[0] == "a") for t in lives.split()]


def names(signers: object) -> str:
    return "".join(sorted(s[:1].decode() for s in signers))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("signers", "sns", "wanted"),
    [
        ("a", "ar", "a"),
        ("a", "ar br", "a"),
        ("a", "ar br cr", "abc"),
        ("a", "ar br cr dr", "abc"),
        ("a", "ar br cs", "a"),
        ("abc", "ar br cs", "abc"),
        ("abc", "ar br cd", "a"),
        ("abc", "ar br cd dr", "abd"),
        ("abc", "ad br cr", "b"),
        ("b", "ar br", "a"),
        ("b", "ar br cr", "abc"),
        ("bcd", "ar br cr dr", "bcd"),
        ("abc", "ar br cl", "a"),
        ("a", "al br", "b"),
        ("a", "al", "a"),
        ("abc", "ad bd cd", "abc"),
        ("abz", "ar br cr", "abc"),
        ("az", "ar", "a"),
    ],
)
def test_who_should_seal(signers: str, sns: str, wanted: str) -> None:
    """One below three live SNs, the sentinel if it lives; three from three on; those who seal keep doing so."""
    assert names(target([who(s) for s in signers], views(sns))) == wanted


@pytest.mark.parametrize(
    ("signers", "sns", "vote"),
    [
        ("a", "ar br cr", Vote(who("b"), True)),
        ("ab", "ar br cr", Vote(who("c"), True)),
        ("abc", "ar br cr", None),
        ("abc", "ar br cd", Vote(who("c"), False)),
        ("ab", "ar br cd", Vote(who("b"), False)),
        ("abc", "ad br cr", Vote(who("a"), False)),
        ("abc", "ar br cd dr", Vote(who("c"), False)),
        ("abc", "ar br cl dr", Vote(who("d"), True)),
        ("abcd", "ar br cl dr", Vote(who("c"), False)),
        ("abc", "ar br cl", Vote(who("c"), False)),
        ("a", "al br", Vote(who("b"), True)),
        ("ab", "al br", Vote(who("a"), False)),
        ("abz", "ar br cr", Vote(who("z"), False)),
    ],
)
def test_the_next_vote(signers: str, sns: str, vote: Vote | None) -> None:
    """One vote at a time: the dead leave first, a leaver after its successor came, the last signer never."""
    assert step([who(s) for s in signers], views(sns)) == vote


def test_votes_always_end_with_one_or_three_and_a_living_majority() -> None:
    """Every signer set over every state of up to five SNs: votes pass, converge, and never kill a majority."""
    played = 0
    for count in (1, 2, 3, 4, 5):
        for lives in itertools.product("rsld", repeat=count):
            sns = views(" ".join(name + life for name, life in zip("abcde", lives, strict=False)))
            for size in range(1, count + 1):
                for some in itertools.combinations([sn.sealer for sn in sns], size):
                    played += play(frozenset(some), sns)
    assert played > 10_000


def play(signers: frozenset[Address], sns: list[SealerView]) -> int:
    """Cast votes until none is left; 0 if the chain has no living majority to begin with (no vote can pass)."""
    alive = {sn.sealer for sn in sns if sn.life is not D}
    if len(signers & alive) < majority(signers):
        return 0
    for _ in range(STEPS_MAX):
        vote = step(signers, sns)
        if vote is None:
            break
        choices = [signers | {one} for one in target(signers, sns) - signers]
        choices += [signers - {one} for one in signers - target(signers, sns) if len(signers) > 1]
        signers = signers | {vote.sealer} if vote.seal else signers - {vote.sealer}
        living = len(signers & alive) >= majority(signers)
        assert living or not any(len(c & alive) >= majority(c) for c in choices)
        assert living, "there was always a way in these tables"
    else:
        raise AssertionError(f"no end from {names(signers)}: {sns}")
    assert signers == target(signers, sns)
    if any(sn.life is R for sn in sns):
        assert len(signers) in (1, 3)
    return 1
