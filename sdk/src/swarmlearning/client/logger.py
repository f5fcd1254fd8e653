"""The callbacks' own logger: on standard output, in the original's form (row K08)."""

from __future__ import annotations

import logging
import sys
from typing import Any

__all__ = ["own_logger", "usable"]

_INSTEAD = {
    "debug": ("debug",),
    "info": ("info", "log", "write"),
    "warning": ("warning", "warn", "info", "log", "error", "write"),
    "error": ("error", "critical", "warning", "warn", "info", "log", "write"),
}
"""Under which names a program's own logger may take a line of this level, the best first."""


def own_logger() -> logging.Logger:
    """The logger named SwarmCallback, on standard output, set up once."""
    logger = logging.getLogger("SwarmCallback")
    if not any(isinstance(handler, _OwnHandler) for handler in logger.handlers):
        logger.setLevel(logging.INFO)
        handler = _OwnHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s : %(name)s : %(levelname)s : %(message)s"))
        logger.addHandler(handler)
    return logger


def usable(given: Any) -> Any:
    """What a program passed as ``logger``, in a form that takes every line; the callbacks' own where it is None.

    One of logging stays as it is. Anything else (loguru, structlog, a class of the user's that has info() and error()
    alone, a function) gets each line whole, as one text, by the nearest method that it has.
    """
    if given is None or isinstance(given, (logging.Logger, logging.LoggerAdapter)):
        return own_logger() if given is None else given
    if callable(given) or any(callable(getattr(given, name, None)) for name in _INSTEAD["error"]):
        return _Told(given)
    own = own_logger()
    own.warning("logger is a %s, which has no method for a line of log: this one is used", type(given).__name__)
    return own


class _Told:
    """A logger that is none of logging: texts are put together here."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        if name not in _INSTEAD:
            return getattr(self._given, name)
        found = (getattr(self._given, one, None) for one in _INSTEAD[name])
        takes = next((one for one in found if callable(one)), None)
        if takes is None and name != "debug" and callable(self._given):
            takes = self._given

        def say(text: str, *arguments: Any) -> None:
            if takes is not None:
                takes(text % arguments if arguments else text)

        return say


class _OwnHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stdout is at the time."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)
