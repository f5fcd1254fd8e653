"""The chain that version 1 of the contracts made (tests/vectors/chain-version-1.*), in a folder of its own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from swarm.core.ids import Address, address, to_hex
from swarm.sn.contracts import DIRECTORY_KEY
from swarm.sn.gethhost import CHAIN_KEY
from swarm.store.journal import Journal

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
HOLDS: dict[str, Any] = json.loads((VECTORS / "chain-version-1.json").read_text("utf-8"))
"""What it holds, as those saw it who made it."""
DIRECTORY: Address = address(HOLDS["directory"])


def old_state_folder(folder: Path) -> Path:
    """The state folder of the SN that ran it, as far as an export needs it."""
    chain = folder / "chain"
    chain.mkdir(parents=True, mode=0o700)
    (chain / "chain.sqlite3").write_bytes(gzip.decompress((VECTORS / "chain-version-1.sqlite3.gz").read_bytes()))
    with Journal(folder / "journal.db") as journal:
        kept = {"kind": "embedded", "chain_id": HOLDS["chain_id"], "period": 0}
        journal.batch({CHAIN_KEY: json.dumps(kept).encode(), DIRECTORY_KEY: to_hex(DIRECTORY).encode()})
    return folder
