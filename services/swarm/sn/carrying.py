"""An import of an earlier chain, as files in the SN's private state folder; ``swarm chain import`` writes there too.

As with approvals, a folder that only the SN's user may write to is the proof of who asks. The running SN sends the
transactions, with its own key and outbox: an import outlives a restart of the SN, and who asks only waits for its word.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarm.chain.deploy import Deployed
from swarm.chain.importing import carry_over
from swarm.core.errors import ChainFault, LocalFault, OperatorFault
from swarm.core.exported import FILE_BYTES_MAX, from_text
from swarm.core.ids import sha256
from swarm.obs.waits import Waits
from swarm.store.files import private_folder, room_for, write_private

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
STAMP_SECONDS = 5.0
"""So often a running SN writes its word anew while an import goes on, also if it has no other."""
HEARD_SECONDS_MAX = 30.0
"""A running SN takes an import within a second and stamps it; one that has not done so for so long is not there."""
ASKS_MAX = 3
"""An import may end, or begin, between two looks; not that often in a row."""


class ImportFolder:
    """Where an import is asked for and answered. Raises OperatorFault if the folder cannot be used.

    Every word says which file it is about, by digest: one may be removed and another asked for while the SN is busy.
    """

    def __init__(self, state: Path) -> None:
        folder = private_folder(state / "import")
        self.wanted, self._said = folder / "export.json", folder / "said.json"
        self._saying = threading.Lock()
        self._last: dict[str, Any] = {}
        self._seen: tuple[tuple[int, int, int], str] | None = None

    def ask(self, data: bytes) -> None:
        """Raises OperatorFault: another import is under way, or the folder cannot be written."""
        try:
            self._said.unlink(missing_ok=True)  # of an import that is over, or of an SN that died
            for _ in range(ASKS_MAX):
                try:
                    write_private(self.wanted, data, replace=False)
                    return
                except FileExistsError:
                    there = self.digest()
                if there == sha256(data).hex():
                    return  # it goes on
                if there is not None:
                    raise OperatorFault(
                        f"another import is under way ({self.wanted}): wait for it, or remove that file to give it up"
                    )
        except OSError as error:
            raise OperatorFault(in_words(error, self.wanted)) from error
        raise OperatorFault(f"imports come and go in {self.wanted.parent}: see who else imports, and ask again")

    def digest(self) -> str | None:
        """SHA-256 of the file that is asked for, in hex; None if there is none. Raises OSError."""
        try:
            found = self.wanted.stat()
            mark = found.st_ino, found.st_mtime_ns, found.st_size
            if self._seen is None or self._seen[0] != mark:
                self._seen = mark, sha256(self.wanted.read_bytes()).hex()
        except FileNotFoundError:
            return None
        return self._seen[1]

    def say(self, of: str, **told: Any) -> None:
        """``step`` while the import of the file with digest ``of`` goes on, ``notes`` or ``fault`` once it is over."""
        with self._saying:
            self._last = {"of": of, **told}
            write_private(self._said, json.dumps(self._last).encode())

    def stamp(self) -> None:
        """Write the last word anew while an import goes on: who asked sees that this SN lives."""
        with self._saying:
            if "step" in self._last:
                write_private(self._said, json.dumps(self._last).encode())

    @property
    def going_on(self) -> str | None:
        """Digest of what the last step was about, until its end is said."""
        return str(self._last["of"]) if "step" in self._last else None

    def said(self) -> tuple[dict[str, Any], int]:
        """The SN's last word and its stamp; ``{}`` and 0 where there is none."""
        try:
            with self._said.open() as file:
                return dict(json.load(file)), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return {}, 0

    def over(self, of: str, **told: Any) -> None:
        """Say how it ended; asked for no longer, unless another is.

        Said once more at the end: who asked for the same file in between removed the first word.
        """
        self.say(of, **told)
        if self.digest() == of:
            self.wanted.unlink(missing_ok=True)
            self.say(of, **told)


def in_words(error: OSError, path: Path) -> str:
    return f"{error.filename or path} cannot be used: {error.strerror or error}; {room_for(error)}"


