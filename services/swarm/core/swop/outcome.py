"""What came of a program: its exit code, whether its SL joined a run, and what it failed with (rows D13, X15).

Owns the verdict. What an SL writes of the run that it joined is read here and believed only for its own attempt.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ..ids import NO_DIGEST, Address, Digest, from_hex, to_hex
from ..taskrun.work import Result, Why
from .containers import ContainerState, Found
from .pairs import STATE, Standing

JOINED_NAME = "joined.json"
"""In an SL's state folder: it writes it once its program has a session and it has joined the run."""
JOINED_FILE = f"{STATE}/{JOINED_NAME}"
KILLED, TERMINATED, NO_PROGRAM, NOT_EXECUTABLE = 137, 143, 127, 126
LOST = 255
"""What an engine shows of a container that went down with it."""
NEVER_JOINED = "NeverJoined"
FAULT_CHARS_MAX = 31
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?::\s.*|:)?$")
_FROM_OUTSIDE = frozenset({KILLED, TERMINATED, LOST})
_WORDS = {
    KILLED: "Killed",
    TERMINATED: "Terminated",
    NO_PROGRAM: "ProgramMissing",
    NOT_EXECUTABLE: "ProgramMissing",
    134: "Aborted",
    139: "SegmentationFault",
}


@dataclass(frozen=True, slots=True)
class Joined:
    """The run that an SL joined, and as whom."""

    sl: Address
    job: Digest
    run: int


def joined_text(mark: str, joined: Joined) -> bytes:
    """What an SL writes. ``mark`` names the attempt (``SWARM_TASK_ATTEMPT``)."""
    told = {"attempt": mark, "sl": to_hex(joined.sl), "job": to_hex(joined.job), "run": joined.run}
    return (json.dumps(told) + "\n").encode()


def joined_of(raw: bytes | None, mark: str) -> Joined | None:
    """What this attempt's SL wrote; None if it wrote nothing, or it is another attempt's or broken."""
    try:
        told = json.loads(raw or b"null")
        if not isinstance(told, dict) or told.get("attempt") != mark or not isinstance(told["run"], int):
            return None
        return Joined(Address(from_hex(told["sl"], 20)), Digest(from_hex(told["job"], 32)), told["run"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def raised(output: str) -> str | None:
    """Class of the exception that ended a Python program, from the last lines that it wrote.

    It stands in the first line without indentation after the last traceback; its module is left out.
    """
    _, begun, after = output.rpartition("Traceback (most recent call last):")
    if not begun:
        return None
    for line in after.splitlines()[1:]:
        if line.strip() and not line[0].isspace():
            found = _RAISED.match(line)
            return None if found is None else found[1][:FAULT_CHARS_MAX]
    return None


def interrupted(stands: Standing) -> bool:
    """Whether something from outside ended the pair, or its SL beside a program that goes on: it is no outcome.

    The host lost its power, its engine was killed or told to stop with all that it ran, or somebody killed the SL. A
    program cannot do that to its SL; one that alone was killed has failed. Only for what its SWOP did not end.
    """
    sl, ml = stands.sl, stands.ml
    if sl is None or ml is None or sl.state is not ContainerState.EXITED:
        return False
    down = sl.exit_code in _FROM_OUTSIDE and not sl.out_of_memory
    if ml.state is ContainerState.RUNNING:
        return down
    if ml.state is not ContainerState.EXITED or ml.exit_code not in _FROM_OUTSIDE or ml.out_of_memory:
        return False
    return down or (sl.exit_code, ml.exit_code) == (0, TERMINATED)  # an SL ends well on SIGTERM


def verdict(
    stands: Standing, joined: Joined | None, output: str, *, loopback: bool, may_stay_alone: bool, stopped: bool = False
) -> Result:
    """How an attempt ended, without the hash of its text.

    Args:
        output: the program's last lines.
        loopback: it says that it trains without a swarm.
        may_stay_alone: this site takes a program that never joined for a success, with a warning.
        stopped: it was told to end.
    """
    if stands.lost or stands.ml is None:
        return Result(False, Why.VANISHED, fault=Why.VANISHED.value)
    ml, why = stands.ml, Why.STOPPED if stopped else Why.EXITED
    sl, job, run = (None, NO_DIGEST, 0) if joined is None else (joined.sl, joined.job, joined.run)
    if ml.exit_code == -1 and stands.sl is not None:
        # It never started: its SL could not live.
        return Result(False, why, stands.sl.exit_code, "SlFailed", sl=sl, job=job, run=run)
    if ml.exit_code != 0:
        return Result(False, why, ml.exit_code, _fault(ml, output), sl=sl, job=job, run=run)
    if joined is None and not (loopback or may_stay_alone):
        return Result(False, why, 0, NEVER_JOINED)
    return Result(not stopped, why, 0, sl=sl, job=job, run=run)


def _fault(ml: Found, output: str) -> str:
    if ml.out_of_memory:
        return "OutOfMemory"
    return _WORDS.get(ml.exit_code) or raised(output) or f"exit {ml.exit_code}"
