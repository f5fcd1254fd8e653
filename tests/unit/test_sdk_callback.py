"""The callback base and the framework-free callback, over real pipes against the real bridge."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarmlearning.base import SwarmCallbackBase, SwarmError
from swarmlearning.plain import SwarmCallback


class Toy:
    """A model that counts: one weight, raised by one per batch."""

    def __init__(self, start: float = 0.0, **options: Any) -> None:
        self.parameters = {"w": np.array([start], np.float32), "n": np.array(0, np.int64)}
        self.synced_after: list[int] = []
        self.batches = 0
        self.callback = SwarmCallback(
            options.pop("syncFrequency", 4),
            options.pop("minPeers", 1),
            get_parameters=self._get,
            set_parameters=self._set,
            **options,
        )

    def _get(self) -> dict[str, np.ndarray]:
        return self.parameters

    def _set(self, merged: dict[str, np.ndarray]) -> None:
        self.parameters = merged
        self.synced_after.append(self.batches)

    def train(self, batches: int) -> None:
        self.callback.on_train_begin()
        for _ in range(batches):
            self.batches += 1
            self.parameters["w"] += 1
            self.callback.on_batch_end()
        self.callback.on_epoch_end()
        self.callback.on_train_end()


@pytest.mark.row("K14")
async def test_syncs_come_at_batches_5_9_13(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N=4: the initial merge, then after batches 5, 9, 13, then the final one."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy)
        await asyncio.to_thread(toy.train, 14)
        await place.shell.wait_ended()
        assert toy.synced_after == [0, 5, 9, 13, 14]
        assert [(c.seq, c.final) for c in place.shell.syncs] == [
            (1, False),
            (2, False),
            (3, False),
            (4, False),
            (1, True),
        ]
        assert place.shell.endings == [None]


@pytest.mark.row("K14")
async def test_the_swarm_sets_the_next_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SL answers counts, not what the program asked for."""
    async with bridge_at(tmp_path, interval=2) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy, syncFrequency=7)
        await asyncio.to_thread(toy.train, 6)
        assert toy.synced_after == [0, 3, 5, 6]


@pytest.mark.row("K15")
async def test_every_merged_model_is_loaded_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each loss request loads its model; after train end the last merged model is what the program has."""
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(100), evaluations=2) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy)
        await asyncio.to_thread(toy.train, 5)
        assert toy.synced_after == [0, 0, 5, 5, 5, 5]
        np.testing.assert_array_equal(toy.parameters["w"], place.shell.merged[-1]["w"])
        assert toy.parameters["w"][0] == 305.0
        assert (toy.parameters["n"].shape, toy.parameters["n"].dtype) == ((), np.int64)


@pytest.mark.row("K16")
async def test_a_swarm_that_is_over_lets_the_program_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over at the second sync: no sync any more, the last merged model is loaded, KillSession(OK) is sent."""
    async with bridge_at(tmp_path, merge=lambda _, a: a * 0, over_after=2) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy)
        await asyncio.to_thread(toy.train, 20)
        await place.shell.wait_ended()
        assert toy.callback.isSwarmTrainingOver
        assert toy.synced_after == [0, 5, 20]
        assert toy.parameters["w"][0] == 0.0
        assert len(place.shell.syncs) == 2
        assert place.shell.endings == [None]


@pytest.mark.row("L02")
async def test_users_find_the_lines_they_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log holds the original's lines in its 'time : name : LEVEL : text' form."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy)
        await asyncio.to_thread(toy.train, 5)
    printed = capsys.readouterr().out
    for line in (
        "Starting Swarm merging round ...",
        "Merge Done: RVInt [cur: 4 Nxt: 4]",
        "Finished local training !!!",
        "Final merging starts at training end. Waiting for other peers to complete ...",
        "All peers and Swarm training rounds finished. Final Swarm model was loaded.",
    ):
        assert f" : SwarmCallback : INFO : {line}\n" in printed
    assert printed.rstrip().endswith("Final Swarm model was loaded.")


@pytest.mark.row("E01")
@pytest.mark.parametrize("value", ["True", "true", "TRUE"])
def test_loopback_needs_no_swarm_but_checks_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """No channel is touched, no model is changed, yet a wrong argument is an error."""
    monkeypatch.setenv("SWARM_LOOPBACK", value)
    monkeypatch.delenv("SL_REQUEST_CHANNEL", raising=False)
    toy = Toy()
    toy.train(9)
    assert toy.callback.loopback is True
    assert toy.synced_after == []
    assert toy.parameters["w"][0] == 9.0
    with pytest.raises(SwarmError, match="minPeers"):
        Toy(minPeers=0)


