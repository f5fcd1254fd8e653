"""The FIFO bridge serves programs of every wire form, written here independently of our SDK."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import original_client
from support.fake_shell import bridge_at
from support.original_client import OriginalClient, SlError
from swarm.core.errors import OperatorFault, PeerFault

FORMS = ["pickle", "inline", "tensors"]
MODEL = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.count": np.array(7, np.int64),
    "b": np.zeros((0, 2), np.float32),
}


@pytest.mark.row("F07")
@pytest.mark.row("F08")
@pytest.mark.row("F09")
@pytest.mark.row("F10")
@pytest.mark.row("F11")
@pytest.mark.row("X07")
@pytest.mark.parametrize("form", FORMS)
async def test_a_whole_session_in_each_form(tmp_path: Path, form: str) -> None:
    """Open, two syncs with two evaluations each, close: every form delivers its model and loads the merged one."""
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1), evaluations=2) as place:
        client = OriginalClient(form, *place.args)

        def program() -> list[tuple[int, bool]]:
            client.open_pipes()
            client.open_session(interval=9, min_peers=3, weightage=42, method="MEAN", mode="active")
            answers = [client.sync(MODEL, lambda _: (0.5, 0.25, 1, 8), weightage=42) for _ in range(2)]
            answers.append(client.sync(MODEL, kind=4, weightage=0))
            client.close_pipes()
            return answers

        assert await asyncio.to_thread(program) == [(9, False), (9, False), (9, True)]
        shell = place.shell
        await shell.wait_ended()
        assert shell.endings == [None]
        asked = shell.sessions[0]
        assert (asked.sync_interval, asked.min_peers, asked.max_peers, asked.weightage) == (9, 3, 0, 42)
        assert (asked.job, asked.merge_method, asked.checkin_mode) == ("defaultbb.cqdb.sml.hpe", "mean", "active")
        assert [(c.seq, c.weightage, c.final) for c in shell.syncs] == [
            (1, 42, False),
            (2, 42, False),
            (1, 0, True),
        ]
        assert (shell.reports[0].loss, shell.reports[0].metric) == (0.5, 0.25)
        assert (shell.reports[0].epochs_done, shell.reports[0].epochs_total) == (1, 8)
        for model in shell.models:
            assert set(model) == set(MODEL)
            for name, array in MODEL.items():
                assert (model[name].dtype, model[name].shape) == (array.dtype, array.shape)
                np.testing.assert_array_equal(model[name], array)
        assert len(client.losses) == 6
        for merged in client.losses:
            np.testing.assert_array_equal(merged["a.weight"], MODEL["a.weight"] + 1)
            assert merged["a.count"].reshape(()) == 8


@pytest.mark.row("F11")
@pytest.mark.parametrize("form", ["pickle", "inline"])
async def test_old_wheels_get_float32_and_no_scalars(tmp_path: Path, form: str) -> None:
    """Decision D20: a 0-d int64 counter reaches an old PyTorch wheel as one float32 element."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient(form, *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.sync(MODEL)
            client.close_pipes()

        await asyncio.to_thread(program)
        assert client.losses[0]["a.count"].dtype == np.float32
        assert client.losses[0]["a.count"].shape == (1,)
        assert place.shell.models[0]["a.count"].dtype == np.int64


@pytest.mark.row("F01")
@pytest.mark.row("F03")
async def test_pipes_and_files_are_there_for_any_user(tmp_path: Path) -> None:
    """The SL makes both pipes and both weight files with mode 0777, the files empty."""
    async with bridge_at(tmp_path) as place:
        for pipe in (place.request, place.response):
            mode = pipe.stat().st_mode
            assert stat.S_ISFIFO(mode)
            assert stat.S_IMODE(mode) == 0o777
        for name in ("trained_weights.pkl", "merged_weights.pkl"):
            found = (place.exchange / name).stat()
            assert stat.S_IMODE(found.st_mode) == 0o777
            assert found.st_size == 0


