"""How a program ends, or begins anew, and what it hears while it waits: over real pipes, in real processes."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swarmlearning
from support.fake_shell import Place, bridge_at
from support.sdk_channel import point_at
from swarm.core.engine.messages import Left
from swarmlearning.base import SwarmError
from swarmlearning.client.pipe import channel as pipe
from swarmlearning.client.pipe.channel import Channel, SlLost
from swarmlearning.client.pipe.messages import MessageType, SessionRequest
from swarmlearning.plain import SwarmCallback

BEGIN = """
import os, sys, numpy as np
from swarmlearning.plain import SwarmCallback
options = {options}
swarm = SwarmCallback(1, 1, get_parameters=lambda: {{'w': np.zeros(1)}}, set_parameters=lambda m: None, **options)
"""


async def program(place: Place, text: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    environ = {
        "SL_REQUEST_CHANNEL": str(place.request),
        "SL_RESPONSE_CHANNEL": str(place.response),
        "SWARM_EXCHANGE_DIR": str(place.exchange),
    }
    command = [sys.executable, "-c", BEGIN.format(options=options) + text]
    return await asyncio.to_thread(
        subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def page(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.exchange / "result" / "swarm-result.json").read_text())
    return found


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if " : ERROR : " in line]


@pytest.mark.parametrize(
    ("end", "code", "left", "says"),
    [
        ("swarm.on_train_begin()\nraise KeyError('secret')", 1, Left(1, "KeyError"), "ended with KeyError before"),
        ("swarm.on_train_begin()", 0, Left(), "call on_train_end when the training ends"),
        ("swarm.on_train_begin()\nsys.exit(3)", 3, Left(), "call on_train_end when the training ends"),
        ("", 0, Left(), "pass the callback to fit()"),
        (
            "swarm.on_train_begin()\nclass Own(Exception): pass\nraise Own",
            1,
            Left(1, "Own"),
            "Own",
        ),
    ],
)
async def test_a_program_that_ends_early_is_told_so_once(
    tmp_path: Path, end: str, code: int, left: Left, says: str
) -> None:
    """One ERROR line, a page that says failed, and to the SL an exit code and a class, nothing of the text."""
    async with bridge_at(tmp_path) as place:
        done = await program(place, end)
        await place.shell.wait_ended()
        assert done.returncode == code
        assert [says in line for line in errors(done)] == [True]
        assert (page(place)["verdict"], says in page(place)["reason"]) == ("failed", True)
        assert place.shell.lefts == [left]
        assert "secret" not in str(place.shell.endings)


async def test_fewer_fits_than_told_end_early_too(tmp_path: Path) -> None:
    """fits=2 and one fit(): its on_train_end was not the last."""
    async with bridge_at(tmp_path) as place:
        done = await program(place, "swarm.on_train_begin()\nswarm.on_train_end()", fits=2)
        await place.shell.wait_ended()
        assert ["fits" in line for line in errors(done)] == [True]
        assert page(place)["verdict"] == "failed"


@pytest.mark.parametrize("end", ["swarm.on_train_begin()", "swarm.on_train_begin()\nsys.exit(0)", ""])
async def test_a_strict_program_that_ends_early_does_not_exit_with_0(tmp_path: Path, end: str) -> None:
    """Handlers that others registered before run all the same, and what was printed is printed."""
    before = "import atexit\natexit.register(lambda: print('after all', end=''))\n"
    async with bridge_at(tmp_path) as place:
        text = before + "print('printed', end=' ')\n" + end
        done = await program(place, text, strict=True)
        assert done.returncode == 1
        assert "printed" in done.stdout
        assert "after all" in done.stdout


async def test_a_program_that_ended_well_says_nothing_more(tmp_path: Path) -> None:
    """on_train_end was called: exit 0 in strict mode as well, and the page stays as it was."""
    async with bridge_at(tmp_path, record="") as place:
        done = await program(place, "swarm.on_train_begin()\nswarm.on_batch_end()\nswarm.on_train_end()", strict=True)
        assert (done.returncode, errors(done)) == (0, [])
        assert page(place)["verdict"] == "in_swarm"


async def test_a_child_process_of_a_program_ends_nothing(tmp_path: Path) -> None:
    """A fork that ends by itself, handlers and all, is not its parent's end."""
    text = (
        "swarm.on_train_begin()\n"
        "if os.fork() == 0:\n    sys.exit(0)\n"
        "os.wait()\nswarm.on_batch_end()\nswarm.on_train_end()\n"
    )
    async with bridge_at(tmp_path) as place:
        done = await program(place, text)
        assert (done.returncode, errors(done), page(place)["verdict"]) == (0, [], "in_swarm")
        assert place.shell.endings == [None]


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
async def test_a_program_without_a_last_word_is_heard_by_its_pipe(tmp_path: Path, end: str) -> None:
    """What no handler can say, the SL sees by itself."""
    async with bridge_at(tmp_path) as place:
        await program(place, "swarm.on_train_begin()\n" + end)
        await place.shell.wait_ended()
        assert "without closing its session" in place.shell.losses[0]