@pytest.mark.row("E01")
def test_without_loopback_a_swarm_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """SWARM_LOOPBACK unset or False: a program without its channel variables is told which, and both ways out."""
    monkeypatch.setenv("SWARM_LOOPBACK", "False")
    monkeypatch.delenv("SL_REQUEST_CHANNEL", raising=False)
    with pytest.raises(SwarmError, match=r"SL_REQUEST_CHANNEL is not set.*SWARM_LOOPBACK"):
        Toy()


@pytest.mark.row("K03")
@pytest.mark.parametrize("name", ["syncFrequency", "minPeers"])
def test_numbers_or_their_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A positive int or its text; everything else is refused by name and value."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    assert getattr(Toy(**{name: "16"}).callback, name) == 16
    assert getattr(Toy(**{name: 3}).callback, name) == 3
    for wrong in (0, -1, "0", "x", "1.5", None, 0.5, True, [], 2**31):
        with pytest.raises(SwarmError, match=f"{name} is .*positive integer"):
            Toy(**{name: wrong})


@pytest.mark.row("K04")
def test_node_weightage_is_1_to_100(monkeypatch: pytest.MonkeyPatch) -> None:
    """Default 1; 0, 101 and words are refused."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    assert Toy().callback.nodeWeightage == 1
    assert Toy(nodeWeightage="100").callback.nodeWeightage == 100
    for wrong in (0, 101, "heavy", None):
        with pytest.raises(SwarmError, match=r"nodeWeightage is .* from 1 to 100"):
            Toy(nodeWeightage=wrong)


@pytest.mark.row("K04")
@pytest.mark.parametrize(
    ("mode", "weight", "model"), [("snapshot", 7, 1005.0), ("active", 7, 1000.0), ("inactive", 0, None)]
)
async def test_what_a_finished_program_checks_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, weight: int, model: float | None
) -> None:
    """snapshot: the last local model; active: the last merged one; inactive: weight 0. The mode reaches the SL."""
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1000)) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(
            Toy, checkinModelOnTrainEnd=mode, nodeWeightage=7, syncFrequency=50, mergeMethod="GeoMedian"
        )
        await asyncio.to_thread(toy.train, 5)
        assert place.shell.sessions[0].checkin_mode == mode
        assert place.shell.sessions[0].merge_method == "geomedian"
        assert place.shell.syncs[0].weightage == 7
        assert place.shell.syncs[-1].weightage == weight
        if model is not None:
            assert place.shell.models[-1]["w"][0] == model


@pytest.mark.row("K05a")
def test_merge_methods_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """mean by default; the three names in any case; what can be no name is refused with the list."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    assert Toy().callback.mergeMethod.name == "mean"
    assert Toy(mergeMethod="COORDmedian").callback.mergeMethod.name == "coordmedian"
    for wrong in (None, 2.5, "", "two words", "x" * 33, "m\u00e9diane", []):
        with pytest.raises(SwarmError, match=r"mergeMethod is .*mean, coordmedian, geomedian"):
            Toy(mergeMethod=wrong)


async def test_merge_methods_of_a_site_are_the_sls_to_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mean-clipped reaches the SL; a name that it does not have is one sentence with those that it has."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        with pytest.raises(SwarmError, match=r"mergeMethod is 'mode', known .*coordmedian, geomedian, mean, mean-cl"):
            await asyncio.to_thread(Toy, mergeMethod="mode")
        toy = await asyncio.to_thread(Toy, mergeMethod="Mean-Clipped")
        await asyncio.to_thread(toy.train, 1)
        assert place.shell.sessions[0].merge_method == toy.callback.mergeMethod.name == "mean-clipped"


@pytest.mark.row("K02")
@pytest.mark.row("D10a")
def test_unknown_arguments_give_one_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown names stand together in one warning; maxPeers, which limits nothing here, has one of its own."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    toy = Toy(maxPeers=4, totalEpochs=3, zebra=1, apple=2)
    assert toy.callback.trainingContract == "defaultbb.cqdb.sml.hpe"
    assert toy.callback.maxPeers == 4
    warnings = [line for line in capsys.readouterr().out.splitlines() if " : WARNING : " in line]
    assert [line.split(" : WARNING : ")[1] for line in warnings] == [
        "Unknown arguments are ignored: apple, zebra",
        "maxPeers 4 has no effect: a round takes every member that is in.",
    ]


