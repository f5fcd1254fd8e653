"""Removes model files that nobody needs any more, and what given-up pulls left; what is needed the engine says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from swarm.core.ids import BlobId
from swarm.store.blobs import BlobStore


class Sweeper:
    """Of one store. A file goes when two looks in a row found it spare.

    What has just come may not have reached the engine at the first look.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._spare: set[BlobId] = set()

    async def sweep(self, needed: Callable[[], Collection[BlobId]], pulled: Callable[[], Collection[BlobId]]) -> None:
        """Look once, and remove what was spare last time as well.

        Args:
            needed: what is kept, asked in the event loop's thread after the disk was read.
            pulled: what is being fetched at the moment, asked there too.
        """
        here = await asyncio.to_thread(lambda: {*self._store.ids(), *self._store.partials()})
        spare = here.difference(needed(), pulled())
        gone, self._spare = spare & self._spare, spare
        # Pulls begin in this thread: between this look and the move nobody can have opened a part.
        for blob in gone:
            self._store.set_part_aside(blob)
        await asyncio.to_thread(self._remove, gone)

    def _remove(self, gone: set[BlobId]) -> None:
        for blob in gone:
            self._store.remove(blob)
