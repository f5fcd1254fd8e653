"""A graph and session of TensorFlow 1 (``tf.compat.v1``), seen as the Keras callback sees a model (row K10).

What travels: the trainable variables, and the statistics of normalisation layers; not the optimizer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from .client.names import SwarmError

__all__ = ["GraphModel"]

STATISTICS = ("/moving_mean:0", "/moving_variance:0")
"""How layers name what they count beside training; no collection of a graph holds these for all kinds of layers."""


class GraphModel:
    """The shared variables of a session's graph.

    Args:
        tf: the module, tensorflow or tensorflow.compat.v1.
        session: the open session that trains; its variables are initialised before the first merge.

    Raises:
        SwarmError: tf or the session is missing, or there is nothing to share.
    """

    name, layers, stop_training = "", (), False
    optimizer: Optional[Any] = None

    def __init__(self, tf: Any, session: Any) -> None:
        if not hasattr(session, "run") or not hasattr(session, "graph") or tf is None:
            raise SwarmError(
                "ml_platform TF needs tf=tensorflow.compat.v1 and sess=the session that trains; for Keras leave it out."
            )
        v1 = getattr(getattr(tf, "compat", tf), "v1", tf)
        with session.graph.as_default():
            trained = {one.name for one in v1.trainable_variables()}
            found = [one for one in v1.global_variables() if one.name in trained or one.name.endswith(STATISTICS)]
        if not found:
            raise SwarmError("the session's graph has no trainable variables: make the callback after the model.")
        self._session = session
        self.weights: list[Any] = found

    def get_weights(self) -> list[npt.NDArray[Any]]:
        """The variables' values, in the order in which they were made."""
        return [np.asarray(one) for one in self._session.run(self.weights)]

    def set_weights(self, values: Sequence[npt.NDArray[Any]]) -> None:
        """Put values in; nothing is added to the graph, which may be finalised. ValueError: one does not fit."""
        starts = [one.initializer for one in self.weights]
        # An initialiser assigns its second input; fed, that is any value.
        self._session.run(starts, {one.inputs[1]: value for one, value in zip(starts, values)})  # noqa: B905