@pytest.mark.row("K08")
def test_total_epochs_and_logger(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """totalEpochs absent: a warning and 0; given: kept; a logger of the user's is used as it is."""
    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    assert Toy().callback.totalEpochs == 0
    assert "WARNING : totalEpochs is not given" in capsys.readouterr().out
    assert Toy(totalEpochs="12").callback.totalEpochs == 12
    with pytest.raises(SwarmError, match="totalEpochs"):
        Toy(totalEpochs=0)
    own = logging.getLogger("mine")
    assert Toy(logger=own).callback.logger is own
    assert Toy().callback.logger.name == "SwarmCallback"
    handlers = logging.getLogger("SwarmCallback").handlers
    assert len([h for h in handlers if isinstance(h, logging.StreamHandler)]) == len(set(map(type, handlers)))


@pytest.mark.row("K08")
async def test_progress_travels_with_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs done and in total, loss and metric of the plain evaluate function reach the SL."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(
            Toy, totalEpochs=6, evaluate=lambda p: (float(p["w"][0]) / 2, 0.75), adsValBatchSize=3
        )
        await asyncio.to_thread(toy.train, 5)
        first, last = place.shell.reports[0], place.shell.reports[-1]
        assert (first.loss, first.metric, first.epochs_done, first.epochs_total) == (0.0, 0.75, 0, 6)
        assert (last.loss, last.metric, last.epochs_done, last.epochs_total) == (2.5, 0.75, 1, 6)


async def test_a_list_of_arrays_returns_as_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn style: get returns [coef, intercept], set receives the same list, owned and writable."""
    async with bridge_at(tmp_path, merge=lambda _, a: a + 1) as place:
        point_at(monkeypatch, place)
        model: list[np.ndarray] = [np.zeros((2, 2)), np.zeros(1)]

        def take(merged: list[np.ndarray]) -> None:
            model[:] = merged

        callback = await asyncio.to_thread(
            lambda: SwarmCallback(1, 1, get_parameters=lambda: model, set_parameters=take)
        )
        await asyncio.to_thread(callback.on_train_begin)
        assert [a.tolist() for a in model] == [[[1, 1], [1, 1]], [1]]
        model[0] += 1
        assert list(place.shell.models[0]) == ["parameter_0", "parameter_1"]
        assert place.shell.headers[0].platform == "numpy"
        await asyncio.to_thread(callback.on_train_end, None)


@pytest.mark.row("F13")
async def test_an_error_in_evaluate_is_reported_and_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loss decides (useAdaptiveSync) the user's exception leaves the hook; the SL hears its type and text."""

    def broken(_: Any) -> tuple[float, float]:
        raise ZeroDivisionError("no samples")

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(lambda: Toy(evaluate=broken, useAdaptiveSync=True, adsValData=[1]))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(toy.train, 1)
        await place.shell.wait_ended()
        assert "ZeroDivisionError: no samples" in (place.shell.endings[0] or "")


async def test_an_error_in_evaluate_that_decides_nothing_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss is unknown, said once over two merges; the program trains to its end."""

    def broken(_: Any) -> tuple[float, float]:
        raise ZeroDivisionError("no samples")

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy, evaluate=broken)
        await asyncio.to_thread(toy.train, 6)
        assert place.shell.endings == [None]
        assert [math.isnan(one.loss) for one in place.shell.reports] == [True] * 3
    assert capsys.readouterr().out.count("failed with ZeroDivisionError: no samples") == 1


@pytest.mark.parametrize("keeps", [set(), {"w"}], ids=["neither", "one of them"])
async def test_set_parameters_that_does_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: set[str]
) -> None:
    """What get_parameters gives after a merge must be what was merged, or the program would train alone."""
    async with bridge_at(tmp_path, merge=lambda _, array: array + array.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy)
        monkeypatch.setattr(toy.callback, "_set", lambda merged: toy.parameters.update({n: merged[n] for n in keeps}))
        with pytest.raises(
            SwarmError, match="has not the merged values of " + ("n after" if keeps else "w and 1 more")
        ):
            await asyncio.to_thread(toy.train, 6)


async def test_an_sl_that_dies_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose SL stopped and stays away hears so after the time it waits for it, as SwarmError."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        monkeypatch.setenv("SWARM_CHANNEL_WAIT_SECONDS", "0.3")
        place.shell.hold = asyncio.Event()
        toy = await asyncio.to_thread(Toy)
        waiting = asyncio.create_task(asyncio.to_thread(toy.train, 1))
        await place.shell.holding.wait()
        place.task.cancel()
        with pytest.raises(SwarmError, match=r"this SL is stopping, and did not come back within 0 s .*no SL listens"):
            await waiting


def test_no_sl_is_waited_for_with_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither missing pipes nor pipes without a listener hang: both end with the fix after the given time."""
    monkeypatch.setenv("SL_REQUEST_CHANNEL", str(tmp_path / "req"))
    monkeypatch.setenv("SL_RESPONSE_CHANNEL", str(tmp_path / "resp"))
    monkeypatch.setenv("SWARM_CHANNEL_WAIT_SECONDS", "0.1")
    monkeypatch.delenv("SWARM_LOOPBACK", raising=False)
    with pytest.raises(SwarmError, match=r"for the SL to create .*req.*Start the SL"):
        Toy()
    os.mkfifo(tmp_path / "req")
    os.mkfifo(tmp_path / "resp")
    with pytest.raises(SwarmError, match="no SL listens"):
        Toy()
    monkeypatch.setenv("SWARM_CHANNEL_WAIT_SECONDS", "soon")
    with pytest.raises(SwarmError, match="SWARM_CHANNEL_WAIT_SECONDS is 'soon'"):
        Toy()
    monkeypatch.setenv("SWARM_CHANNEL_WAIT_SECONDS", "1")
    (tmp_path / "req").unlink()
    (tmp_path / "req").write_text("")
    with pytest.raises(SwarmError, match="is not a named pipe"):
        Toy()


