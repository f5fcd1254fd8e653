"""FedProx for Keras 3: every step is drawn towards the model that was merged last.

The term mu / 2 * |w - merged|^2 of Li et al. (Federated optimization in heterogeneous networks, 2020) is added to the
gradients, as mu * (w - merged), where the optimizer takes them; the program's own loss stays as it is.
"""

from __future__ import annotations

from typing import Any

from .client.names import SwarmError

__all__ = ["Proximal"]

BACKENDS = ("tensorflow", "torch")
"""Those in which a variable is read anew in every step; JAX would keep the first merged model for ever."""


class Proximal:
    """Pulls a model's trainable variables. Costs one copy of them.

    Args:
        mu: strength of the pull, above 0.
        model: a built and compiled Keras 3 model.

    Raises:
        SwarmError: this Keras, its backend, or the model has no place for it.
    """

    def __init__(self, mu: float, model: Any) -> None:
        import keras

        optimizer: Any = getattr(model, "optimizer", None)  # a graph of TensorFlow 1 has none
        while hasattr(optimizer, "inner_optimizer"):  # one that scales losses unscales the gradients before
            optimizer = optimizer.inner_optimizer
        if not isinstance(model, keras.Model) or not hasattr(optimizer, "apply"):
            raise SwarmError("proximalMu needs Keras 3, and a model compiled with an optimizer of it.")
        if keras.backend.backend() not in BACKENDS:
            raise SwarmError(
                f"proximalMu works with Keras on {' and '.join(BACKENDS)}, this is on {keras.backend.backend()}."
            )
        self._keras, self._model, self._optimizer = keras, model, optimizer
        self._mu = keras.Variable(mu, trainable=False, dtype="float32", name="proximal_mu")
        self._anchors: dict[int, tuple[Any, Any]] = {}
        self._plain = optimizer.apply
        # Past the optimizer's own __setattr__: what hangs here is neither tracked nor saved.
        object.__setattr__(optimizer, "apply", self._apply)

    def anchor(self) -> None:
        """The model holds a merged one now: pull towards it from here on."""
        fresh = not self._anchors
        for variable in self._model.trainable_variables:
            if id(variable) not in self._anchors:
                values = self._keras.ops.convert_to_numpy(variable)  # a Variable made of another shares its memory
                copy = self._keras.Variable(values, trainable=False, dtype=variable.dtype)
                self._anchors[id(variable)] = (variable, copy)
            self._anchors[id(variable)][1].assign(variable.value)
        if fresh:  # a step that was compiled before knows nothing of the pull
            self._model.make_train_function(force=True)

    def forget(self) -> None:
        """Pull no more: also in steps that stay compiled."""
        self._mu.assign(0.0)
        self._optimizer.__dict__.pop("apply", None)

    def _apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        variables = self._optimizer._trainable_variables if trainable_variables is None else list(trainable_variables)
        scale = self._optimizer.loss_scale_factor
        pulled = [self._pulled(g, v, scale or 1.0) for g, v in zip(grads, variables)]  # noqa: B905
        return self._plain(pulled, trainable_variables)

    def _pulled(self, gradient: Any, variable: Any, scale: float) -> Any:
        known = self._anchors.get(id(variable))
        if gradient is None or known is None:
            return gradient
        if type(gradient).__name__ == "IndexedSlices":  # of an embedding; the pull is on all its rows
            import tensorflow as tf

            gradient = tf.convert_to_tensor(gradient)
        ops = self._keras.ops
        away = ops.subtract(variable.value, known[1].value)
        return ops.add(gradient, ops.multiply(away, ops.cast(self._mu.value * scale, away.dtype)))
