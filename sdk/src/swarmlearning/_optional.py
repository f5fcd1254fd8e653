"""One helpful sentence when a framework is not installed. Which framework is needed is up to the module that asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["framework"]


@contextmanager
def framework(module: str, *packages: str, install: str) -> Iterator[None]:
    """Around a module's imports of its framework.

    Args:
        module: the module of ours that is imported.
        packages: import names of the framework.
        install: what pip installs.

    Raises:
        ImportError: one of ``packages`` is missing. Other import errors, of a broken framework, pass unchanged.
    """
    try:
        yield
    except ImportError as fault:
        if (fault.name or "").partition(".")[0] not in packages:
            raise
        raise ImportError(
            f"{module} needs {fault.name}, which is not installed here: pip install {install}", name=fault.name
        ) from None
