"""Tests that run side by side (`pytest -n`): each worker has a network of its own, so that no port is anybody else's.

Owns what a worker changes for itself; which test runs where is pytest-xdist's. A test with the mark ``host_network``
or ``docker`` runs in the machine's network: it reaches a package registry, or the published ports of an engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import pytest
from support import netlab

MARKS = ("docker", "host_network")


class Workplace:
    """The pytest plugin of one worker."""

    def __init__(self) -> None:
        self._host = netlab.current()
        try:
            netlab.unshare()
        except netlab.NotPermitted as fault:
            raise pytest.UsageError(
                f"tests abreast need root, for a network each ({fault}): make test ABREAST=0 (pytest: leave out -n)"
            ) from fault
        self._own = netlab.current()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        outside = any(item.get_closest_marker(name) for name in MARKS)
        with self._in_host() if outside else contextlib.nullcontext():
            return (yield)

    @contextlib.contextmanager
    def _in_host(self) -> Iterator[None]:
        netlab.enter(self._host)
        try:
            yield
        finally:
            netlab.enter(self._own)
