"""What came of a program: exit codes, exception classes, and whether its SL joined a run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.ids import NO_DIGEST, Address, Digest
from swarm.core.swop.containers import ContainerState, Found
from swarm.core.swop.outcome import Joined, interrupted, joined_of, joined_text, raised, verdict
from swarm.core.swop.pairs import Standing
from swarm.core.taskrun.work import Why, WorkState

JOINED = Joined(Address(bytes([7] * 20)), Digest(bytes([8] * 32)), 3)
MARK = "0123456789abcdef"


def ended(code: int, *, sl: int = 0, oom: bool = False) -> Standing:
    over = ContainerState.EXITED
    return Standing(WorkState.EXITED, Found("s", over, "i", {}, sl), Found("u", over, "i", {}, code, out_of_memory=oom))


def verdict_of(stands: Standing, joined: Joined | None = JOINED, output: str = "", **more: bool):
    return verdict(stands, joined, output, **{"loopback": False, "may_stay_alone": False, **more})


def test_a_good_end_names_its_run() -> None:
    """Exit code 0 and a session: a success, with SL, job and run."""
    found = verdict_of(ended(0))
    assert (found.ok, found.exit_code, found.sl, found.job, found.run) == (True, 0, JOINED.sl, JOINED.job, 3)


def test_a_program_that_never_joined_is_no_success() -> None:
    """Unless it says that it trains alone, or the site lets it (row T08)."""
    found = verdict_of(ended(0), None)
    assert (found.ok, found.exit_code, found.fault) == (False, 0, "NeverJoined")
    for more in ({"loopback": True}, {"may_stay_alone": True}):
        found = verdict_of(ended(0), None, **more)
        assert (found.ok, found.sl, found.job, found.run) == (True, None, NO_DIGEST, 0)


@pytest.mark.parametrize(
    ("code", "output", "fault"),
    [
        (1, "Traceback (most recent call last):\n  File 'x'\n    y\nValueError: bad\n", "ValueError"),
        (1, "Traceback (most recent call last):\n  a\nswarm.errors.SwarmError: gone\nmore\n", "SwarmError"),
        (1, "Traceback (most recent call last):\n  a\nKeyError\n", "KeyError"),
        (1, "nothing of the kind", "exit 1"),
        (1, "Traceback (most recent call last):\n  a\nnot a class: x y\n", "exit 1"),
        (137, "", "Killed"),
        (126, "", "ProgramMissing"),
        (127, "", "ProgramMissing"),
        (139, "", "SegmentationFault"),
        (77, "", "exit 77"),
    ],
)
def test_a_failure_has_a_word(code: int, output: str, fault: str) -> None:
    """The exception's class where there is one, else what the exit code means."""
    found = verdict_of(ended(code), output=output)
    assert (found.ok, found.exit_code, found.fault) == (False, code, fault)


def test_memory_is_named_before_the_signal() -> None:
    """The kernel's kill for memory looks like any other by its code."""
    assert verdict_of(ended(137, oom=True)).fault == "OutOfMemory"


def test_what_nobody_saw_end_is_no_success() -> None:
    """A program that was removed by hand, and one whose SL could not live."""
    lost = verdict_of(Standing(WorkState.EXITED, None, None, lost=True))
    assert (lost.ok, lost.why, lost.fault) == (False, Why.VANISHED, "vanished")
    sl = Found("s", ContainerState.EXITED, "i", {}, 2)
    alone = verdict_of(Standing(WorkState.EXITED, sl, Found("u", ContainerState.CREATED, "i", {})), None)
    assert (alone.ok, alone.exit_code, alone.fault) == (False, 2, "SlFailed")


def test_a_program_that_was_told_to_end_is_no_success() -> None:
    """Also with exit code 0: it did not do all of its task."""
    found = verdict_of(ended(0), stopped=True)
    assert (found.ok, found.why) == (False, Why.STOPPED)


def test_the_word_of_an_sl_counts_for_its_attempt() -> None:
    """Read back as written; another attempt's, and broken ones, are none."""
    text = joined_text(MARK, JOINED)
    assert joined_of(text, MARK) == JOINED
    assert joined_of(text, "fedcba9876543210") is None
    good = json.loads(text)
    for broken in ({**good, "sl": "12"}, {**good, "run": "3"}, {**good, "job": None}, {"attempt": MARK}, [], None):
        assert joined_of(json.dumps(broken).encode(), MARK) is None
    assert joined_of(None, MARK) is None
    assert joined_of(b"[" * 100_000, MARK) is None


@given(st.binary(max_size=200))
def test_no_bytes_of_a_state_folder_break_it(raw: bytes) -> None:
    """It is a file of a volume that anybody may have written."""
    assert joined_of(raw, MARK) is None or isinstance(joined_of(raw, MARK), Joined)


@given(st.text(max_size=300))
def test_no_output_breaks_the_search_for_a_class(output: str) -> None:
    """Whatever a program prints."""
    word = raised("Traceback (most recent call last):\n" + output)
    assert word is None or (word and len(word) <= 31 and word.isidentifier())


RUNS = None
"""In place of an exit code."""


@pytest.mark.parametrize(
    ("sl", "ml", "down"),
    [
        (255, 255, True),  # the engine went down with both
        (137, 137, True),
        (137, 255, True),
        (0, 143, True),  # the engine was told to stop, and they with it
        (143, 143, True),
        (137, RUNS, True),  # the SL alone: its program waits for it
        (RUNS, 137, False),  # the program alone: it has failed
        (RUNS, RUNS, False),
        (0, RUNS, False),
        (1, 137, False),
        (1, RUNS, False),
        (0, 137, False),
        (137, 0, False),
        (137, 1, False),
        (0, 0, False),
    ],
)
def test_what_something_outside_ended_is_no_outcome(sl: int | None, ml: int | None, down: bool) -> None:
    """A program cannot end its SL by a signal; a program that alone was killed, or ended by itself, has its outcome."""

    def found(name: str, code: int | None, *, oom: bool = False) -> Found:
        state = ContainerState.RUNNING if code is RUNS else ContainerState.EXITED
        return Found(name, state, "i", {}, -1 if code is RUNS else code, out_of_memory=oom)

    assert interrupted(Standing(WorkState.EXITED, found("s", sl), found("u", ml))) is down
    assert not interrupted(Standing(WorkState.EXITED, found("s", sl, oom=True), found("u", ml, oom=True)))
    assert not interrupted(Standing(WorkState.EXITED, None, found("u", ml)))
    assert not interrupted(Standing(WorkState.EXITED, found("s", sl), None))
