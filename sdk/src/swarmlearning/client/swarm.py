"""The base of every swarm callback: arguments, session, when to sync, what to load.

Owns the rules that all frameworks share (rows K01-K08, K14-K16, E01, L02); a framework's module says how to read,
load and evaluate its model by overriding five methods, and may keep its optimiser by two more. The pipe and its
files belong to ``pipe``, the resume file to ``resume``.
"""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Callable, NoReturn, Optional, TypeVar

import numpy as np
import numpy.typing as npt

from ..tensorfile import TensorFileError
from .arguments import COMMON_ARGUMENTS, INT32_MAX, choice, is_on, merge_method, whole
from .dataschema import schema_text
from .logger import own_logger
from .names import DEFAULT_TRAINING_CONTRACT, PLATFORM_OF, CheckinModel, SLMergeMethod, SLPlatforms, SwarmError
from .pipe.channel import ChannelError
from .pipe.session import LossResult, Session, SessionSettings
from .randomness import random_state, restore_random_state
from .result import Ending, ResultFiles
from .resume import Resume, State
from .resumefile import ResumeFileError, ResumePoint
from .samples import Weight

__all__ = [
    "DEFAULT_TRAINING_CONTRACT",
    "CheckinModel",
    "SLMergeMethod",
    "SLPlatforms",
    "SwarmCallbackBase",
    "SwarmError",
]

MAX_PEERS = 0
FITS_MAX = 1000
PROGRESS_SECONDS = 5.0
"""The SL hears at most this often how far the program is between two syncs."""

_T = TypeVar("_T")


