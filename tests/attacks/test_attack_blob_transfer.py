"""Blobs from peers that cut, stall, lie or pry, over real TLS: nothing unverified is kept, nothing is learnt."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import http.client
import json
import os
import pickle
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import swarm
from support import patience
from support.certs import Authority
from support.faultproxy import fault_proxy
from swarm.core.blobid import BLOB_BYTES_MAX, CHUNK_BYTES, ChunkList, chunk_count, chunk_hash
from swarm.core.engine.events import BlobFailed, BlobVerified, Event
from swarm.core.engine.leading import REFUSED_UNREADABLE
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, BlobId
from swarm.net.answers import send_json
from swarm.net.blobserve import BlobApp
from swarm.net.faults import BadAnswer, Cut, TimedOut, TlsRefused
from swarm.net.identity import PeerIdentity, anyone, holder_of
from swarm.net.probe import connect
from swarm.net.server import serve
from swarm.net.tls import TlsFiles, client_context, server_context
from swarm.net.transfer import Cancelled, Pace, fetch, fetch_blob
from swarm.sl.transfers import Counters, Transfers
from swarm.store.blobs import BlobStore

DATA = os.urandom(1024) * (12 * 1024) + b"tail"
"""Three full chunks and a short one."""
MB = 1024 * 1024


@dataclass
class Pair:
    """A serving node and a fetching one."""

    here: BlobStore
    there: BlobStore
    files: TlsFiles
    server_files: TlsFiles
    blob_id: BlobId
    allowed: bool = True
    asked: list[tuple[PeerIdentity, BlobId]] = field(default_factory=list)
    moved: int = 0

    def app(self) -> BlobApp:
        async def may_read(peer: PeerIdentity, blob_id: BlobId) -> bool:
            self.asked.append((peer, blob_id))
            return self.allowed

        def moved(count: int) -> None:
            self.moved += count

        return BlobApp(self.there, may_read, moved=moved)

    @contextlib.asynccontextmanager
    async def serving(self, app: Any = None) -> AsyncIterator[int]:
        async with serve(app or self.app(), "127.0.0.1", 0, server_context(self.server_files)) as server:
            yield server.port

    def fetch(self, port: int, *, expect: Any = anyone, **options: Any) -> Awaitable[Path]:
        options = {"size_max": 64 * MB, **options}
        return fetch("127.0.0.1", port, client_context(self.files), expect, self.blob_id, self.here, **options)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    ca = Authority()
    there = BlobStore(tmp_path / "there")
    source = tmp_path / "model"
    source.write_bytes(DATA)
    blob_id, _ = there.add_file(source, move=True)
    return Pair(
        BlobStore(tmp_path / "here"),
        there,
        ca.node(tmp_path / "tls", "SL-1"),
        ca.node(tmp_path / "tls", "SL-2"),
        blob_id,
    )


async def test_a_blob_arrives_and_is_not_fetched_twice(pair: Pair) -> None:
    """The bytes are equal, progress adds up to them, and a second fetch needs no connection at all."""
    counts: list[int] = []
    async with pair.serving() as port:
        path = await pair.fetch(port, progress=counts.append)
    assert path.read_bytes() == DATA
    assert sum(counts) == pair.moved == len(DATA)
    assert {peer.common_name for peer, _ in pair.asked} == {"SL-1"}
    assert await pair.fetch(port) == path


async def test_after_a_cut_the_next_call_goes_on_at_the_missing_chunk(pair: Pair) -> None:
    """A connection cut in chunk 2 keeps chunks 0 and 1: the second call moves only the rest."""
    async with pair.serving() as port:
        async with fault_proxy(port, cut_after=2 * CHUNK_BYTES + CHUNK_BYTES // 2) as proxy:
            with pytest.raises(Cut, match="what arrived is kept"):
                await pair.fetch(proxy.port)
        assert not pair.here.has(pair.blob_id)
        counts: list[int] = []
        path = await pair.fetch(port, progress=counts.append)
    assert path.read_bytes() == DATA
    assert sum(counts) == len(DATA) - 2 * CHUNK_BYTES


async def test_a_peer_that_stalls_is_given_up_in_time(pair: Pair) -> None:
    """A connection over which nothing comes any more ends after idle_seconds, with what arrived kept."""
    async with pair.serving() as port, fault_proxy(port, stall_after=CHUNK_BYTES + MB) as proxy:
        begun = time.monotonic()
        with pytest.raises(TimedOut, match=r"nothing arrived for 0\.5 s"):
            await pair.fetch(proxy.port, pace=Pace(idle_seconds=0.5))
        assert time.monotonic() - begun < 5 * patience.crowd()
    chunks = pair.there.chunks(pair.blob_id)
    assert pair.here.begin(pair.blob_id, chunks).missing() == [1, 2, 3]


async def test_a_peer_that_trickles_is_given_up(pair: Pair) -> None:
    """Bytes that keep coming below the least rate are not enough."""

    async def trickle(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/chunks"):
            await pair.app()(scope, receive, send)
            return
        size = str(len(DATA)).encode()
        await send({"type": "http.response.start", "status": 206, "headers": [(b"content-length", size)]})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.05)

    async with pair.serving(trickle) as port:
        with pytest.raises(TimedOut, match="below the least of 1000"):
            await pair.fetch(port, pace=Pace(idle_seconds=10, rate_bytes_min=1000, rate_seconds=0.5))


async def test_cancelling_ends_the_transfer_and_keeps_what_arrived(pair: Pair) -> None:
    """Cancelling the task returns soon although the peer is silent; the next call goes on."""
    async with pair.serving() as port:
        async with fault_proxy(port, stall_after=CHUNK_BYTES + MB) as proxy:
            task = asyncio.ensure_future(pair.fetch(proxy.port))
            await asyncio.wait_for(proxy.stalled.wait(), 10)
            begun = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begun < patience.seconds(1.5)
        counts: list[int] = []
        assert (await pair.fetch(port, progress=counts.append)).read_bytes() == DATA
        assert sum(counts) == len(DATA) - CHUNK_BYTES


async def test_a_thread_is_cancelled_by_its_event(pair: Pair) -> None:
    """Whoever runs the blocking call in a thread of its own ends it by the event, and is told so."""
    cancel = threading.Event()
    async with pair.serving() as port, fault_proxy(port, stall_after=MB) as proxy:
        context = client_context(pair.files)
        call = asyncio.to_thread(
            fetch_blob,
            *("127.0.0.1", proxy.port, context, anyone, pair.blob_id, pair.here),
            size_max=64 * MB,
            cancel=cancel,
        )
        task = asyncio.ensure_future(call)
        await asyncio.wait_for(proxy.stalled.wait(), 10)
        cancel.set()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(task, 2)


async def test_a_damaged_chunk_is_refused_by_number(pair: Pair) -> None:
    """A peer whose disk (or intent) flips one bit in chunk 2 is named as such; chunks 0 and 1 stay."""
    held = pair.there.path(pair.blob_id)
    raw = bytearray(held.read_bytes())
    raw[2 * CHUNK_BYTES + 5] ^= 1
    held.write_bytes(raw)
    async with pair.serving() as port:
        with pytest.raises(PeerFault, match=f"chunk 2 of blob {pair.blob_id.hex()}"):
            await pair.fetch(port)
    assert pair.here.begin(pair.blob_id, pair.there.chunks(pair.blob_id)).missing() == [2, 3]


def lying(body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> Callable[..., Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = headers if headers is not None else [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return app


def claim(**changes: Any) -> bytes:
    """A chunk list for 100 bytes, with something wrong in it."""
    value = {"size": 100, "chunk_bytes": CHUNK_BYTES, "algorithm": 1, "hashes": ["00" * 32]}
    return json.dumps({**value, **changes}).encode()


HUNDRED_GB = 100 * 10**9


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (claim(size=HUNDRED_GB), "claims 100000000000 bytes; at most 67108864"),
        (claim(size=BLOB_BYTES_MAX, hashes=["00" * 32] * chunk_count(BLOB_BYTES_MAX)), "its chunk list has"),
        (claim(size="100"), "claims '100' bytes"),
        (claim(size=-5), "no chunk list"),
        (claim(hashes=["00" * 32] * 2), "2 chunk hashes do not fit"),
        (claim(hashes=["xyz"]), "no chunk list"),
        (claim(algorithm=9), "unknown chunk hash algorithm 9"),
        (claim(chunk_bytes=1), "chunk size 1"),
        (claim(), "describes another blob"),
        (b"[" * 1500, "no chunk list"),
        (b"\xff\xfe", "no chunk list"),
        (b"null", "no chunk list"),
    ],
)
async def test_a_lying_chunk_list_is_refused_before_allocation(pair: Pair, body: bytes, words: str) -> None:
    """Claims of 100 GB, lists that fit no blob and lists of another blob leave no part file and cost no memory."""
    async with pair.serving(lying(body)) as port:
        await asyncio.sleep(0)
        tracemalloc.start()
        try:
            with pytest.raises(PeerFault, match=words):
                await pair.fetch(port)
            assert tracemalloc.get_traced_memory()[1] < 16 * MB
        finally:
            tracemalloc.stop()
    assert list((pair.here.root / "parts").iterdir()) == []


async def test_a_list_without_a_length_is_refused(pair: Pair) -> None:
    """An endless (chunked) list is never read."""
    async with pair.serving(lying(b"{}" * 1000, headers=[])) as port:
        with pytest.raises(PeerFault, match="its chunk list has None bytes"):
            await pair.fetch(port)


async def test_a_peer_that_ignores_the_range_is_refused(pair: Pair) -> None:
    """An answer that is not exactly the range asked for is not read."""

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        scope = {**scope, "headers": []}
        await pair.app()(scope, receive, send)

    async with pair.serving(whole) as port:
        with pytest.raises(BadAnswer, match="no Range there"):
            await pair.fetch(port)


async def test_the_wrong_holder_is_refused_before_a_request(pair: Pair) -> None:
    """The expected public key is compared first: the server is never asked for anything."""
    async with pair.serving() as port:
        with pytest.raises(PeerFault, match="SPKI"):
            await pair.fetch(port, expect=holder_of(bytes(32)))  # type: ignore[arg-type]
    assert pair.asked == []


async def test_a_stranger_fetches_nothing_and_learns_why(pair: Pair, tmp_path: Path) -> None:
    """A certificate of a foreign CA is refused at TLS; the fetching end names the field."""
    ours = Authority()
    pair.server_files = ours.node(tmp_path / "x", "SL-2")
    pair.files = Authority("foreign").node(tmp_path / "x", "stranger", trusts=ours)
    async with pair.serving() as port:
        with pytest.raises(TlsRefused, match=r"CN=stranger.*field issuer"):
            await pair.fetch(port)
    assert pair.asked == []


def ask(pair: Pair, port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.sock = connect("127.0.0.1", port, client_context(pair.files), anyone)
    try:
        connection.putrequest(method, path, skip_host=False)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


async def test_unknown_forbidden_and_malformed_have_one_answer(pair: Pair) -> None:
    """Status, body and headers (but the date) are the same, so asking teaches nothing; no path leaves the store."""
    secret = pair.there.root / "secret"
    secret.write_text("secret")
    held = f"/v1/blobs/{pair.blob_id.hex()}"
    async with pair.serving() as port:
        pair.allowed = False
        forbidden = [await asyncio.to_thread(ask, pair, port, held + tail) for tail in ("", "/chunks")]
        pair.allowed = True
        others = [
            await asyncio.to_thread(ask, pair, port, path)
            for path in (
                "/v1/blobs/" + "ab" * 32,
                "/v1/blobs/" + "ab" * 32 + "/chunks",
                "/v1/blobs/../secret",
                "/v1/blobs/..%2fsecret",
                "/v1/blobs/%2e%2e/%2e%2e/secret",
                "/v1/blobs//etc/passwd",
                held.upper().replace("/V1/BLOBS", "/v1/blobs") + "x",
                held + "%00",
                held + "/",
                held + "/chunks/..",
                "/v1/blobs/",
            )
        ]
        shown = {
            (status, body, tuple(sorted(h for h in headers.items() if h[0] != "date")))
            for status, body, headers in forbidden + others
        }
        assert len(shown) == 1, shown
        status, body, _ = shown.pop()
        assert status == 404
        assert json.loads(body)["error"]["code"] == "not_found"
        pair.allowed = False
        with pytest.raises(BadAnswer, match="404 not_found: no such blob for you here"):
            await pair.fetch(port)


@pytest.mark.row("D02")
async def test_ranges_methods_and_the_list_over_the_wire(pair: Pair) -> None:
    """206 with Content-Range, 416 behind the end, 405 for writing, and a list whose root is the id."""
    held = f"/v1/blobs/{pair.blob_id.hex()}"
    async with pair.serving() as port:
        status, body, headers = await asyncio.to_thread(ask, pair, port, held, Range="bytes=5-9")
        assert (status, body, headers["content-range"]) == (206, DATA[5:10], f"bytes 5-9/{len(DATA)}")
        status, body, headers = await asyncio.to_thread(ask, pair, port, held, Range=f"bytes={len(DATA)}-")
        assert (status, headers["content-range"]) == (416, f"bytes */{len(DATA)}")
        assert json.loads(body)["error"]["code"] == "bad_range"
        status, body, _ = await asyncio.to_thread(ask, pair, port, held)
        assert (status, body) == (200, DATA)
        status, body, _ = await asyncio.to_thread(ask, pair, port, held, "PUT")
        assert (status, json.loads(body)["error"]["code"]) == (405, "method_not_allowed")
        status, body, _ = await asyncio.to_thread(ask, pair, port, held + "/chunks")
        value = json.loads(body)
    hashes = tuple(bytes.fromhex(h) for h in value["hashes"])
    assert hashes[3] == chunk_hash(DATA[3 * CHUNK_BYTES :])
    assert ChunkList(value["size"], hashes, value["chunk_bytes"], value["algorithm"]).root() == pair.blob_id


async def test_an_error_of_another_shape_is_carried_as_text(pair: Pair) -> None:
    """A server that is no node of ours gives a bounded text, not a stack trace."""

    async def other(scope: Any, receive: Any, send: Any) -> None:
        await send_json(send, 503, "x" * 5000)

    async with pair.serving(other) as port:
        with pytest.raises(BadAnswer) as caught:
            await pair.fetch(port)
    assert caught.value.status == 503
    assert len(str(caught.value)) < 500


@pytest.mark.row("D25")
async def test_a_pickle_of_another_site_is_refused_and_runs_nothing(pair: Pair, tmp_path: Path) -> None:
    """A member serves its pickle as its model, hash and all: the pull ends in "unreadable", and no mark appears."""
    mark, path = tmp_path / "ran", tmp_path / "bomb.pkl"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {mark}",)

    for model in ({"w": Bomb()}, {"w": np.ones(7, np.float32)}):
        path.write_bytes(pickle.dumps(model))
        blob, chunks = pair.there.add_file(path, move=True)
        heard: asyncio.Queue[Event] = asyncio.Queue()
        async with pair.serving() as port:
            members = SimpleNamespace(uri=lambda _, port=port: f"https://127.0.0.1:{port}", expect=lambda _: anyone)
            context = client_context(pair.files)
            pulls = Transfers(pair.here, members, context, heard.put_nowait, Counters())  # type: ignore[arg-type]
            pulls.start(blob, chunks.size, (Address(bytes(20)),))
            async with asyncio.timeout(patience.seconds(20)):
                while not isinstance(told := await heard.get(), BlobFailed | BlobVerified):
                    continue
            await pulls.aclose()
        assert isinstance(told, BlobFailed)
        assert told.reason == REFUSED_UNREADABLE
    assert not mark.exists()


@pytest.mark.row("D25")
def test_no_module_but_the_pipes_reads_pickles() -> None:
    """Of the services one module asks for the restricted reader, and none for Python's own or for what uses it."""
    readers = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    found = {}
    for path in Path(swarm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(one.name for one in node.names)]
            for name in names:
                if name.split(".")[0] in readers or name.split(".")[-1] == "legacy_pickle":
                    found[path.name] = name.split(".")[-1]
    assert found == {"forms.py": "legacy_pickle"}
