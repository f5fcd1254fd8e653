"""``swarm chain export``: where the chain is read from, and the file. What is read is :mod:`swarm.chain.exporting`'s.

A node refuses to start on a chain of an earlier version, and so cannot be asked: the chain is read through an SN of
whatever version that still runs, or, for an embedded chain, from the state folder of an SN that does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from swarm.chain.embedded import EmbeddedChain
from swarm.chain.exporting import read_swarm
from swarm.chain.rpc import Rpc, embedded_rpc
from swarm.core.errors import OperatorFault
from swarm.core.exported import Export, to_text
from swarm.core.ids import Address, from_hex

from .source import Source, open_view


def export_to(
    path: Path, where: Source | None, folder: Path | None, directory: Address | None, without: Collection[str] = ()
) -> tuple[Export, list[str]]:
    """Write the export; what it holds, and a sentence for each thing that it does not.

    Args:
        where: an SN that runs; None: ``folder`` and ``directory``, an embedded chain and its Directory, are read.
        without: names of jobs to leave out.

    Raises:
        OperatorFault: the file is there already or cannot be written, no SN, no chain, a newer one.
        ChainFault: the chain failed, or went on meanwhile.
    """
    if path.exists():
        raise OperatorFault(f"{path} is there already: name a new file, or remove it")
    notes: list[str] = []

    async def act() -> Export:
        async with _chain(where, folder, directory) as (rpc, found):
            return await read_swarm(rpc, found, notes, without)

    export = asyncio.run(act())
    write_new(path, to_text(export))
    return export, notes


def write_new(path: Path, text: str) -> None:
    """The whole file, or none.

    Raises:
        OperatorFault: it is there already, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except OSError as error:
        raise OperatorFault(f"{path} cannot be written: {error.strerror}") from None


@asynccontextmanager
async def _chain(
    where: Source | None, folder: Path | None, directory: Address | None
) -> AsyncIterator[tuple[Rpc, Address]]:
    if where is not None:
        async with open_view(where) as view:
            try:
                found = Address(from_hex(view.status["swarm"]["directory"], 20))
            except (KeyError, TypeError, ValueError) as error:
                raise OperatorFault(f"{where.url} does not tell its swarm's Directory: {error}") from None
            yield view.rpc, found
        return
    assert folder is not None
    assert directory is not None  # the caller has either both or a source
    chain = await asyncio.to_thread(EmbeddedChain.open, folder)
    rpc = embedded_rpc(chain)
    try:
        yield rpc, directory
    finally:
        await rpc.aclose()
        chain.close()