class SwarmCallbackBase(ABC):
    """Base of all callbacks.

    A subclass sets up its framework, calls ``_swarmInitialize`` at the end of its constructor, and calls
    ``_swarmOnTrainBegin``, ``_swarmOnBatchEnd``, ``_swarmOnEpochEnd`` and ``_swarmOnTrainEnd`` from its hooks.

    Args:
        syncFrequency: batches between two syncs; a positive int or its text.
        minPeers: members that a round needs; a positive int or its text.
        trainingContract: name of the job.
        params: the callback's keyword arguments; unknown ones are named in one warning. ``fits``: how many calls of
            fit() (pairs of on_train_begin and on_train_end) the run is, 1 if not given; all merge when they begin.
            ``nodeWeightage``: 1 to 100, or "samples": the number that ``samples`` or ``trainData`` tells, or that the
            framework shows (transformers, Lightning, SwarmSklearnTrainer). ``strict``: True (or SWARM_STRICT=1) makes
            ``on_train_end`` raise if nothing that this program learnt went into the swarm's model.
            ``dataSchema``: what this site's data look like, compared with the others' before training: "auto" (read
            off adsValData), or a dict with any of columns, labels, image, inputs, outputs.

    Raises:
        SwarmError: an argument is out of range.
    """

    loopback: bool
    resumedEpoch: int = 0
    """After ``on_train_begin``: epochs that an earlier process of this program has done in this run. A loop that is
    to end where it was planned is ``for epoch in range(callback.resumedEpoch, epochs)``."""
    mlPlatform: Optional[SLPlatforms] = None

    _own_arguments: frozenset[str] = frozenset()
    """Names of keyword arguments that a subclass reads by itself."""

    def __init__(
        self, syncFrequency: Any, minPeers: Any, trainingContract: Optional[str], params: Mapping[str, Any]
    ) -> None:
        self.logger: Any = params.get("logger") or own_logger()
        unknown = sorted(set(params) - COMMON_ARGUMENTS - self._own_arguments)
        if unknown:
            self.logger.warning("Unknown arguments are ignored: %s", ", ".join(unknown))
        self.syncFrequency = self._checked(whole, "syncFrequency", syncFrequency, 1, INT32_MAX)
        self.currentSyncFrequency = self.stepsBeforeNextSync = self.syncFrequency
        self.minPeers = self._checked(whole, "minPeers", minPeers, 1, INT32_MAX)
        self.maxPeers = self._checked(whole, "maxPeers", params.get("maxPeers") or MAX_PEERS, 0, INT32_MAX)
        if 0 < self.maxPeers < self.minPeers:
            self._logAndRaiseError(
                f"maxPeers is {self.maxPeers}, below minPeers {self.minPeers}. Raise it, or leave it out."
            )
        if not isinstance(trainingContract, str) or not trainingContract:
            self._logAndRaiseError(f"trainingContract is {trainingContract!r}, it must be the name of a job.")
        self.trainingContract: str = trainingContract
        self._weight = self._checked(Weight, params)
        self._schema = self._checked(schema_text, params.get("dataSchema"), params.get("adsValData"))
        self.nodeWeightage = self._weight.asked
        self.checkinModelOnTrainEnd = self._checked(
            choice, "checkinModelOnTrainEnd", params.get("checkinModelOnTrainEnd", "snapshot"), CheckinModel
        )
        self.mergeMethod = self._checked(merge_method, params.get("mergeMethod", "mean"))
        self._fits_left = self._checked(whole, "fits", params.get("fits", 1), 1, FITS_MAX)
        self.totalEpochs = self._total_epochs(params.get("totalEpochs"))
        self.valData = params.get("adsValData")
        self.valBatchSize = params.get("adsValBatchSize")
        self.useAdaptiveSync = bool(params.get("useAdaptiveSync", False))
        if self.useAdaptiveSync and self.valData is None:
            self._logAndRaiseError("useAdaptiveSync needs validation data: pass adsValData too.")
        (
            self.valGen,
            self.validationSteps,
            self.valX,
            self.valY,
            self.valSampleWeight,
        ) = self._getValidationDataForAdaptiveSync(self.valData, self.valBatchSize)
        self.isSwarmTrainingOver = False
        self.userMergeDone = False
        self.epochsCompleted = self.stepsCompleted = 0
        self.lastSuccessfulMergeDictInActTrng: Optional[Mapping[str, npt.NDArray[Any]]] = None
        self._session: Optional[Session] = None
        self._finished = self._begun = False
        self._told_at = 0.0
        self.loopback = is_on(os.environ.get("SWARM_LOOPBACK", ""))
        if self.loopback and not isinstance(self.mergeMethod, SLMergeMethod):
            known = ", ".join(SLMergeMethod.__members__)
            self.logger.warning("mergeMethod %s is none of %s: only an SL knows it", self.mergeMethod.name, known)
        self.strict = bool(params.get("strict")) or is_on(os.environ.get("SWARM_STRICT", ""))
        self._came_late = False
        try:
            self._resume = Resume(self.trainingContract, logger=self.logger)
            self._results = ResultFiles(logger=self.logger, loopback=self.loopback)
        except ValueError as fault:
            self._logAndRaiseError(str(fault))
        self.logger.info(
            "Swarm callback: syncFrequency %d, minPeers %d, trainingContract %s, nodeWeightage %s,"
            " mergeMethod %s, checkinModelOnTrainEnd %s, useAdaptiveSync %s, loopback %s",
            self.syncFrequency,
            self.minPeers,
            self.trainingContract,
            self.nodeWeightage,
            self.mergeMethod.name,
            self.checkinModelOnTrainEnd.name,
            self.useAdaptiveSync,
            self.loopback,
        )

    # ---- what a framework has to say

    @abstractmethod
    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        """Check the framework's own arguments and set ``mlPlatform``."""

    @abstractmethod
    def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
        """Check validation data; returns (generator, steps, x, y, sample weights), None where not used."""

    @abstractmethod
    def _saveModelWeightsToDict(self) -> dict[str, npt.NDArray[Any]]:
        """The model's parameters by name, in the model's order."""

    @abstractmethod
    def _loadModelWeightsFromDict(self, paramsDict: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put parameters into the model. The arrays are valid during the call only: copy what is kept."""

    @abstractmethod
    def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
        """Loss and metric of the model as it is now, on the validation data; NaN is what is not known."""

    # ---- what a framework may say

    def _optimizerState(self) -> State:
        """The optimiser's arrays, named ``optimizer/...``, and what else it needs, as JSON. Nothing is kept here."""
        return {}, {}

    def _restoreOptimizerState(self, arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, Any]) -> bool:
        """Put back what ``_optimizerState`` kept; False if there was nothing. ValueError: it does not fit."""
        return False

    def _randomState(self) -> dict[str, npt.NDArray[Any]]:
        """The state of random numbers, named ``random/...``."""
        return random_state()

    def _restoreRandomState(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put back what ``_randomState`` kept. ValueError: it does not fit."""
        restore_random_state(arrays)

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
        self._session = self._talk(
            "opening the swarm session", lambda: Session(settings, logger=self.logger, differs=self._data_differs)
        )

    def _swarmOnTrainBegin(self) -> None:
        """Merge the initial parameters, so that all members start from one model (K14)."""
        self._settle_weight()
        if self.loopback:
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

    def _swarmOnBatchEnd(self) -> None:
        """Count a batch, and sync when it is time."""
        if self.loopback or self._finished:
            return
        self.stepsCompleted += 1
        if self.stepsBeforeNextSync == 0 and not self.isSwarmTrainingOver:
            self.__doSync()
            self.userMergeDone = True
        self.stepsBeforeNextSync -= 1
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._tell_progress()

    def _swarmOnEpochEnd(self) -> None:
        """Count an epoch; the count travels with the next loss report."""
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
            self.logger.info("One fit() is done, %d to come: the swarm's training goes on.", self._fits_left)
            return
        self.logger.info("Finished local training !!!")
        if not self.userMergeDone and not self.isSwarmTrainingOver:
            self.logger.warning(
                "No merge was done between first and last batch: syncFrequency %d may be too high",
                self.syncFrequency,
            )
        local = self._saveModelWeightsToDict()
        self._results.keep_own(local, self._platform())
        merged = self.lastSuccessfulMergeDictInActTrng
        try:
            if self.isSwarmTrainingOver:
                self._leave(local if merged is None else merged)
            else:
                self._end(local, merged)
        except SwarmError as fault:
            self._results.tell({**self._told(), "verdict": "failed", "reason": str(fault)})
            raise
        self._finished = True
        self._resume.finished()
        if self._session is not None:
            self._session.close()
        self._conclude()
        self.logger.info("All peers and Swarm training rounds finished. Final Swarm model was loaded.")

    def getLoss(self, mergedParamsDict: Mapping[str, npt.NDArray[Any]]) -> tuple[float, float, int, int]:
        """Load merged parameters and evaluate them: loss, metric, epochs done, epochs in total."""
        self._loadModelWeightsFromDict(mergedParamsDict)
        self.lastSuccessfulMergeDictInActTrng = mergedParamsDict
        loss, metric = self._calculateLocalLossAndMetrics()
        self.logger.info("Calculated local loss using merged parameters = %s", loss)
        return float(loss), float(math.nan if metric is None else metric), self.epochsCompleted, self.totalEpochs

    def _logAndRaiseError(self, message: str) -> NoReturn:
        """Log an error, then raise it as SwarmError."""
        self.logger.error(message)
        raise SwarmError(message)

    @staticmethod
    def safeCastType(val: Any, toType: Callable[[Any], _T], valDefault: Optional[_T] = None) -> Optional[_T]:
        """``toType(val)``, or ``valDefault`` if that cannot be."""
        try:
            return toType(val)
        except (ValueError, TypeError):
            return valDefault

    # ---- inside

    def __doSync(self) -> None:
        local = self._saveModelWeightsToDict()
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
        self._loadModelWeightsFromDict(last)
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
            self.logger.error(text)

    def _talk(self, doing: str, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (ChannelError, TensorFileError) as fault:
            self.logger.error("%s failed: %s", doing, fault)
            raise SwarmError(f"{doing} failed: {fault}") from fault

    def _checked(self, check: Callable[..., _T], *arguments: Any) -> _T:
        """What ``check`` returns; its ValueError is logged and raised as SwarmError."""
        try:
            return check(*arguments)
        except ValueError as fault:
            self._logAndRaiseError(str(fault))

    def _total_epochs(self, value: Any) -> int:
        if value is None:
            self.logger.warning("totalEpochs is not given: progress of this site cannot be shown")
            return 0
        return self._checked(whole, "totalEpochs", value, 1, INT32_MAX)


def detached(parameters: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Copies that stay valid, subclass of ndarray kept."""
    return {name: np.array(array, subok=True) for name, array in parameters.items()}
