"""The base of every swarm callback: when to sync, what to load, how training ends.

Owns the life cycle that all frameworks share (rows K14-K16, E01, L02). Arguments, and what a framework says of its
model, are ``basis``'s; the pipe and its files belong to ``pipe``, the resume file to ``resume``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional, TypeVar

import numpy as np
import numpy.typing as npt

from ..tensorfile import TensorFileError
from .basis import CallbackBasis
from .counting import counted
from .names import DEFAULT_TRAINING_CONTRACT, PLATFORM_OF, CheckinModel, SLMergeMethod, SLPlatforms, SwarmError
from .pipe.channel import ChannelError
from .pipe.places import channel_paths
from .pipe.session import LossResult, Session, SessionSettings
from .result import Ending
from .resume import State
from .resumefile import ResumeFileError, ResumePoint
from .unfinished import EXIT_CODE, WATCH

__all__ = [
    "DEFAULT_TRAINING_CONTRACT",
    "CheckinModel",
    "SLMergeMethod",
    "SLPlatforms",
    "SwarmCallbackBase",
    "SwarmError",
]

EXCEPTION_CHARS_MAX = 64
PROGRESS_SECONDS = 5.0
"""The SL hears at most this often how far the program is between two syncs."""

_T = TypeVar("_T")


class SwarmCallbackBase(CallbackBasis):
    """Base of all callbacks.

    A subclass sets up its framework, calls ``_swarmInitialize`` at the end of its constructor, and calls
    ``_swarmOnTrainBegin``, ``_swarmOnBatchEnd``, ``_swarmOnEpochEnd`` and ``_swarmOnTrainEnd`` from its hooks.
    Its arguments, and the methods that a subclass writes, are those of ``CallbackBasis``.
    """

    # ---- what a framework calls

    def _swarmInitialize(self) -> None:
        """Open the session with the SL; does nothing in loop-back mode.

        Raises:
            SwarmError: the SL cannot be reached in time, or refuses.
        """
        if self.loopback:
            return
        settings = SessionSettings(
            sync_interval=self.syncFrequency,
            min_peers=self.minPeers,
            max_peers=self.maxPeers,
            adaptive=self.useAdaptiveSync,
            checkin_mode=self.checkinModelOnTrainEnd.name,
            weightage=self._weight.at_first,
            job=self.trainingContract,
            merge_method=self.mergeMethod.name,
            data_schema=self._schema,
        )

        def begin() -> Session:
            WATCH.begins(self, channel_paths())
            return Session(settings, logger=self.logger, differs=self._data_differs)

        self._session = self._talk("opening the swarm session", begin)

    def _swarmOnTrainBegin(self) -> None:
        """Merge the initial parameters, so that all members start from one model (K14)."""
        self._settle_weight()
        if self.loopback:
            self._rehearse()
            return
        if self._finished:
            self._logAndRaiseError(
                "this callback has finished its swarm training already. Pass fits=2 to it if the run is two calls of"
                " fit(), or make a new SwarmCallback for each fit() and start the SL again in between."
            )
        if self._begun and self.isSwarmTrainingOver:
            return  # between two fits
        self.__doSync()

    def _data_differs(self, text: str) -> None:
        for line in text.splitlines():
            self.logger.warning("%s", line)
        if self.strict:
            self._logAndRaiseError(f"strict: {text}")

    def _sees_training_data(self, data: Any) -> None:
        """The framework's own training data, for a node that weighs by samples and was not told their number."""
        self._weight.sees(data)

    def _settle_weight(self) -> None:
        if isinstance(self.nodeWeightage, str):
            self.nodeWeightage = self._checked(self._weight.counted)
            self.logger.info("nodeWeightage is the number of samples, %d; all members can read it.", self.nodeWeightage)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_swarmOnBatchEnd" in cls.__dict__:
            cls._swarmOnBatchEnd = counted(cls._swarmOnBatchEnd)  # type: ignore[method-assign]

    @counted
    def _swarmOnBatchEnd(self) -> None:
        """Sync when it is time. Batches are counted, and progress is told, around it, also where it is overridden."""
        if self.loopback:
            return
        if self._finished:
            self._comes_late("on_batch_end")
            return
        if self.stepsBeforeNextSync == 0 and not self.isSwarmTrainingOver:
            self.__doSync()
            self.userMergeDone = True
        self.stepsBeforeNextSync -= 1

    def _batch_begins(self) -> None:
        if not self.loopback and not self._finished:
            self.stepsCompleted += 1

    def _batch_ended(self) -> None:
        if self.loopback or self._finished:
            return
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._tell_progress()

    def _swarmOnEpochEnd(self) -> None:
        """Count an epoch; the count travels with the next loss report."""
        if self._finished:
            self._comes_late("on_epoch_end")
            return
        self.epochsCompleted += 1

    def _swarmOnTrainEnd(self) -> None:
        """Hand over the last model and wait for the others; the final swarm model is loaded afterwards (K15, K16).

        Writes the result files (docs/sdk.md). Raises SwarmError, in strict mode, if this program trained alone.
        """
        if self.loopback:
            self._conclude()
            return
        if self._finished:
            self.logger.warning("on_train_end was called again; the swarm training is finished already")
            return
        if self._fits_left > 1:
            self._fits_left -= 1
            self._fits_ended += 1
            self.logger.info("One fit() is done, %d to come: the swarm's training goes on.", self._fits_left)
            return
        self.logger.info("Finished local training !!!")
        if not self.userMergeDone and not self.isSwarmTrainingOver:
            self.logger.warning(
                "No merge was done between first and last batch: syncFrequency %d may be too high",
                self.syncFrequency,
            )
        local = self._shared_arrays()
        self._results.keep_own(local, self._platform())
        merged = self.lastSuccessfulMergeDictInActTrng
        try:
            if self.isSwarmTrainingOver:
                self._leave(local if merged is None else merged)
            else:
                self._end(local, merged)
        except SwarmError as fault:
            if not self._told_failure:
                self._failed(str(fault))
            raise
        self._finished = True
        WATCH.ended(self)
        self._resume.finished()
        if self._session is not None:
            self._session.close()
        self._conclude()
        self.logger.info("All peers and Swarm training rounds finished. Final Swarm model was loaded.")

    def getLoss(self, mergedParamsDict: Mapping[str, npt.NDArray[Any]]) -> tuple[float, float, int, int]:
        """Load merged parameters and evaluate them: loss, metric, epochs done, epochs in total."""
        self._putMerged(mergedParamsDict)
        self.lastSuccessfulMergeDictInActTrng = mergedParamsDict
        loss, metric = self._judged()
        if not math.isnan(loss):  # else nobody asked for it, or a warning told why it is not known
            self.logger.info("Calculated local loss using merged parameters = %s", loss)
        return loss, metric, self.epochsCompleted, self.totalEpochs

    def _judged(self) -> tuple[float, float]:
        """Loss and metric of the merged model, NaN where not known: figures that cannot be had end no training.

        Raises:
            Exception: of the evaluation, where the loss decides something (useAdaptiveSync).
        """
        try:
            loss, metric = self._calculateLocalLossAndMetrics()
            return float(loss), float(math.nan if metric is None else metric)
        except Exception as fault:
            if self.useAdaptiveSync:
                raise
            if not self._judged_badly:
                self._judged_badly = True
                self.logger.warning(
                    "Loss and metric of merged models stay unknown, training goes on: evaluating adsValData failed"
                    " with %s: %s",
                    *(type(fault).__name__, fault),
                )
            return math.nan, math.nan

    # ---- ends

    def _ended_early(self, exception: str) -> bool:
        """The process ends without on_train_end: say so to the user, the result page and the SL; whether it is strict.

        Args:
            exception: the class of what ended it, empty if nothing is known.
        """
        how = f"ended with {exception}" if exception else "ended"
        if not self._asked:
            why = "none of the callback's hooks was called that merge: pass the callback to fit(), or call its hooks"
        elif self._fits_ended:
            told = self._fits_ended + self._fits_left
            why = f"fits is {told}, and {self._fits_ended} ended: pass how many calls of fit() there are"
        else:
            why = "call on_train_end when the training ends, and end the program after it"
        text = (
            f"this program {how} before on_train_end was called: its last training is not in the swarm's model, and the"
            f" swarm's final model was not loaded; {why}."
        )
        if not self._told_failure:
            self.logger.error("T%s", text[1:])
            self._failed(text)
        if self._session is not None:
            self._session.abandon(EXIT_CODE if exception or self.strict else 0, exception[:EXCEPTION_CHARS_MAX])
            self._session.close()
        return self.strict

    def _let_go(self) -> None:
        """Another callback of this process takes over: close the pipes without a word, the SL goes on with that one."""
        if self._session is not None:
            self._session.close()
        self._finished = True

    def _failed(self, reason: str) -> None:
        self._told_failure = True
        self._results.tell({**self._told(), "verdict": "failed", "reason": reason})

    def _comes_late(self, hook: str) -> None:
        if not self._late_told:
            self._late_told = True
            self.logger.warning(
                "%s was called after on_train_end: the swarm training is finished, and what is trained from now on is"
                " in no swarm's model. Make a new SwarmCallback to train on with the others.",
                hook,
            )

    def _rehearse(self) -> None:
        """Without a swarm: read and evaluate the model once, so that what cannot be done fails before it counts."""
        if self._begun:
            return
        self._begun = True
        self._shared_arrays()
        told = ["unknown" if math.isnan(value) else value for value in self._judged()]
        self.logger.info("Loop-back: the model was read and evaluated once: loss %s, metric %s.", *told)

    # ---- inside

    def __doSync(self) -> None:
        self._asked = True
        local = self._shared_arrays()
        self._look_for_training(local)
        self.logger.info("Starting Swarm merging round ...")
        following, self.isSwarmTrainingOver = self._hand_over(local, final=False)
        self.logger.info("Merge Done: RVInt [cur: %s Nxt: %s]", self.currentSyncFrequency, following)
        self.stepsBeforeNextSync = self.currentSyncFrequency = following
        self._told_at = time.monotonic()
        if not self._begun:
            self._begun, self._came_late = True, self.isSwarmTrainingOver
            if self._take_up():
                return  # what is on disk holds until the next sync
        if not self.isSwarmTrainingOver:
            self._resume.keep(self._where)

    def _putMerged(self, merged: Mapping[str, npt.NDArray[Any]]) -> None:
        """Load, then look whether the model has what was loaded."""
        self._loadModelWeightsFromDict(self._loadable(merged))
        other = self._unlike(merged)
        if other:
            more = f" and {len(other) - 1} more" if len(other) > 1 else ""
            self._logAndRaiseError(
                f"the model has not the merged values of {other[0]}{more} after they were loaded, so it would train"
                " without the swarm: what loads them must change what is shared."
            )

    def _look_for_training(self, local: Mapping[str, npt.NDArray[Any]]) -> None:
        """Say once that nothing was learnt since the last merge: often another object than the one shared is trained.

        The first array that differs ends the look.
        """
        merged = self.lastSuccessfulMergeDictInActTrng
        if self._told_idle or merged is None or not self._begun or local.keys() != merged.keys():
            return
        if all(np.array_equal(array, merged[name]) for name, array in local.items()):
            self._told_idle = True
            self.logger.warning(
                "The model has not changed since the last merge, %d batches ago: is the object that was handed to the"
                " callback the one that is trained? Its copies are not shared.",
                self.currentSyncFrequency,
            )

    def _tell_progress(self) -> None:
        session, total = self._session, self.currentSyncFrequency
        self._told_at = time.monotonic()
        if session is None or self.isSwarmTrainingOver:
            return
        step = min(max(total - self.stepsBeforeNextSync, 0), total)
        self._talk(
            "training in the swarm",
            lambda: session.progress(step, total, self.epochsCompleted, self.totalEpochs),
        )

    def _where(self) -> tuple[ResumePoint, State]:
        """Where this program stands, for the resume file."""
        session = self._session
        if session is None or session.merged is None:
            raise ResumeFileError("the SL does not say which model it hands over: it is of an older version")
        merged = session.merged
        arrays, notes = self._optimizerState() if self._resume.mode == "on" else ({}, {})
        point = ResumePoint(
            job=self.trainingContract,
            swarm=merged.swarm,
            run=merged.run,
            round=merged.round,
            blob=merged.blob,
            manifest=session.manifest,
            step=self.stepsCompleted,
            epochs=self.epochsCompleted,
        )
        return point, ({**self._randomState(), **arrays}, notes)

    def _take_up(self) -> bool:
        """At the first merged model: go on where an earlier process of this program was; True if there was one."""
        session = self._session
        merged = session.merged if session is not None else None
        if session is None or merged is None:
            return False
        name = f"model 0x{merged.blob[:8]} of the swarm"
        found = self._resume.take_up(merged, session.manifest)
        if found is not None:
            point, arrays = found
            self.stepsCompleted = point.step
            self.epochsCompleted += point.epochs
            self.resumedEpoch = point.epochs
            kept = "no optimiser state"
            try:
                self._restoreRandomState(arrays)
                if self._restoreOptimizerState(arrays, point.notes):
                    kept = f"optimiser state of step {point.step}"
            except ValueError as fault:
                self.logger.warning("The resume file's state does not fit this program: %s", fault)
            self.logger.info(
                "Resuming run %d after round %d: %s, %s, %d epochs done.",
                *(merged.run, merged.round, name, kept, point.epochs),
            )
        elif merged.round > 0 and not self.isSwarmTrainingOver:
            self.logger.info("Taking part in run %d after round %d: %s.", merged.run, merged.round, name)
        if self.isSwarmTrainingOver:
            self.resumedEpoch = max(self.resumedEpoch, self.totalEpochs)
            self.logger.warning(
                "Run %d is complete: its final %s was loaded, and there is nothing left to train."
                " An operator opens the job's next run with swarm reset.",
                *(merged.run, name),
            )
        return found is not None

    def _hand_over(self, parameters: Mapping[str, npt.NDArray[Any]], *, final: bool) -> tuple[int, bool]:
        self._settle_weight()
        session = self._session
        if session is None:
            self._logAndRaiseError(
                "no swarm session is open: a callback's constructor must call _swarmInitialize() at its end."
            )
        following, over = self._talk(
            "the swarm merge",
            lambda: session.sync(parameters, self._platform(), self.nodeWeightage, self._evaluate, final=final),
        )
        if over and session.merged is not None:
            self._results.keep_final(session.merged_file, session.merged.blob)
        if following < 1 and not over:
            self._logAndRaiseError(
                f"the SL answered with the sync interval {following}, which would end syncing for good:"
                " a fault of the SL; its log and version are needed."
            )
        return max(following, 1), over

    def _evaluate(self, merged: Mapping[str, npt.NDArray[Any]]) -> LossResult:
        self.lastSuccessfulMergeDictInActTrng = None  # the model before is let go first: one is mapped, not two
        if self._session is not None:
            self._session.keep_merged_file()
        return LossResult(*self.getLoss(merged))

    def _end(self, local: Mapping[str, npt.NDArray[Any]], merged: Optional[Mapping[str, npt.NDArray[Any]]]) -> None:
        last: Mapping[str, npt.NDArray[Any]] = local
        if self.checkinModelOnTrainEnd is CheckinModel.active and merged is not None:
            last = merged
        elif self.checkinModelOnTrainEnd is CheckinModel.inactive:
            self.nodeWeightage = 0
        self._resume.keep(self._where, now_or_never=True)  # a program killed from now on has nothing left to train
        self.logger.info("Final merging starts at training end. Waiting for other peers to complete ...")
        self.stepsBeforeNextSync, self.isSwarmTrainingOver = self._hand_over(detached(last), final=True)

    def _leave(self, last: Mapping[str, npt.NDArray[Any]]) -> None:
        text = "Swarm training is over before local training. Exit gracefully."
        self.logger.warning(text)
        self._putMerged(last)
        if self._session is None:
            return
        try:
            self._session.kill(text)
        except ChannelError as fault:
            self.logger.warning("The SL could not be told that this program is done: %s", fault)

    def _platform(self) -> str:
        return "numpy" if self.mlPlatform is None else PLATFORM_OF[self.mlPlatform]

    def _told(self) -> dict[str, Any]:
        """The result page, so far as it is known without its files."""
        session = self._session
        merged = session.merged if session is not None else None
        return {
            "job": self.trainingContract,
            "swarm": merged.swarm if merged is not None else None,
            "run": merged.run if merged is not None else None,
            "round": merged.round if merged is not None else None,
            "epochs": self.epochsCompleted,
            "steps": self.stepsCompleted,
            "nodeWeightage": self.nodeWeightage,
        }

    def _conclude(self) -> None:
        """Say whether this program's training went into the swarm's model, and leave the result page."""
        ending = Ending(self.loopback, self.strict, self._begun, self._came_late)
        text, strict = self._results.conclude(self._told(), ending, self._session.record if self._session else "")
        if text is not None and strict:
            self._logAndRaiseError(text)
        if text is not None:
            (self.logger.warning if self.loopback else self.logger.error)(text)

    def _talk(self, doing: str, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (ChannelError, TensorFileError) as fault:
            self.logger.error("%s failed: %s", doing, fault)
            self._failed(f"{doing} failed: {fault}")
            raise SwarmError(f"{doing} failed: {fault}") from None  # one sentence; its causes say it in other words


def detached(parameters: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Copies that stay valid, subclass of ndarray kept."""
    return {name: np.array(array, subok=True) for name, array in parameters.items()}
