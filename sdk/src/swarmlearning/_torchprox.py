"""FedProx for PyTorch: every step is drawn towards the model that was merged last.

The term mu / 2 * |w - merged|^2 of Li et al. (Federated optimization in heterogeneous networks, 2020) is added to the
gradients, as mu * (w - merged), right before an optimizer steps; the program's own loss stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, List, Optional, Tuple

import torch

from ._torchhook import before_every_step
from .client.names import SwarmError

__all__ = ["Proximal"]

Pulled = List[Tuple[torch.nn.Parameter, torch.Tensor]]


class Proximal:
    """Pulls a model's parameters, in whichever optimizer they are. Costs one copy of the trained parameters.

    Args:
        mu: strength of the pull, above 0.
        parameters: the model's parameters.

    Raises:
        SwarmError: this PyTorch is too old to be told of optimizer steps.
    """

    def __init__(self, mu: float, parameters: Callable[[], Iterable[torch.nn.Parameter]]) -> None:
        self._mu, self._parameters = mu, parameters
        self._anchors: dict[int, tuple[torch.nn.Parameter, torch.Tensor]] = {}
        self._hook = before_every_step(self._before_step)
        if self._hook is None:
            raise SwarmError(
                f"proximalMu needs PyTorch 2.0 or newer, here is {torch.__version__}: leave it out, or add the term to"
                " your loss."
            )

    def anchor(self) -> None:
        """The model holds a merged one now: pull towards it from here on."""
        self._anchors = {id(p): (p, p.detach().clone()) for p in self._parameters() if p.requires_grad}

    def forget(self) -> None:
        """Pull no more."""
        self._anchors = {}
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _before_step(
        self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Optional[tuple[tuple[Any, ...], dict[str, Any]]]:
        held = [
            self._anchors[id(p)] for group in optimizer.param_groups for p in group["params"] if id(p) in self._anchors
        ]
        if not held:
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._pull(optimizer, held)
            return None

        def with_pull() -> Any:  # the closure makes the gradients, within the step
            loss = closure()
            self._pull(optimizer, held)
            if isinstance(optimizer, torch.optim.LBFGS):  # its line search compares losses
                loss = loss + self._term(held)
            return loss

        if len(args) > 1:
            return (args[0], with_pull, *args[2:]), kwargs
        return args, {**kwargs, "closure": with_pull}

    def _pull(self, optimizer: torch.optim.Optimizer, held: Pulled) -> None:
        scale = getattr(optimizer, "grad_scale", None)  # a GradScaler leaves unscaling to fused optimizers
        with torch.no_grad():
            for parameter, anchor in held:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    raise SwarmError("proximalMu needs dense gradients: make the embedding with sparse=False.")
                away = parameter.detach() - anchor.to(parameter.device)
                parameter.grad.add_(away if scale is None else away * scale.to(away.device), alpha=self._mu)

    def _term(self, held: Pulled) -> Any:
        with torch.no_grad():
            return self._mu / 2 * sum((p.detach() - anchor.to(p.device)).square().sum() for p, anchor in held)
