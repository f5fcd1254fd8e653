"""A program outlives its SL: over real pipes, one bridge after the other serves the same program."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import Log, Place, Shell, bridge_at
from support.original_client import OriginalClient
from support.sdk_channel import point_at
from swarm.sl.bridge import FifoBridge, Merged
from swarmlearning.base import SwarmError
from swarmlearning.client import swarm as base
from swarmlearning.plain import SwarmCallback

NAMED = Merged("ab" * 32, 1, 7, "cd" * 32)


class Counter:
    """One weight, raised by one a batch."""

    def __init__(self, **options: Any) -> None:
        self.model = {"w": np.zeros(1, np.float32)}
        self.lines: list[str] = []
        self.callback = SwarmCallback(
            4, 1, get_parameters=lambda: self.model, set_parameters=self.model.update, **options
        )

    def batches(self, count: int) -> None:
        for _ in range(count):
            self.model["w"] = self.model["w"] + 1
            self.callback.on_batch_end()


@contextlib.asynccontextmanager
async def another_sl(place: Place, **options: Any) -> AsyncIterator[Shell]:
    """A new SL process on the same pipes: it knows nothing of the old one's sessions."""
    shell = Shell(place.work, **options)
    bridge = FifoBridge(place.request, place.response, place.exchange, place.work, shell, log=Log())
    task = asyncio.create_task(bridge.run())
    try:
        yield shell
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def stopped(place: Place) -> None:
    place.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await place.task


async def test_a_sync_that_was_cut_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SL stops in the middle of a sync: the next one gets the same model as number 1, and what it began from."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        place.shell.hold = asyncio.Event()
        training = asyncio.create_task(asyncio.to_thread(toy.batches, 6))
        await place.shell.holding.wait()
        await stopped(place)
        async with another_sl(place, merge=lambda _, a: a + 100) as shell:
            await training
            assert [(call.seq, call.final) for call in shell.syncs] == [(1, False)]
            assert shell.models[0]["w"] == place.shell.models[-1]["w"] == 5.0
            assert shell.sessions[0].after == (NAMED.run, NAMED.round)
            assert toy.model["w"] == 106.0
            await asyncio.to_thread(toy.callback.on_train_end)
            await shell.wait_ended()
            assert shell.endings == [None]
    said = capsys.readouterr().out
    assert "this SL is stopping. This program goes on when the SL is back" in said
    assert "The SL is back after" in said


async def test_after_the_load_the_update_is_not_handed_over_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off between evaluation and answer: the new session still names the model that the update began from."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        place.shell.named = Merged(NAMED.swarm, 1, 8, "ef" * 32)
        place.shell.evaluations = 2

        def load_then_stop(merged: dict[str, np.ndarray]) -> None:
            toy.model.update(merged)
            if len(place.shell.reports) == 2:
                loop.call_soon_threadsafe(place.task.cancel)

        loop = asyncio.get_running_loop()
        toy.callback._set = load_then_stop
        training = asyncio.create_task(asyncio.to_thread(toy.batches, 6))
        with contextlib.suppress(asyncio.CancelledError):
            await place.task
        async with another_sl(place) as shell:
            await training
            assert shell.sessions[0].after == (1, 7)
            await asyncio.to_thread(toy.callback.on_train_end)