class Carrying:
    """The SN's side."""

    def __init__(self, state: Path, deployed: Deployed, waits: Waits) -> None:
        self._folder, self._deployed, self._waits = ImportFolder(state), deployed, waits

    async def run(self) -> None:
        """Until cancelled: carry over what is asked for; a fault of the chain or the disk is said and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stamp(), name="stamps of an import")
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    await self._look()
                except (ChainFault, LocalFault) as error:
                    await self._later(str(error))
                except OSError as error:
                    await self._later(in_words(error, self._folder.wanted))

    async def _stamp(self) -> None:
        while True:
            await asyncio.sleep(STAMP_SECONDS)
            try:
                await asyncio.to_thread(self._folder.stamp)
            except OSError as error:
                log.warning("an import of an earlier chain goes on unseen: %s", in_words(error, self._folder.wanted))

    async def _later(self, why: str) -> None:
        log.warning("the import of an earlier chain is tried again in %.0f s: %s", RETRY_SECONDS, why)
        if self._folder.going_on is not None:
            try:
                await asyncio.to_thread(self._folder.say, self._folder.going_on, step=f"trying again: {why}")
            except OSError as error:
                log.warning("nor can that be told to who asked for it: %s", in_words(error, self._folder.wanted))
        with self._waits.row(
            what="the next try of an import", deadline_seconds=RETRY_SECONDS, then="it goes on from where it was"
        ):
            await asyncio.sleep(RETRY_SECONDS)

    async def _look(self) -> None:
        """Carry over what is asked for, if anything is."""
        digest = await asyncio.to_thread(self._folder.digest)
        last = self._folder.going_on
        if last not in (None, digest):  # between two tries
            await asyncio.to_thread(self._folder.over, last, fault=self._given_up())
        if digest is None:
            return
        with self._waits.row(
            what="an earlier chain's members and jobs", whom="the chain", then="swarm chain import ends"
        ) as row:

            async def say(step: str) -> None:
                """Raises OperatorFault: nobody wants it any more."""
                row.what = f"an earlier chain's members and jobs: {step}"
                if await asyncio.to_thread(self._folder.digest) != digest:
                    raise OperatorFault(self._given_up())
                await asyncio.to_thread(self._folder.say, digest, step=step)

            try:
                await say("reading the export")
                data = await asyncio.to_thread(self._folder.wanted.read_bytes)
                if sha256(data).hex() != digest:
                    raise OperatorFault(self._given_up())
                export = await asyncio.to_thread(from_text, data, "the export")
                notes = await carry_over(self._deployed, export, say)
            except (OperatorFault, FileNotFoundError) as error:
                why = self._given_up() if isinstance(error, FileNotFoundError) else str(error)
                log.warning("an import was not carried out: %s", why)
                await asyncio.to_thread(self._folder.over, digest, fault=why)
                return
            log.info(
                "carried over from the chain with genesis 0x%s: %d members, %d jobs",
                export.genesis.hex(),
                len(export.members),
                len(export.jobs),
            )
            await asyncio.to_thread(self._folder.over, digest, notes=notes)

    def _given_up(self) -> str:
        return (
            f"it was given up: {self._folder.wanted} was removed or replaced meanwhile (what was carried until then "
            "stays, and another import of the same file goes on from there)"
        )


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
        OperatorFault: the file is no export, the SN does not run or stops meanwhile, it refuses, or the import was
            given up.
    """
    data = read_export(path)
    export = from_text(data, str(path))
    refuse_other_user(state)
    folder, own = ImportFolder(state), sha256(data).hex()
    folder.ask(data)
    heard, seen, last = clock(), 0, ""
    while True:
        said, stamp = folder.said()
        mine = said.get("of") == own
        if mine and "fault" in said:
            raise OperatorFault(f"the SN of {state} refuses: {said['fault']}")
        if mine and "notes" in said:
            tell(
                f"carried over and read back: {len(export.members)} members, {len(export.jobs)} jobs, "
                f"{sum(len(job.runs) for job in export.jobs)} earlier runs"
            )
            return list(said["notes"])
        asked = folder.digest() == own
        if stamp not in (0, seen) and (mine or asked):
            heard, seen = clock(), stamp
        step = str(said.get("step", "")) if mine else ""
        if step and step != last:
            last = step
            tell(step)
        if clock() - heard > HEARD_SECONDS_MAX:
            raise OperatorFault(_unheard(folder, state, asked=asked, last=last))
        sleep(LOOK_SECONDS)


def _unheard(folder: ImportFolder, state: Path, *, asked: bool, last: str) -> str:
    """Why the wait ends; what no SN has taken is not left for one that starts some day."""
    if not asked:
        return (
            f"{folder.wanted} was removed or another import took its place, and the SN of {state} has not said for "
            f"{HEARD_SECONDS_MAX:.0f} s how this one ended: import again to see (what was carried stays)"
        )
    if last:
        return (
            f"the SN of {state} has said nothing for {HEARD_SECONDS_MAX:.0f} s (its last word: {last}): start it, and "
            f"it goes on; the same command waits for it, and removing {folder.wanted} gives it up"
        )
    folder.wanted.unlink(missing_ok=True)
    return (
        f"no SN of {state} has taken the import for {HEARD_SECONDS_MAX:.0f} s: start it, or give --state-dir "
        "the state folder of the running sentinel of the new chain"
    )


def refuse_other_user(state: Path) -> None:
    """What another user writes there, root too, the SN could not read.

    Raises:
        OperatorFault: the folder is not this user's.
    """
    folder = state / "import"
    try:
        owner = folder.stat().st_uid
    except OSError:  # not there yet, or behind a folder that is another user's
        folder, owner = state, state.stat().st_uid
    if owner != os.geteuid():
        raise OperatorFault(
            f"{folder} belongs to user id {owner}, and this is user id {os.geteuid()}: import as the user that runs "
            f"the SN, as by sudo -u '#{owner}'"
        )


def read_export(path: Path) -> bytes:
    """Raises OperatorFault: it cannot be read, or is larger than any export."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise OperatorFault(f"{path} has {path.stat().st_size} bytes; an export has at most {FILE_BYTES_MAX}")
        return path.read_bytes()
    except OSError as error:
        raise OperatorFault(f"{path} cannot be read: {error.strerror}") from None
