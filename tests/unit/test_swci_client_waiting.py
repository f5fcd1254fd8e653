"""Waiting for a task runner from Python: what ends it, what does not, and what is shown meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from support.swciserver import Scripted, client, runner, waits
from swarmlearning.swci import SwciError


def test_execute_task_assigns_polls_prints_and_resets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each peer's status is printed; the runner is reset only when all is well."""
    clock = waits(monkeypatch)
    with client(runner(["RUNNING", "RUNNING", "COMPLETE"])) as one:
        one.executeTask("t", "r", 2, pollWaitInSec=7)
        assert clock.now == 14
        assert Scripted.asked[-3:] == [
            "get taskrunner peer status r 0",
            "get taskrunner peer status r 1",
            "reset taskrunner r",
        ]
        assert "ValueError" in capsys.readouterr().out
    with client(runner(["ERROR"])) as one:
        one.executeTask("t", "r", 1)
        assert "reset taskrunner r" not in Scripted.asked
    with client(["ERROR busy"]) as one:
        assert one.executeTask("t", "r") == []


def test_waiting_ends_with_the_task_and_tells_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal each change is one line; a time-out leaves the task alone."""
    waits(monkeypatch)
    with client(runner(["ASSIGNED", "RUNNING", "RUNNING", "COMPLETE"])) as one:
        assert one.wait_for_taskrunner("r").value("task_state") == "COMPLETE"
        told = capsys.readouterr().err.splitlines()
        assert [line.split(" [")[0] for line in told] == ["r: ASSIGNED", "r: RUNNING", "r: COMPLETE"]
        assert "1 of 2 peers" in told[0]
    with client(runner(["RUNNING", "ERROR"])) as one, pytest.raises(SwciError, match="u1, FAILED, exit code 1"):
        one.wait_for_taskrunner("r", progress=False)
    with client(runner(["ERROR"]), raiseErrors=True) as one, pytest.raises(SwciError, match="u1, FAILED, exit code 1"):
        one.wait_for_taskrunner("r", progress=False)
    with client(runner(["RUNNING"])) as one, pytest.raises(SwciError, match="after 5 s"):
        one.wait_for_taskrunner("r", timeout=5, progress=False)
    with client(runner(["IDLE"])) as one, pytest.raises(SwciError, match="nothing is assigned"):
        one.wait_for_taskrunner("r", progress=False)


AWAY = [503, ["ERROR the contract's chain: no answer from https://10.0.0.1:30304"], [], "cut"]


@pytest.mark.parametrize("away", AWAY, ids=["a proxy", "the SN", "no line", "the SWCI"])
@pytest.mark.parametrize("looks", [range(0, 30), range(1, 100)], ids=["at first", "in the middle"])
def test_waiting_goes_on_while_somebody_is_away(
    away: Any, looks: range, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar tells it, and the task's end is what ends the wait; executeTask as well."""
    clock = waits(monkeypatch)
    for work in ("wait", "execute"):
        real, number = runner(["RUNNING", "COMPLETE"]), iter(range(10_000))

        def say(command: str, real: Any = real, number: Any = number) -> Any:
            return away if command.startswith("get taskrunner status") and next(number) in looks else real(command)

        with client(say) as one:
            if work == "wait":
                assert one.wait_for_taskrunner("r").value("TASK_STATE") == "COMPLETE"
                assert "asking again" in capsys.readouterr().err
            else:
                assert one.executeTask("t", "r", 1, pollWaitInSec=1, resetTROnSuccess=False) is None
                assert "COMPLETE" in capsys.readouterr().out
    assert clock.now > 2 * len(looks)


@pytest.mark.parametrize(
    "end",
    [
        ["ERROR there is no task runner 'r'; there are: defaulttaskbb.taskdb.sml.hpe"],
        ["ERROR the certificate 'x' may not use this SWCI: add that name to SWCI_WEB_VIEWERS"],
        ["ERROR no context is in use: CREATE CONTEXT makes one"],
        b"<html>a printer",
        404,
    ],
)
def test_what_will_not_change_ends_a_wait_at_once(end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name, no right, no SWCI: at the first look, and in the middle."""
    clock = waits(monkeypatch)
    for before in ([], ["RUNNING"]):
        left = list(before)

        def say(command: str, left: list[str] = left) -> Any:
            return runner([left.pop()])(command) if left else end

        with client(say) as one, pytest.raises(SwciError) as told:
            one.wait_for_taskrunner("r", progress=False)
        assert str(told.value) == one.getErrors()
    assert clock.now <= 1


def test_waiting_for_nobody_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first answer that does not come within a minute, a later one within six hours, or the program's own limit."""
    clock = waits(monkeypatch)
    with (
        client(["ERROR API server is down"]) as one,
        pytest.raises(SwciError, match=r"since 60 s.*is down"),
    ):
        one.wait_for_taskrunner("r", progress=False)
    left = ["RUNNING"]
    with (
        client(lambda command: runner([left.pop()])(command) if left else ["ERROR API server is down"]) as one,
        pytest.raises(SwciError, match=r"since 21600 s.*is down"),
    ):
        one.wait_for_taskrunner("r", poll=3600, progress=False)
    assert clock.now > 6 * 3600
    with (
        client(["ERROR API server is down"]) as one,
        pytest.raises(SwciError, match=r"after 5 s .no answer now: .*is down"),
    ):
        one.wait_for_taskrunner("r", timeout=5, progress=False)
    with pytest.raises(SwciError, match="without line ends"):
        one.wait_for_taskrunner("r\nEXIT")


def test_a_peer_that_failed_is_told_although_the_sn_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are asked for again; who has none ends the list."""
    waits(monkeypatch)
    answers = iter([["ERROR no answer"], ["u1, FAILED, exit code 3"], ["ERROR peer 1: there are 1, numbered from 0"]])
    with (
        client(lambda command: next(answers) if "peer" in command else runner(["ERROR"])(command)) as one,
        pytest.raises(SwciError, match="r is ERROR: u1, FAILED, exit code 3"),
    ):
        one.wait_for_taskrunner("r", progress=False)


HEADER = "NUMBER, ASSIGNMENT, TASK, HOW IT ENDED, ASSIGNED BY, ASSIGNED, ENDED"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("complete", ""),
        ("not started in time: 1 offered, 2 wanted", "the last task there: not started in time: 1 offered, 2 wanted$"),
        (None, "the last task there: not known"),
    ],
)
def test_a_task_that_somebody_reset_between_two_looks_is_told_by_its_end(
    how: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two operators watch one task; the one who is quicker resets the runner."""
    waits(monkeypatch)
    rows = [] if how is None else [f"2, 0xab, t, {how}, 0xcd, 2026-11-30 10:00:00, 2026-11-30 10:01:00"]
    real = runner(["RUNNING", "IDLE"])
    with client(lambda command: [HEADER, *rows] if command == "history r" else real(command)) as one:
        if not told:
            assert one.wait_for_taskrunner("r", progress=False).value("TASK_STATE") == "IDLE"
        else:
            with pytest.raises(SwciError, match=told):
                one.wait_for_taskrunner("r", progress=False)