async def test_a_training_program_finds_the_new_sl_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SL is replaced between two syncs: the hooks notice, and a session is open before the next sync is due."""
    monkeypatch.setattr(base, "PROGRESS_SECONDS", 0.0)
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        await asyncio.to_thread(toy.batches, 1)
        await stopped(place)
        await asyncio.to_thread(toy.batches, 1)
        async with another_sl(place) as shell:
            assert shell.sessions == []
            for _ in range(2):
                await asyncio.to_thread(toy.batches, 1)
                await asyncio.sleep(0.1)
            assert [one.after for one in shell.sessions] == [(1, 7)]
            assert shell.syncs == []
            await asyncio.to_thread(toy.batches, 1)
            assert [call.seq for call in shell.syncs] == [1]
            await asyncio.to_thread(toy.callback.on_train_end)
    said = capsys.readouterr().out
    assert "Training goes on; the session is opened again when the SL is back" in said


async def test_an_sl_process_that_took_the_pipes_over_unseen_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new SL on the same open descriptors answers 'come back' to a sync it knows no session of; no error."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        session = toy.callback._session
        assert session is not None
        before = session._channel
        await stopped(place)
        assert before is not None
        assert before._read >= 0
        async with another_sl(place) as shell:
            await asyncio.sleep(0.1)  # it has opened the pipes towards the program's old descriptors
            await asyncio.to_thread(toy.batches, 5)
            assert [call.seq for call in shell.syncs] == [1]
            assert session._channel is not before
            await asyncio.to_thread(toy.callback.on_train_end)


async def test_progress_reaches_the_shell_and_no_old_one_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches done and due arrive between two syncs, one report each PROGRESS_SECONDS; an older SL gets none."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter, totalEpochs=3)
        await asyncio.to_thread(toy.callback.on_train_begin)
        await asyncio.to_thread(toy.batches, 2)
        assert place.shell.moves == []  # less than PROGRESS_SECONDS since the sync
        monkeypatch.setattr(base, "PROGRESS_SECONDS", 0.0)
        await asyncio.to_thread(toy.batches, 2)
        async with asyncio.timeout(5):
            while len(place.shell.moves) < 2:
                place.shell.changed.clear()
                await place.shell.changed.wait()
        assert place.shell.moves == [(3, 4), (4, 4)]
        assert "the program trains, batch 4 of 4 before the next sync, 0 of 3 epochs done" in place.bridge.state.what
        session = toy.callback._session
        assert session is not None
        session._extended = False  # what an SL without the feature leaves it at
        await asyncio.to_thread(toy.batches, 3)
        await asyncio.sleep(0.1)
        assert len(place.shell.moves) == 2
        await asyncio.to_thread(toy.callback.on_train_end)


async def test_an_original_program_that_waits_may_not_be_confused(tmp_path: Path) -> None:
    """A program without the extension gets neither our fields nor a session it did not ask for."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        client = OriginalClient("pickle", *place.args)

        def program() -> dict[int, list[Any]]:
            client.open_pipes()
            client.open_session()
            client.send(6, client.sync_body(6, {"w": np.ones(1, np.float32)}))
            return dict(client.receive()[1])

        assert set(await asyncio.to_thread(program)) == {1, 2, 3, 4}
        client.close_pipes()


async def test_a_program_that_waits_may_say_that_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reports of a waiting program are passed over, also in pieces; they do not end its sync."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        place.shell.hold = asyncio.Event()
        toy = await asyncio.to_thread(Counter)
        beginning = asyncio.create_task(asyncio.to_thread(toy.callback.on_train_begin))
        await place.shell.holding.wait()
        session = toy.callback._session
        assert session is not None
        for _ in range(3):
            session._ask_if_there()
            await asyncio.sleep(0.02)
        place.shell.hold.set()
        await beginning
        assert place.shell.endings == []
        assert place.shell.moves == []
        await asyncio.to_thread(toy.callback.on_train_end)


async def test_a_verdict_is_no_invitation_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SL that stops because this program cannot go on says why, and the program fails at once."""
    async with bridge_at(tmp_path, named=NAMED) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Counter)
        await asyncio.to_thread(toy.callback.on_train_begin)
        place.shell.judged = "run 1 was reset before it was complete"
        await stopped(place)
        with pytest.raises(SwarmError, match="SL error: run 1 was reset before it was complete"):
            await asyncio.to_thread(toy.batches, 6)


async def test_a_program_that_comes_after_the_end_is_told_that_nothing_is_left_and_who_opens_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second start of a finished job: one warning with the way on, and none that blames syncFrequency."""
    async with bridge_at(tmp_path, named=NAMED, over_after=1) as place:
        point_at(monkeypatch, place)

        def late() -> int:
            late = Counter(totalEpochs=3)
            late.callback.on_train_begin()
            late.callback.on_train_end()
            return late.callback.resumedEpoch

        assert await asyncio.to_thread(late) == 3
    warned = [line for line in capsys.readouterr().out.splitlines() if " WARNING : " in line]
    assert sum("Run 1 is complete" in line and "swarm reset" in line for line in warned) == 1, warned
    assert not any("syncFrequency" in line for line in warned)
