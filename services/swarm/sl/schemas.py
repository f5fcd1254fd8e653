"""Compares what this site's data look like with the other sites', by asking their SLs; tells both sides.

Owns the asking, its bounds, and what was found; the description and what counts as a difference are core/dataschema's.
A site that told no description is not compared, and is told none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from swarm.core.dataschema import DataSchema, differences
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, to_hex
from swarm.net.faults import Unreachable
from swarm.obs import log as obs_log

log = obs_log.get("swarm.SL")

COMPARE_SECONDS = 10.0
"""A program waits at most so long, once a session, for the descriptions of sites that do not answer."""
ASK_AGAIN_SECONDS, ASK_MAX = 0.5, 6
"""A site may not have seen our join yet; it is asked so often."""
ASKED_AT_ONCE_MAX = 16
HEARD_MAX = 250
"""Members joined at once."""
TOLD_MAX = 10
"""Sites whose differences are spelt out to the program."""
SENTENCE_CHARS_MAX = 1500
PATH = "/v1/schema"


class Schemas:
    """One job's descriptions.

    Args:
        peers: the members that take part now.
        ask: posts a body to a member's SL; raises PeerFault or Unreachable.
    """

    def __init__(
        self,
        peers: Callable[[], Sequence[Address]],
        ask: Callable[[Address, str, Any], Awaitable[Any]],
    ) -> None:
        self._peers, self._ask = peers, ask
        self._own: DataSchema | None = None
        self._found: dict[Address, str] = {}
        self._heard: dict[Address, str] = {}

    def hold(self, own: DataSchema | None) -> None:
        """A program opened its session and said what its data look like."""
        self._own = own
        self._found, self._heard = {}, {}

    async def compare(self) -> list[str]:
        """Ask all members; a sentence for each whose data differ. Takes at most COMPARE_SECONDS."""
        own = self._own
        if own is None:
            return []
        places = asyncio.Semaphore(ASKED_AT_ONCE_MAX)
        tasks = [asyncio.ensure_future(self._compare_with(node, own, places)) for node in self._peers()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=COMPARE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if late:
                log.warning("data schemas could not be compared with all sites in time", sites=len(late))
        for node in self._found:
            self._heard.pop(node, None)
        return list(self._found.values())

    async def _compare_with(self, node: Address, own: DataSchema, places: asyncio.Semaphore) -> None:
        async with places:
            for _ in range(ASK_MAX):
                try:
                    answer = await self._ask(node, PATH, {"schema": own.to_json()})
                    other = _schema_in(answer)
                except (Unreachable, PeerFault) as fault:
                    log.debug("no data schema of a member", node=to_hex(node), why=str(fault))
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
                    continue
                except ValueError as fault:
                    log.warning("a member's data schema is refused", node=to_hex(node), why=str(fault))
                    return
                if other is not None:
                    self._note(self._found, node, own, other)
                return

    def answer(self, node: Address, body: Any) -> dict[str, Any]:
        """A member asks, and says what its own data look like.

        Raises:
            ValueError: its body is not such a description.
        """
        other, own = _schema_in(body), self._own
        if own is None:
            return {"schema": None}
        if other is not None and node not in self._found and node not in self._heard and len(self._heard) < HEARD_MAX:
            self._note(self._heard, node, own, other)
        return {"schema": own.to_json()}

    def unsaid(self) -> list[str]:
        """Differences of sites that came later, which the program was not told yet."""
        told = list(self._heard.values())
        self._found.update(self._heard)
        self._heard = {}
        return told

    def _note(self, where: dict[Address, str], node: Address, own: DataSchema, other: DataSchema) -> None:
        found = differences(own, other)
        if found:
            text = f"the data of {to_hex(node)} are not like this site's: {'; '.join(found)}"[:SENTENCE_CHARS_MAX]
            where[node] = text
            log.warning(text)


def told(sentences: list[str]) -> str:
    """Sentences as one text for the program."""
    more = len(sentences) - TOLD_MAX
    return "\n".join(sentences[:TOLD_MAX] + ([f"and {more} more sites"] if more > 0 else []))


def _schema_in(body: Any) -> DataSchema | None:
    if not isinstance(body, dict) or set(body) != {"schema"}:
        raise ValueError('data schema: expected {"schema": ...}')
    return None if body["schema"] is None else DataSchema.from_json(body["schema"])
