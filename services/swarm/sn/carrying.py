"""An import of an earlier chain, as files in the SN's private state folder; ``swarm chain import`` writes there too.

As with approvals, a folder that only the SN's user may write to is the proof of who asks. The running SN sends the
transactions, with its own key and outbox: an import outlives a restart of the SN, and who asks only waits for its word.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarm.chain.deploy import Deployed
from swarm.chain.importing import carry_over
from swarm.core.errors import ChainFault, LocalFault, OperatorFault
from swarm.core.exported import FILE_BYTES_MAX, from_text
from swarm.obs.waits import Waits
from swarm.store.files import private_folder, write_private

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
HEARD_SECONDS_MAX = 30.0
"""A running SN takes an import within a second; one that has not done so for so long is not there."""


class ImportFolder:
    """Where an import is asked for and answered. Raises OperatorFault if the folder cannot be used."""

    def __init__(self, state: Path) -> None:
        folder = private_folder(state / "import")
        self.wanted, self._said = folder / "export.json", folder / "said.json"

    def ask(self, data: bytes) -> None:
        """Raises OperatorFault: another import is under way."""
        if self.wanted.exists():
            if self.wanted.read_bytes() == data:
                return  # it goes on
            raise OperatorFault(
                f"another import is under way ({self.wanted}): wait for it, or remove that file to give it up"
            )
        self._said.unlink(missing_ok=True)
        write_private(self.wanted, data)

    def say(self, **told: Any) -> None:
        write_private(self._said, json.dumps(told).encode())

    def said(self) -> dict[str, Any]:
        """What the SN said last: ``step`` while it goes on, ``notes`` or ``fault`` once it is over."""
        try:
            return dict(json.loads(self._said.read_text()))
        except FileNotFoundError:
            return {}

    def over(self, **told: Any) -> None:
        """Say how it ended; asked for no longer."""
        self.say(**told)
        self.wanted.unlink(missing_ok=True)


class Carrying:
    """The SN's side."""

    def __init__(self, state: Path, deployed: Deployed, waits: Waits) -> None:
        self._folder, self._deployed, self._waits = ImportFolder(state), deployed, waits

    async def run(self) -> None:
        """Until cancelled: carry over what is asked for; a fault of the chain is said and tried again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._folder.wanted.exists():
                continue
            try:
                await self._carry()
            except (ChainFault, LocalFault) as error:
                log.warning("the import of an earlier chain is tried again: %s", error)
                await asyncio.to_thread(self._folder.say, step=f"trying again: {error}")
                await asyncio.sleep(RETRY_SECONDS)

    async def _carry(self) -> None:
        with self._waits.row(
            what="an earlier chain's members and jobs", whom="the chain", then="swarm chain import ends"
        ) as row:

            def say(step: str) -> None:
                row.what = f"an earlier chain's members and jobs: {step}"
                self._folder.say(step=step)

            say("reading the export")
            try:
                data = await asyncio.to_thread(self._folder.wanted.read_bytes)
                export = await asyncio.to_thread(from_text, data, "the export")
                notes = await carry_over(self._deployed, export, say)
            except FileNotFoundError:
                return  # given up
            except OperatorFault as error:
                log.warning("an import was refused: %s", error)
                await asyncio.to_thread(self._folder.over, fault=str(error))
                return
            log.info(
                "carried over from the chain with genesis 0x%s: %d members, %d jobs",
                export.genesis.hex(),
                len(export.members),
                len(export.jobs),
            )
            await asyncio.to_thread(self._folder.over, notes=notes)


def import_file(
    path: Path,
    state: Path,
    tell: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Have the running SN of ``state`` carry over the export in ``path``; returns what it noted.

    Args:
        tell: gets each step.

    Raises:
        OperatorFault: the file is no export, the SN is not running, or it refuses.
    """
    data = read_export(path)
    export = from_text(data, str(path))
    folder = ImportFolder(state)
    folder.ask(data)
    heard, last = clock(), ""
    while True:
        said = folder.said()
        if "fault" in said:
            raise OperatorFault(f"the SN of {state} refuses: {said['fault']}")
        if "notes" in said:
            tell(
                f"carried over and read back: {len(export.members)} members, {len(export.jobs)} jobs, "
                f"{sum(len(job.runs) for job in export.jobs)} earlier runs"
            )
            return list(said["notes"])
        step = str(said.get("step", ""))
        if step and step != last:
            heard, last = clock(), step
            tell(step)
        if not step and clock() - heard > HEARD_SECONDS_MAX:
            folder.wanted.unlink(missing_ok=True)
            raise OperatorFault(
                f"no SN of {state} has taken the import for {HEARD_SECONDS_MAX:.0f} s: start it, or give --state-dir "
                "the state folder of the running sentinel of the new chain"
            )
        sleep(LOOK_SECONDS)


def read_export(path: Path) -> bytes:
    """Raises OperatorFault: it cannot be read, or is larger than any export."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise OperatorFault(f"{path} has {path.stat().st_size} bytes; an export has at most {FILE_BYTES_MAX}")
        return path.read_bytes()
    except OSError as error:
        raise OperatorFault(f"{path} cannot be read: {error.strerror}") from None
