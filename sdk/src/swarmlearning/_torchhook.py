"""A function called before each step of any optimizer, where PyTorch has that (from 2.0 on)."""

from __future__ import annotations

from typing import Any, Callable, Optional

try:
    from torch.optim.optimizer import register_optimizer_step_pre_hook
except ImportError:
    register_optimizer_step_pre_hook = None

__all__ = ["Removable", "before_every_step"]

Removable = Any
"""Has ``remove()``."""


def before_every_step(function: Callable[..., Any]) -> Optional[Removable]:
    """Call ``function(optimizer, args, kwargs)`` from now on; None if this PyTorch cannot."""
    return None if register_optimizer_step_pre_hook is None else register_optimizer_step_pre_hook(function)