@pytest.mark.row("F02")
async def test_the_response_pipe_is_opened_first_and_nothing_blocks(tmp_path: Path) -> None:
    """A program that blocks in open(response) is let through; the loop runs on while nobody is there."""
    async with bridge_at(tmp_path) as place:
        beats = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            beats += 1
        assert beats == 20
        with pytest.raises(OSError, match="No such device"):  # the request pipe has no reader yet
            os.open(place.request, os.O_WRONLY | os.O_NONBLOCK)
        client = OriginalClient("pickle", *place.args)
        async with asyncio.timeout(5):
            await asyncio.to_thread(client.open_pipes)
        client.close_pipes()


@pytest.mark.row("F06")
async def test_another_version_is_told_so(tmp_path: Path) -> None:
    """Version 3 gets the original's sentence with both numbers."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("pickle", *place.args)

        def program() -> None:
            client.open_pipes()
            client.send(2, original_client.number(1, 4), version=3)
            client.receive()

        with pytest.raises(SlError, match=r"Mismatch in the Swarm API version.*2.*3"):
            await asyncio.to_thread(program)
        client.close_pipes()


@pytest.mark.row("F05")
@pytest.mark.parametrize("kind", [0, 11, 12, 1, 3, 5, 7, 8, 9])
async def test_types_that_are_not_due_are_refused(tmp_path: Path, kind: int) -> None:
    """Fences, answers and unknown numbers are refused with a Status that names them."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("pickle", *place.args)

        def program() -> None:
            client.open_pipes()
            client.send(kind, b"\x08\x01")
            client.receive()

        with pytest.raises(SlError, match=r"unsupported message type|due is OPEN_REQUEST"):
            await asyncio.to_thread(program)
        client.close_pipes()
        assert place.shell.endings == []


@pytest.mark.row("F05")
async def test_kill_ok_ends_a_session_cleanly(tmp_path: Path) -> None:
    """KillSession(OK) is no failure; KillSession with a code is one, with its text; neither is answered."""
    async with bridge_at(tmp_path) as place:
        for code, ending in ((0, None), (2, "the ML program gave up: out of memory")):
            client = OriginalClient("inline", *place.args)

            def program(client: OriginalClient = client, code: int = code) -> None:
                client.open_pipes()
                client.open_session()
                client.sync(MODEL)
                client.kill("out of memory", code)
                client.close_pipes()

            await asyncio.to_thread(program)
            await place.shell.wait_ended(1 + bool(code))
            assert place.shell.endings[-1] == ending


@pytest.mark.row("F10")
async def test_a_refusal_by_the_shell_reaches_the_program(tmp_path: Path) -> None:
    """What the shell refuses arrives as 'SL error: ...' text, and the bridge serves the next program."""
    async with bridge_at(tmp_path, refuse=PeerFault("the job is finished")) as place:

        def program(client: OriginalClient) -> None:
            client.open_pipes()
            try:
                client.open_session()
            finally:
                client.close_pipes()

        with pytest.raises(SlError, match="the job is finished"):
            await asyncio.to_thread(program, OriginalClient("tensors", *place.args))
        assert place.shell.endings == []
        place.shell.refuse = None
        await asyncio.to_thread(program, OriginalClient("tensors", *place.args))
        await place.shell.wait_ended()


