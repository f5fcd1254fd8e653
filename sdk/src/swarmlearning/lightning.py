"""Swarm callback for Lightning: pass it to ``Trainer(callbacks=[...])``.

The session is opened when ``fit`` begins, syncs are counted in optimizer steps, and fitting stops when the swarm is
over. What PyTorch models have in common is ``pyt``'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ._optional import framework

with framework("swarmlearning.lightning", "torch", "lightning", "pytorch_lightning", install="lightning"):
    import torch

    try:
        from lightning.pytorch.callbacks import Callback
    except ImportError:
        from pytorch_lightning.callbacks import Callback

from .client.basis import CallbackBasis
from .client.swarm import DEFAULT_TRAINING_CONTRACT, SwarmError
from .pyt import Context, TorchCallback

__all__ = ["SwarmCallback", "SwarmError"]

_AVERAGES = re.compile(r"[Aa]verag|SWA|Swa(?![a-z])|EMA|Ema(?![a-z])|Pruning")


class SwarmCallback(Callback, TorchCallback):
    """A Lightning callback.

    Args:
        syncFrequency: batches with an optimizer step between two syncs; batches that only gather gradients do not
            count.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        model: the module, or the part of it, that is shared; the LightningModule that is fitted if not given.
        kwargs: the arguments of ``swarmlearning.pyt.TorchCallback``.

    Raises:
        SwarmError: an argument is wrong, or, when ``fit`` begins, the SL cannot be reached or refuses.
    """

    def __init__(
        self,
        syncFrequency: Any = None,
        minPeers: Any = None,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        **kwargs: Any,
    ) -> None:
        self._fitting = False
        self._steps_seen = 0
        TorchCallback.__init__(self, syncFrequency, minPeers, trainingContract, **kwargs)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning hook: opens the session, unless there is one."""
        if trainer.world_size > 1:
            self._logAndRaiseError(
                f"this site trains in {trainer.world_size} processes, and a site of the swarm is one:"
                " use Trainer(devices=1)."
            )
        if self.mlCtx.model is None:
            self.model = pl_module
            self.mlCtx = Context(pl_module)
        self._fitting = True
        self._look_behind(trainer)
        if self._session is None and not self._finished:
            self._swarmInitialize()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning hook: all members start from one model."""
        self._steps_seen = trainer.global_step
        self._sees_training_data(trainer.train_dataloader)
        self._swarmOnTrainBegin()
        self._stop_if_over(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Lightning hook: counts the batch if an optimizer stepped, syncs when it is time."""
        if trainer.global_step == self._steps_seen:
            return
        self._steps_seen = trainer.global_step
        self._swarmOnBatchEnd()
        self._stop_if_over(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning hook: counts the epoch; a program that was restarted ends with the epoch that was planned."""
        self._swarmOnEpochEnd()
        if self.resumedEpoch and self.epochsCompleted >= (trainer.max_epochs or self.epochsCompleted):
            trainer.should_stop = True

    def on_train_end(self, trainer: Any = None, pl_module: Any = None) -> None:
        """Lightning hook: returns when the whole swarm has finished, with its final model loaded."""
        self._swarmOnTrainEnd()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning hook, after every callback's on_train_end: the model must still be the swarm's.

        Raises:
            SwarmError: in strict mode, if it is not.
        """
        final = self.lastSuccessfulMergeDictInActTrng
        if not self._finished or final is None:
            return
        changed = CallbackBasis._unlike(self, final)
        if not changed:
            return
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        text = (
            f"the model is not the swarm's final one any more: {changed[0]}{more} changed after it was loaded, by a"
            " callback whose on_train_end comes after SwarmCallback's, as those of weight averages do. Put"
            " SwarmCallback last in Trainer(callbacks=[...])."
        )
        if self.strict:
            self._logAndRaiseError(text)
        self.logger.error(text)

    def _look_behind(self, trainer: Any) -> None:
        """Warn of callbacks that put weights of their own into the model after this one has loaded the swarm's."""
        behind = trainer.callbacks[trainer.callbacks.index(self) + 1 :] if self in trainer.callbacks else []
        names = sorted({type(one).__name__ for one in behind if _averages(one)})
        if names:
            self.logger.warning(
                "%s stands after SwarmCallback and puts its own weights into the model at the end: the model would not"
                " be the swarm's. Put SwarmCallback last in Trainer(callbacks=[...]).",
                ", ".join(names),
            )

    def _stop_if_over(self, trainer: Any) -> None:
        if self.isSwarmTrainingOver and not trainer.should_stop:
            self.logger.info("Swarm training is over. Stopping local training")
            trainer.should_stop = True

    def _swarmInitialize(self) -> None:
        if self._fitting:  # a callback that is only made, or used for testing, needs no SL
            super()._swarmInitialize()

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        if params.get("model") is not None:
            super()._verifyAndSetPlatformContext(params)
            return
        super()._verifyAndSetPlatformContext({**params, "model": torch.nn.Identity()})
        self.mlCtx = Context(None)


def _averages(callback: Any) -> bool:
    """Whether a callback keeps weights of its own, as far as its class or what it is made of says so by name."""
    return any(_AVERAGES.search(kind.__name__) for kind in type(callback).__mro__)
