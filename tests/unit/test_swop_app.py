"""What a SWOP's server tells, to whom: texts of failures by the site's policy, its own lines by its setting."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from swarm.core.chain_view import Member, Role, Status
from swarm.core.failuretext import QUERY_BYTES_MAX, hash_of, key_in, query_of
from swarm.core.ids import Digest
from swarm.core.taskrun.work import Key
from swarm.net.answers import PEER_EXTENSION
from swarm.net.identity import PeerIdentity
from swarm.node.sharing import SharedLogs, no_operator
from swarm.obs.recent import Recent
from swarm.store.journal import Journal
from swarm.swop.app import OperatorApp
from swarm.swop.texts import Texts

KEY = Key(Digest(b"a" * 32), 2, 1)
PEER = PeerIdentity(Digest(bytes([1]) * 32), None, "ci-1", datetime(2030, 1, 1, tzinfo=UTC), 1)
OPERATOR = Member(Role.SWCI, Status.ACTIVE, bytes(32), bytes(32), bytes(32), 4_000_000_000, 0, 0)


async def ask(app: OperatorApp, path: str, query: bytes = b"", method: str = "GET") -> tuple[int, Any]:
    """Status and answer of one request, as the server hands it over."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": query}
    scope["extensions"] = {PEER_EXTENSION: PEER}
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))


def app_of(
    texts: Texts | None, *, record: Member | None = OPERATOR, shares: bool = True, own: bool = True
) -> OperatorApp:
    async def look(spki: bytes) -> Member | None:
        return record

    return OperatorApp(SharedLogs(Recent() if own else None, look, no_operator), lambda: texts, lambda: shares)


async def test_a_text_is_told_as_it_was_hashed(tmp_path: Path) -> None:
    """The lines whose hash is on the chain, of the attempt that is named; another one's is nowhere."""
    with Journal(tmp_path / "journal.db") as journal:
        texts = Texts(journal)
        told = texts.keep(KEY, "a line\nKeyError: 7\n")
        app = app_of(texts)
        status, answer = await ask(app, "/v1/logs", query_of(KEY).encode())
        assert (status, answer["lines"], answer["gone"]) == (200, ["a line", "KeyError: 7"], 0)
        assert hash_of(answer["lines"]) == told
        for other in (Key(KEY.aid, 1, 1), Key(KEY.aid, 2, 2), Key(Digest(bytes(32)), 2, 1)):
            assert (await ask(app, "/v1/logs", query_of(other).encode()))[0] == 404
        assert (await ask(app_of(texts), "/v1/logs"))[0] == 200
        assert (await ask(app, "/is_up")) == (200, {"status": "UP"})


@pytest.mark.parametrize("query", [b"", query_of(KEY).encode()])
async def test_what_a_site_does_not_share_stays_there(tmp_path: Path, query: bytes) -> None:
    """By its policy for texts, by its setting for its own lines; who is no operator hears only that."""
    with Journal(tmp_path / "journal.db") as journal:
        texts = Texts(journal)
        texts.keep(KEY, "secret")
        for mine in (app_of(texts, shares=False, own=False), app_of(texts, record=None)):
            status, answer = await ask(mine, "/v1/logs", query)
            assert status == 403
            assert "secret" not in json.dumps(answer)
        status, answer = await ask(app_of(texts, record=None, shares=False, own=False), "/v1/logs", query)
        assert answer["error"]["code"] == "not_an_operator"
        assert (await ask(app_of(None), "/v1/logs", query_of(KEY).encode()))[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        b"aid",
        b"aid=0x00&pair=0&attempt=1",
        query_of(KEY).encode() + b"&pair=3",
        query_of(KEY).encode().replace(b"pair=2", b"pair=-2"),
        query_of(KEY).encode().replace(b"pair=2", "pair=\u0662".encode()),
        query_of(KEY).encode().replace(b"pair=2", b"pair=" + b"2" * 10),
        b"x=" * QUERY_BYTES_MAX,
        b"aid=0x" + b"61" * 32 + b"&pair=2&attempt=1&" + b"y" * QUERY_BYTES_MAX,
    ],
)
async def test_attack_a_query_that_names_nothing_is_refused_by_its_form(query: bytes) -> None:
    """422 with the form, whatever comes: never another attempt's text, never an exception."""
    with pytest.raises(ValueError, match="expected aid="):
        key_in(query)
    status, answer = await ask(app_of(None), "/v1/logs", query)
    assert (status, answer["error"]["code"]) == (422, "bad_query")
    for path, method in (("/v1/logs", "POST"), ("/", "GET"), ("/v1/blobs/x", "GET")):
        assert (await ask(app_of(None), path, b"", method))[0] == 404