async def test_hooks_may_be_repeated_or_called_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second on_train_end warns, batches after the end count nothing, a second fit is a named error."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy)
        await asyncio.to_thread(toy.train, 2)
        toy.callback.on_batch_end(3)
        toy.callback.on_train_end()
        assert len(place.shell.syncs) == 2
        with pytest.raises(SwarmError, match="new SwarmCallback for each fit"):
            toy.callback.on_train_begin()


async def test_a_hook_may_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without on_train_begin the first sync is at batch N+1 all the same."""
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        toy = await asyncio.to_thread(Toy, syncFrequency=2)

        def loop() -> None:
            for _ in range(3):
                toy.batches += 1
                toy.callback.on_batch_end()
            toy.callback.on_train_end()

        await asyncio.to_thread(loop)
        assert toy.synced_after == [3, 3]


@pytest.mark.row("K01c")
async def test_programs_may_extend_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback of the user's own: five methods, the semi-private names, and the pipe does the rest."""

    class Own(SwarmCallbackBase):
        def __init__(self, **options: Any) -> None:
            self.weights = {"x": np.zeros(2, np.float32)}
            super().__init__(4, 1, "my-job", options)
            self._verifyAndSetPlatformContext(options)
            self._swarmInitialize()

        def _verifyAndSetPlatformContext(self, params: Any) -> None:
            self.checked = True

        def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
            return (None,) * 5

        def _saveModelWeightsToDict(self) -> dict[str, np.ndarray]:
            return self.weights

        def _loadModelWeightsFromDict(self, paramsDict: Any) -> None:
            self.weights = {name: np.array(array) for name, array in paramsDict.items()}

        def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
            return 1.5, 0.5

    assert len(SwarmCallbackBase.__abstractmethods__) == 5
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(2)) as place:
        point_at(monkeypatch, place)
        own = await asyncio.to_thread(Own)
        await asyncio.to_thread(own._swarmOnTrainBegin)
        sync: Callable[[], None] = own._SwarmCallbackBase__doSync  # type: ignore[attr-defined]
        await asyncio.to_thread(sync)
        assert own.weights["x"].tolist() == [4.0, 4.0]
        assert (own.stepsBeforeNextSync, own.isSwarmTrainingOver, own.userMergeDone) == (4, False, False)
        own.stepsBeforeNextSync = 0
        await asyncio.to_thread(own._swarmOnBatchEnd)
        assert own.userMergeDone
        await asyncio.to_thread(own._swarmOnTrainEnd)
        assert place.shell.sessions[0].job == "my-job"
        assert place.shell.reports[0].loss == 1.5
        assert SwarmCallbackBase.safeCastType("x", int, 5) == 5


def test_frameworks_are_imported_only_by_their_modules() -> None:
    """Base, plain callback and pipe load neither torch nor TensorFlow nor Keras."""
    code = (
        "import sys, swarmlearning.base, swarmlearning.plain, swarmlearning.client.swarm;"
        "print(sorted({'torch', 'tensorflow', 'keras', 'safetensors', 'swarm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