@pytest.mark.row("F08")
@pytest.mark.parametrize(
    ("field", "text"),
    [("session", "speaks of session 'stranger'"), ("number", "number 5, due is 1"), ("weight", "101")],
)
async def test_wrong_ids_and_numbers_are_refused(tmp_path: Path, field: str, text: str) -> None:
    """A wrong session id, sequence number or weightage ends the session with a sentence that names it."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("inline", *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            if field == "session":
                client.session = "stranger"
            if field == "number":
                client.counts[6] = 4
            client.sync(MODEL, weightage=101 if field == "weight" else 1)

        with pytest.raises(SlError, match=text):
            await asyncio.to_thread(program)
        client.close_pipes()
        await place.shell.wait_ended()
        assert text in (place.shell.endings[0] or "")
        assert place.shell.syncs == []


@pytest.mark.row("F13")
async def test_an_error_in_the_users_code_ends_the_session(tmp_path: Path) -> None:
    """A LossResponse with ErrorInUser carries the user's error text to the shell."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("inline", *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.send(6, client.sync_body(6, MODEL))
            _, body = client.receive()
            status = original_client.number(1, 2) + original_client.text(2, "Loss computation failed. 1/0")
            head = original_client.text(1, client.session) + original_client.number(2, 1)
            head += original_client.number(3, body[3][0])  # type: ignore[arg-type]
            client.send(9, head + original_client.text(4, status) + original_client.real(5, -1.0))
            client.close_pipes()

        await asyncio.to_thread(program)
        await place.shell.wait_ended()
        assert "Loss computation failed. 1/0" in (place.shell.endings[0] or "")


@pytest.mark.parametrize("moment", ["crash", "hang"])
async def test_a_dead_program_is_noticed_at_once(tmp_path: Path, moment: str) -> None:
    """Killed between syncs or in the middle of one, the shell hears it in well under a second and goes on."""
    async with bridge_at(tmp_path) as place:
        place.shell.hold = asyncio.Event()
        command = [sys.executable, original_client.__file__, "inline", *map(str, place.args), moment]
        child = await asyncio.to_thread(subprocess.Popen, command)
        try:
            if moment == "hang":
                async with asyncio.timeout(10):
                    await place.shell.holding.wait()
                child.send_signal(signal.SIGKILL)
                died = asyncio.get_running_loop().time()
                await place.shell.wait_ended()
                assert asyncio.get_running_loop().time() - died < 0.5
                assert place.shell.cancelled == 1
            await place.shell.wait_ended()
        finally:
            child.kill()
            await asyncio.to_thread(child.wait)
        assert "the ML program ended while" in (place.shell.endings[0] or "")
        place.shell.hold = None
        command[-1] = "train"
        assert await asyncio.to_thread(subprocess.call, command) == 0
        await place.shell.wait_ended(2)
        assert place.shell.endings[1] is None


async def test_programs_may_follow_each_other_without_a_pause(tmp_path: Path) -> None:
    """40 programs in a row, each the moment the last one left, half of them dying: none sees a gap."""
    async with bridge_at(tmp_path) as place:

        def programs() -> None:
            for number in range(40):
                client = OriginalClient("inline", *place.args)
                client.open_pipes()
                client.open_session()
                if number % 4 == 0:
                    client.sync(MODEL, kind=4)
                if number % 4 == 1:
                    client.kill("enough")
                client.close_pipes()

        async with asyncio.timeout(30):
            await asyncio.to_thread(programs)
        await place.shell.wait_ended(40)
        for number, reason in enumerate(place.shell.endings):
            assert (reason is None) == (number % 4 < 2)
            assert reason is None or "without closing its session" in reason


async def test_a_program_that_hangs_in_a_sync_gives_way_to_a_new_one(tmp_path: Path) -> None:
    """Named pipes do not tell writers apart: an OpenSession in the middle of a sync means a new program."""
    async with bridge_at(tmp_path) as place:
        place.shell.hold = asyncio.Event()
        stuck = OriginalClient("inline", *place.args)
        await asyncio.to_thread(stuck.open_pipes)
        await asyncio.to_thread(stuck.open_session)
        stuck.send(6, stuck.sync_body(6, MODEL))
        await place.shell.holding.wait()
        place.shell.hold = None
        fresh = OriginalClient("inline", *place.args)

        def program() -> None:
            fresh.open_pipes()
            fresh.open_session()
            fresh.sync(MODEL, kind=4)

        async with asyncio.timeout(10):
            await asyncio.to_thread(program)
        await place.shell.wait_ended(2)
        assert place.shell.cancelled == 1
        assert "replaced by a new one" in (place.shell.endings[0] or "")
        assert place.shell.endings[1] is None
        for client in (stuck, fresh):
            client.close_pipes()


