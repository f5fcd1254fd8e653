"""The ``swarm`` command: nouns and verbs from the table of commands, and how a fault ends the process.

Thin and quick to start: what a command needs is imported when it is called. What commands there are is
:mod:`swarm.swci.table`'s, how they are typed :mod:`.building`'s, what each does stands in :mod:`.acts`.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
