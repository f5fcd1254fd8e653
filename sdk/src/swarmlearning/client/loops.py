"""The four calls of a training loop that the user writes, for every framework without callbacks of its own."""

from __future__ import annotations

from typing import Any

from .swarm import SwarmCallbackBase

__all__ = ["LoopCallback"]


class LoopCallback(SwarmCallbackBase):
    """Call ``on_train_begin()``, ``on_batch_end()``, ``on_epoch_end()`` and ``on_train_end()`` in your loop."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Call before the first batch: all members start from one model; then ``resumedEpoch`` is known."""
        self._swarmOnTrainBegin()

    def on_batch_end(self, batch: Any = None, logs: Any = None) -> None:
        """Call after each batch, with an optimizer after its step."""
        self._swarmOnBatchEnd()

    def on_epoch_end(self, epoch: Any = None, logs: Any = None) -> None:
        """Call after each epoch."""
        self._swarmOnEpochEnd()

    def on_train_end(self, logs: Any = None) -> None:
        """Call once at the end: returns when the whole swarm has finished, with its final model loaded."""
        self._swarmOnTrainEnd()
