"""`swarm history` says how each run ended, from events alone."""

from __future__ import annotations

from typing import Any

import pytest
from swarm.chain import events as ev
from swarm.core.chain_view import Stats
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.limits import NOT_REPORTED
from swarm.core.roster import Roster
from swarm.core.statements import Result, method_word
from swarm.inspect.history import _row

JOB, MERGED = Digest(b"\x01" * 32), BlobId(b"\x09" * 32)
A, B, C = (Address(bytes([n]) * 20) for n in (10, 11, 12))
HEX = {node: "0x" + node.hex() for node in (A, B, C)}


def start(*who: Address, need: int = 2) -> list[Any]:
    roster = Roster.of((node, True) for node in who)
    return [
        *(ev.Joined(JOB, 1, node, "https://x", need, True) for node in who),
        ev.RoundOpened(JOB, 1, 0, 0, BlobId(bytes(32)), need, roster),
    ]


def round_of(number: int, *losses: int) -> list[Any]:
    result = Result(MERGED, 10, method_word("mean"), Digest(bytes(32)), 4, Digest(bytes(32)))
    parts = [
        ev.Contributed(JOB, 1, node, number, 1, MERGED, 10, Stats(1, loss, NOT_REPORTED, 1, 2, 1), 0.5)
        for node, loss in zip((A, B, C), losses, strict=False)
    ]
    return [ev.RoundMerged(JOB, 1, number, 0, 1, A, result, 2, len(parts)), *parts]


def told(events: list[Any], options: str = "", begun: ev.RunReset | None = None) -> str:
    how = _row("job", 1, list(enumerate(events)), options, begun)["how"]
    assert isinstance(how, str)
    return how


COMPLETE = ev.RunCompleted(JOB, 1, 2, MERGED)
FAILED = ev.RunFailed(JOB, 1, A, "reset before completion")
SILENT = [ev.Called(JOB, 1, 1, A), ev.Reformed(JOB, 1, 1, 1, (C,))]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "all programs that were left had done their part"),
        ('{"stop":{"max_rounds":2}}', "the job's stop rule held: 2 rounds are done"),
        ('{"stop":{"target":0.5}}', "the job's stop rule held: loss 0.4 of round 1 reached 0.5"),
        ('{"stop":{"target":0.3}}', "all programs that were left had done their part"),
        ('{"stop":{"max_rounds":2},"of":"a later version"}', "all programs that were left had done their part"),
    ],
)
def test_a_complete_run_says_whether_its_stop_rule_held(options: str, says: str) -> None:
    """The rule is judged on the figures that the chain holds, as its nodes judged it."""
    events = [*start(A, B), *round_of(0, 900_000, 700_000), *round_of(1, 500_000, 300_000), COMPLETE]
    assert told(events, options) == f"complete: {says}"


def test_a_complete_run_names_who_was_no_longer_there() -> None:
    """One fell silent and was left out, one left: the run was complete with the last."""
    events = [*start(A, B, C), *SILENT, ev.Left(JOB, 1, B), *round_of(0, 1), COMPLETE]
    assert told(events) == (
        "complete: all programs that were left had done their part; "
        f"{HEX[B]} left for good; {HEX[C]} fell silent and were left out"
    )


def test_a_run_that_too_few_members_are_left_of_says_so_and_the_command() -> None:
    """With one left the reset must be forced, with none it need not; one more than needed is no end."""
    events = [*start(A, B), ev.Left(JOB, 1, B)]
    assert told(events) == (
        f"ended with too few members: 1 of the 2 that it needs were left; {HEX[B]} left for good; "
        "swarm reset job --force opens the next run"
    )
    assert told([*events, ev.Left(JOB, 1, A)]).endswith("left for good; swarm reset job opens the next run")
    assert "0 of the 2" in told([*events, ev.Left(JOB, 1, A)])
    assert told([*start(A, B, C), ev.Left(JOB, 1, C)]) == ""
    assert told([*events, ev.Joined(JOB, 1, B, "https://x", 2, True)]) == ""
    assert told([ev.Joined(JOB, 1, A, "https://x", 2, True), ev.Left(JOB, 1, A)]) == ""


def test_a_reset_says_by_whom_and_what_was_before() -> None:
    """Forced or not; of a run that could have gone on, and of one that could not."""
    forced, plain = (ev.RunReset(JOB, 2, C, force) for force in (True, False))
    assert told([*start(A, B), FAILED], "", forced) == f"reset by {HEX[C]}, forced"
    gone = [*start(A, B), ev.Left(JOB, 1, A), ev.Left(JOB, 1, B), FAILED]
    assert told(gone, "", plain) == (
        f"too few members: 0 of the 2 that it needs were left; {HEX[A]}, {HEX[B]} left for good; then reset by {HEX[C]}"
    )


def test_many_members_are_counted_not_listed() -> None:
    """A sentence names eight."""
    many = [Address(bytes([n]) * 20) for n in range(1, 31)]
    text = told([*start(*many), *(ev.Left(JOB, 1, node) for node in many[:-1])])
    assert "and 21 more left for good" in text
    assert text.count("0x") == 8
