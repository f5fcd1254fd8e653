"""The callbacks' own logger: on standard output, in the original's form (row K08)."""

from __future__ import annotations

import logging
import sys

__all__ = ["own_logger"]


def own_logger() -> logging.Logger:
    """The logger named SwarmCallback, on standard output, set up once."""
    logger = logging.getLogger("SwarmCallback")
    if not any(isinstance(handler, _OwnHandler) for handler in logger.handlers):
        logger.setLevel(logging.INFO)
        handler = _OwnHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s : %(name)s : %(levelname)s : %(message)s"))
        logger.addHandler(handler)
    return logger


class _OwnHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stdout is at the time."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)
