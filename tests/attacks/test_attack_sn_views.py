"""A member that looks at its SN's lists without end: each look at the members costs the chain many calls."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from swarm.core.ids import Address, Digest
from swarm.net.answers import PEER_EXTENSION
from swarm.net.identity import PeerIdentity
from swarm.sn.app import VIEWS_BURST, VIEWS_PER_SECOND, Face, sn_app

LOOKS = 4 * int(VIEWS_BURST)


class Looked:
    """The application of an SN whose answers are counted, as one of two members sees it."""

    def __init__(self) -> None:
        self.answered = 0
        self.peer = self._member(1)
        members: Any = SimpleNamespace(active=self._active)
        unused: Any = SimpleNamespace()
        self._app = sn_app(
            Face(
                swarm=dict,
                members=members,
                admission=unused,
                relay=unused,
                heads=unused,
                down=lambda: None,
                starting=lambda: None,
                nodes=self._nodes,
                status=self._count,
                alive=self._alive,
                living=lambda: [self._count()],
                chain=dict,
                welcome=unused,
                version="1",
            )
        )

    @staticmethod
    def _member(number: int) -> PeerIdentity:
        return PeerIdentity(Digest(bytes([number] * 32)), None, "x", datetime(2030, 1, 1, tzinfo=UTC), number)

    async def _active(self, spki: bytes) -> Address:
        return Address(spki[:20])

    def _count(self) -> dict[str, Any]:
        self.answered += 1
        return {}

    async def _nodes(self) -> list[dict[str, Any]]:
        return [self._count()]

    async def _alive(self, peer: PeerIdentity, said: Any) -> None:
        self._count()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, "extensions": {PEER_EXTENSION: self.peer}}, receive, send)

    def other_member(self) -> None:
        self.peer = self._member(2)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nodes"), ("GET", "/v1/status"), ("POST", "/v1/alive")])
async def test_looking_without_end_is_bounded(method: str, path: str) -> None:
    """Far fewer looks than were asked for reach the chain; the rest is 429, and another member is not affected."""
    looked = Looked()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(looked), base_url="https://sn") as client:
        began = time.monotonic()
        told = [(await client.request(method, path, json={})).status_code for _ in range(LOOKS)]
        assert looked.answered <= VIEWS_BURST + VIEWS_PER_SECOND * (time.monotonic() - began) + 1
        assert set(told) == {200, 429}
        looked.other_member()
        assert (await client.request(method, path, json={})).status_code == 200
