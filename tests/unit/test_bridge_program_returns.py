"""A program that vanished may come back for a while; one that says it failed is believed at once."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.original_client import OriginalClient
from swarm.core.engine.actions import FailProgram
from swarm.core.engine.events import Event, ProgramEnded, ProgramMoved, ProgramOpened
from swarm.core.errors import ProgramFault
from swarm.sl.bridge import LossReport, SessionOpen, SyncCall
from swarm.sl.program import Program, Target
from swarm.sl.schemas import Schemas
from swarm.sl.timeline import Timeline
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile

ASKED = SessionOpen(4, 2, 0, False, "snapshot", 1, "job", "mean")


def program_at(folder: Path, *, return_seconds: float) -> tuple[Program, list[Event]]:
    heard: list[Event] = []
    rest = (lambda: "", Schemas(list, None), lambda: False)
    target = Target(heard.append, Timeline(), lambda: 3, lambda: 1, "ab" * 32, *rest)

    async def take_part(job: str) -> Target:
        return target

    return Program(BlobStore(folder), take_part, return_seconds=return_seconds), heard


async def test_a_program_that_comes_back_in_time_was_never_away(tmp_path: Path) -> None:
    """Lost, then opened again: the engine hears of a new session, of no end; not even later."""
    program, heard = program_at(tmp_path, return_seconds=0.1)
    await program.opened(ASKED)
    await program.lost("killed")
    await program.opened(ASKED)
    await asyncio.sleep(0.2)
    assert [type(one) for one in heard] == [ProgramOpened, ProgramOpened]
    program.moved(2, 4)
    assert heard[-1] == ProgramMoved(2, 4)


async def test_a_program_that_stays_away_has_ended(tmp_path: Path) -> None:
    """After the time it was given, once."""
    program, heard = program_at(tmp_path, return_seconds=0.05)
    await program.opened(ASKED)
    await program.lost("killed")
    assert len(heard) == 1
    await asyncio.sleep(0.2)
    assert heard[1:] == [ProgramEnded("killed")]


async def test_a_program_that_says_so_has_ended_at_once(tmp_path: Path) -> None:
    """No time is lost on a program whose own words are that it failed."""
    program, heard = program_at(tmp_path, return_seconds=60)
    await program.opened(ASKED)
    await program.ended("it raised")
    assert heard[1:] == [ProgramEnded("it raised")]


async def test_what_the_engine_said_of_a_program_is_known_until_the_next_session(tmp_path: Path) -> None:
    """The verdict of the open session, and none of the one before."""
    program, _ = program_at(tmp_path, return_seconds=60)
    await program.opened(ASKED)
    assert program.verdict() is None
    program.wish(FailProgram("the run was reset"))
    assert program.verdict() == "the run was reset"
    await program.opened(ASKED)
    assert program.verdict() is None


async def test_a_program_of_another_shape_hears_the_tensor_and_both_shapes(tmp_path: Path) -> None:
    """The engine knows that models differ; the sentence that the program gets says how, three tensors' worth."""
    program, _ = program_at(tmp_path / "store", return_seconds=60)
    swarms = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32), "c": np.zeros(1, np.float32)}
    own = {"a": np.zeros((2, 5), np.float32), "b": np.zeros(4, np.float64), "d": np.zeros(1, np.float32)}
    for name, arrays in (("swarms", swarms), ("own", own)):
        tensorfile.write(tmp_path / name, arrays, {"platform": "numpy"})
    blob, _ = program._store.add_file(tmp_path / "swarms", move=True)
    await program.opened(ASKED)

    async def never(*_: object) -> LossReport:
        raise AssertionError("nothing is loaded")

    sync = asyncio.create_task(program.sync(SyncCall(1, 1, False, tmp_path / "own"), never))
    program.wish(FailProgram("its tensors differ", blob))
    with pytest.raises(ProgramFault) as caught:
        await sync
    assert str(caught.value) == (
        "its tensors differ: tensor 'a' has shape [2, 5], expected [2, 3]; tensor 'b' has dtype F64, expected F32;"
        " tensor 'c' (F32, shape [1]) is missing; tensor 'd' (F32, shape [1]) is not expected"
    )


@pytest.mark.parametrize(
    ("end", "says"), [("raise KeyError('x')", "it ended with KeyError before"), ("pass", "it ended before")]
)
async def test_a_program_that_ends_early_says_so_itself(tmp_path: Path, end: str, says: str) -> None:
    """An exception, or an end without on_train_end: told to the SL at once, not taken for a kill."""
    code = (
        "from swarmlearning.plain import SwarmCallback\n"
        "import numpy as np\n"
        "swarm = SwarmCallback(1, 1, get_parameters=lambda: {'w': np.zeros(1)}, set_parameters=lambda m: None)\n"
        "swarm.on_train_begin()\n" + end
    )
    async with bridge_at(tmp_path) as place:
        environ = {
            "SL_REQUEST_CHANNEL": str(place.request),
            "SL_RESPONSE_CHANNEL": str(place.response),
            "SWARM_EXCHANGE_DIR": str(place.exchange),
        }
        command = [sys.executable, "-c", code]
        await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, timeout=60, check=False)
        await place.shell.wait_ended()
        assert place.shell.losses == []
        assert says in (place.shell.endings[0] or "")


async def test_an_original_program_that_is_killed_is_lost_and_a_new_one_takes_over(tmp_path: Path) -> None:
    """The end of its pipe is no word; the program that is started after it gets a session of its own."""
    async with bridge_at(tmp_path) as place:

        def program(*, dies: bool) -> None:
            client = OriginalClient("pickle", *place.args)
            client.open_pipes()
            client.open_session()
            if not dies:
                client.sync({"w": np.ones(1, np.float32)}, kind=4)
            client.close_pipes()

        await asyncio.to_thread(program, dies=True)
        await place.shell.wait_ended()
        assert len(place.shell.losses) == 1
        await asyncio.to_thread(program, dies=False)
        await place.shell.wait_ended(2)
        assert place.shell.endings[1] is None


async def test_what_an_original_client_measured_is_its_own_figure_and_0_and_0_is_nothing(tmp_path: Path) -> None:
    """Pickle and inline alike: its loss is marked, and the two zeros of one that measures nothing are unknown."""
    for form, key in (("pickle", "w"), ("inline", "w")):
        folder = tmp_path / form
        folder.mkdir()
        async with bridge_at(folder) as place:

            def program(form: str = form, key: str = key, place: Any = place) -> None:
                client = OriginalClient(form, *place.args)
                client.open_pipes()
                client.open_session()
                model = {key: np.ones(1, np.float32)}
                for kind, told in ((6, (0.015625, 0.5, 1, 2)), (6, (0.0, 0.5, 1, 2)), (4, (0.0, 0.0, 2, 2))):
                    client.sync(model, lambda _, told=told: told, kind=kind)  # type: ignore[misc]

            await asyncio.to_thread(program)
            measured, zero, nothing = place.shell.reports
        assert (measured.loss, measured.metric, measured.own_figure) == (0.015625, 0.5, True)
        assert (zero.loss, zero.metric, zero.own_figure) == (0.0, 0.5, True)
        assert math.isnan(nothing.loss)
        assert math.isnan(nothing.metric)
        assert not nothing.own_figure
        assert (nothing.epochs_done, nothing.epochs_total) == (2, 2)