async def test_speaking_out_of_turn_ends_the_session(tmp_path: Path) -> None:
    """A second sync before the first is answered is refused at once, not kept for later."""
    async with bridge_at(tmp_path) as place:
        place.shell.hold = asyncio.Event()
        client = OriginalClient("inline", *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.send(6, client.sync_body(6, MODEL))
            client.send(6, client.sync_body(6, MODEL))
            client.receive()

        with pytest.raises(SlError, match="sent SYNC_REQUEST while a sync is under way"):
            await asyncio.to_thread(program)
        client.close_pipes()
        await place.shell.wait_ended()


async def test_one_process_may_train_twice(tmp_path: Path) -> None:
    """A second session over newly opened pipes works while the first pair is still open, as after a second fit."""
    async with bridge_at(tmp_path) as place:

        def program() -> None:
            clients = [OriginalClient("tensors", *place.args) for _ in range(2)]
            for client in clients:
                client.open_pipes()
                client.open_session()
                client.sync(MODEL, kind=4)
            for client in clients:
                client.close_pipes()

        await asyncio.to_thread(program)
        await place.shell.wait_ended(2)
        assert place.shell.endings == [None, None]


async def test_a_shell_that_breaks_is_reported_on_both_sides(tmp_path: Path) -> None:
    """An unforeseen exception of the shell reaches the program as an SL error and leaves run()."""
    async with bridge_at(tmp_path, merge=lambda _, a: 1 // 0) as place:
        client = OriginalClient("inline", *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.sync(MODEL)

        with pytest.raises(SlError, match="internal error: ZeroDivisionError"):
            await asyncio.to_thread(program)
        client.close_pipes()
        with pytest.raises(ZeroDivisionError):
            await place.task
        place.task = asyncio.create_task(asyncio.sleep(0))
        assert "ZeroDivisionError" in (place.shell.endings[0] or "")


async def test_an_interval_of_zero_never_reaches_a_program(tmp_path: Path) -> None:
    """Row K14: 0 would end an old program's syncing for good, so the bridge refuses to send it."""
    async with bridge_at(tmp_path, interval=-1) as place:
        client = OriginalClient("inline", *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.sync(MODEL)

        with pytest.raises(SlError, match="next interval is -1"):
            await asyncio.to_thread(program)
        client.close_pipes()


async def test_something_else_in_the_pipes_place_is_an_operator_fault(tmp_path: Path) -> None:
    """A plain file where the pipe belongs is named, not overwritten."""
    async with bridge_at(tmp_path) as place:
        bridge = place.bridge
        bridge._request = tmp_path / "plain"
        bridge._request.write_text("mine")
        with pytest.raises(OperatorFault, match="plain exists and is not a named pipe"):
            bridge.prepare()
        assert bridge._request.read_text() == "mine"


async def test_the_state_says_what_is_waited_for(tmp_path: Path) -> None:
    """Every phase has its row: nobody there, program trains, sync under way."""
    async with bridge_at(tmp_path) as place:
        place.shell.hold = asyncio.Event()
        await asyncio.sleep(0.05)
        assert place.bridge.state.what == "waiting for an ML program to open the pipes"
        client = OriginalClient("inline", *place.args)
        await asyncio.to_thread(client.open_pipes)
        await asyncio.to_thread(client.open_session)
        assert "the program trains" in place.bridge.state.what
        syncing = asyncio.create_task(asyncio.to_thread(client.sync, MODEL))
        await place.shell.holding.wait()
        assert place.bridge.state.what == "the SL works on SYNC_REQUEST 1"
        place.shell.hold.set()
        await syncing
        client.close_pipes()