class Counter:
    """One weight, raised by one a batch."""

    def __init__(self, **options: Any) -> None:
        self.model = {"w": np.zeros(1, np.float32)}
        self.callback = SwarmCallback(
            2, 1, get_parameters=lambda: self.model, set_parameters=self.model.update, **options
        )


async def test_hooks_after_the_end_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is counted, and one warning says what that means."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        await asyncio.to_thread(toy.callback.on_train_end)
        capsys.readouterr()
        for _ in range(3):
            toy.callback.on_epoch_end()
            toy.callback.on_batch_end()
    warned = [line for line in capsys.readouterr().out.splitlines() if "WARNING" in line]
    assert ["on_epoch_end was called after on_train_end" in line for line in warned] == [True]
    assert toy.callback.epochsCompleted == 0


async def test_a_waiting_program_hears_whom_the_swarm_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line of its own at once, and in each reminder for as long as it holds; no escape sequences get through."""
    monkeypatch.setattr(pipe, "REMINDER_SECONDS", 0.2)
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        place.shell.waits_for = ("0xab left\x1b[2J for good",)
        toy = await asyncio.to_thread(Counter)
        place.shell.hold = asyncio.Event()
        waiting = asyncio.create_task(asyncio.to_thread(toy.callback.on_train_begin))
        await place.shell.holding.wait()
        await asyncio.sleep(0.5)
        place.shell.hold.set()
        await waiting
        place.shell.waits_for, place.shell.hold = (), None
        await asyncio.to_thread(toy.callback.on_train_end)
    said = capsys.readouterr().out
    assert "WARNING : 0xab left?[2J for good\n" in said
    assert "Still waiting for the swarm to merge: 0 s so far; 0xab left?[2J for good\n" in said


@pytest.mark.parametrize("again", ["the same callback", "a new callback"])
async def test_an_interrupted_cell_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """Interrupted in a sync, as a notebook does it: the request is made anew, or a new callback has the pipes."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        place.shell.hold = asyncio.Event()

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        session = toy.callback._session
        assert session is not None
        channel = session._channel
        assert channel is not None
        monkeypatch.setattr(channel, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            await asyncio.to_thread(toy.callback.on_train_begin)
        place.shell.hold = None
        kept = toy  # a notebook's last traceback holds it
        if again == "a new callback":
            toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        await asyncio.to_thread(toy.callback.on_train_end)
        await place.shell.wait_ended(2)
        assert place.shell.endings[-1] is None
        assert place.shell.syncs[-1].final
        del kept


async def test_an_interrupt_between_two_syncs_leaves_the_pipes_to_a_new_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The earlier one is still referred to, and says that it has no session any more."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        first = await asyncio.to_thread(Counter)
        await asyncio.to_thread(first.callback.on_train_begin)
        second = await asyncio.to_thread(Counter)
        await asyncio.to_thread(second.callback.on_train_begin)
        with pytest.raises(SwarmError, match="new SwarmCallback"):
            first.callback.on_train_begin()
        await asyncio.to_thread(second.callback.on_train_end)
    assert "takes the place of this program's earlier one" in capsys.readouterr().out


def test_an_sl_that_ends_before_it_has_both_pipes_open_is_seen_at_once(tmp_path: Path) -> None:
    """The order that hung: the program finds the SL's reading end still open and the writing end gone already."""
    request, response = tmp_path / "request", tmp_path / "response"
    os.mkfifo(request)
    os.mkfifo(response)
    sl = os.open(request, os.O_RDONLY | os.O_NONBLOCK)
    channel = Channel(request, response, wait_seconds=1, logger=logging.getLogger("test"))
    channel.send(MessageType.OPEN_REQUEST, SessionRequest(trainingContract="j"))
    os.close(sl)
    heard: list[object] = []

    def wait() -> None:
        try:
            heard.append(channel.receive("for the SL to open the session"))
        except SlLost as fault:
            heard.append(fault)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(5)
    assert [type(one) for one in heard] == [SlLost], "the program waits without an end"
    channel.close()


def test_loopback_evaluates_once_and_ends_without_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At its start, with the model as it is; a program that cannot evaluate fails there."""
    monkeypatch.setenv("SWARM_LOOPBACK", "1")
    seen: list[Any] = []

    def evaluate(model: Any) -> tuple[float, float]:
        seen.append(float(model["w"][0]))
        return 0.25, 0.5

    toy = Counter(evaluate=evaluate)
    for _ in range(2):
        toy.callback.on_train_begin()
        toy.callback.on_batch_end()
        toy.callback.on_train_end()
    said = capsys.readouterr().out
    assert seen == [0.0]
    assert "loss 0.25, metric 0.5" in said
    assert " : ERROR : " not in said
    assert "trained alone" in said
    for _ in range(2):
        Counter(evaluate=lambda _: 1 / 0).callback.on_train_begin()
        said = capsys.readouterr().out
        assert "WARNING : Loss and metric" in said
        assert "loss unknown, metric unknown" in said


def test_a_fault_is_one_sentence(tmp_path: Path) -> None:
    """Nothing of what it was made of is printed above it."""
    code = (
        "from swarmlearning.plain import SwarmCallback\nSwarmCallback('x', 1, get_parameters=dict, set_parameters=dict)"
    )
    pipes = {"SL_REQUEST_CHANNEL": str(tmp_path / "a"), "SL_RESPONSE_CHANNEL": str(tmp_path / "b")}
    late = code.replace("'x'", "1")
    for text, environ in ((code, {}), (late, {**pipes, "SWARM_CHANNEL_WAIT_SECONDS": "0.1"})):
        done = subprocess.run(
            [sys.executable, "-c", text], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stderr.count("Traceback") == 1, done.stderr


def test_no_fault_is_raised_with_what_it_was_made_of() -> None:
    """Every SwarmError that is raised because of another exception hides it: its own sentence says what was wrong."""
    found, bad = 0, []
    for path in Path(swarmlearning.__file__).parent.rglob("*.py"):
        for handler in ast.walk(ast.parse(path.read_text())):
            for node in ast.walk(handler) if isinstance(handler, ast.ExceptHandler) else ():
                made = node.exc if isinstance(node, ast.Raise) else None
                if isinstance(made, ast.Call) and getattr(made.func, "id", "") in ("SwarmError", "ImportError"):
                    found += 1
                    cause = node.cause if isinstance(node, ast.Raise) else None
                    hidden = isinstance(cause, ast.Constant) and cause.value is None
                    bad += [] if hidden else [f"{path.name}:{made.lineno}"]
    assert found >= 3
    assert bad == []
