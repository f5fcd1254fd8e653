"""Counts batches also where a program overrides ``_swarmOnBatchEnd``, as callbacks of one's own do."""

from __future__ import annotations

import functools
from typing import Any, Callable

__all__ = ["counted"]


def counted(hook: Callable[..., Any]) -> Callable[..., Any]:
    """``hook``, a method of a callback, between its ``_batch_begins()`` and ``_batch_ended()``: once a batch.

    An override that calls the method it overrides is one batch.
    """

    @functools.wraps(hook)
    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._in_batch:
            return hook(self, *args, **kwargs)
        self._in_batch = True
        try:
            self._batch_begins()
            result = hook(self, *args, **kwargs)
            self._batch_ended()
            return result
        finally:
            self._in_batch = False

    return counting
