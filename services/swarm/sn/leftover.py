"""What the state folder of an SN that does not run holds of its chain, for ``swarm chain export --state-dir``."""

from __future__ import annotations

import json
from pathlib import Path

from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, address
from swarm.store.journal import Journal

from .contracts import DIRECTORY_KEY
from .gethhost import CHAIN_KEY


def embedded_chain(state: Path) -> tuple[Path, Address]:
    """Folder of the embedded chain, and its Directory.

    Raises:
        OperatorFault: there is none, it is a geth's, or its SN still runs.
    """
    if not (state / "journal.db").is_file():
        raise OperatorFault(f"{state} is no state folder of an SN: name one, or ask an SN that runs by --ops or --sn")
    try:
        with Journal(state / "journal.db") as journal:
            kept, directory = journal.get(CHAIN_KEY), journal.get(DIRECTORY_KEY)
    except OperatorFault as error:
        raise OperatorFault(f"{error}; an SN that runs is asked by --ops or --sn instead of --state-dir") from None
    kind = "embedded" if kept is None else json.loads(kept).get("kind")
    if kind != "embedded":
        raise OperatorFault(
            f"{state} holds a chain of kind {kind}, which only its program reads: start the SN of the version that "
            "began it, and export through it (--ops or --sn)"
        )
    if directory is None or not (state / "chain").is_dir():
        raise OperatorFault(f"{state} holds no contracts: its SN never got ready, so there is nothing to export")
    return state / "chain", address(directory.decode())
