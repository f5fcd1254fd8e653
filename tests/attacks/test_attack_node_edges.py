"""What reaches a node from outside before any statement is judged: texts, names, sizes, rates, lies about the swarm."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from swarm.chain.suite import ENTRIES, VERSION
from swarm.core.engine.events import BlobFailed, Event
from swarm.core.engine.messages import Pulse
from swarm.core.errors import OperatorFault, PeerFault
from swarm.core.ids import Address, BlobId, Digest
from swarm.net.answers import PEER_EXTENSION, Guard
from swarm.net.faults import Refused
from swarm.net.identity import PeerIdentity
from swarm.net.probe import connect
from swarm.net.transfer import _Call
from swarm.net.uri import parse_uri
from swarm.node.joining import find_swarm
from swarm.obs.ops import ops_app
from swarm.obs.waits import Waits
from swarm.sl.app import PULSES_AT_ONCE_MAX, SCHEMA_BODY_BYTES_MAX, PeerApp
from swarm.sl.directory import UNKNOWN_BURST, Members
from swarm.sl.schemas import Schemas
from swarm.sl.transfers import Counters, Transfers
from swarm.store.blobs import BlobStore
from swarm.store.journal import Journal

JOB, NODE, SPKI = Digest(b"\x01" * 32), Address(b"\x02" * 20), Digest(b"\x03" * 32)
PEER = PeerIdentity(SPKI, None, "intruder", datetime(2100, 1, 1, tzinfo=UTC), 1)
PULSE = Pulse(JOB, 1, NODE, 0, 0, 0, "joined", 1)


class Job:
    """A job whose engine never answers."""

    job = JOB

    def __init__(self) -> None:
        self.heard = 0

    async def holder(self, spki: Digest) -> Address | None:
        return NODE if spki == SPKI else None

    def takes_part(self, node: Address) -> bool:
        return True

    async def pulse(self, sender: Address, pulse: Pulse) -> Pulse:
        self.heard += 1
        await asyncio.Event().wait()
        raise AssertionError

    def schema(self, sender: Address, body: Any) -> dict[str, Any]:
        return Schemas(list, asyncio.sleep).answer(sender, body)

    def may_read(self, reader: Address, blob: BlobId) -> bool:
        return False


async def post(app: PeerApp, body: bytes, path: str = "/v1/pulse") -> int:
    """The status of one request."""
    scope = {"type": "http", "path": path, "method": "POST", "extensions": {PEER_EXTENSION: PEER}}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


async def test_attack_one_member_cannot_fill_the_engines_queue(tmp_path: Path) -> None:
    """Of a hundred pulses of one member a handful wait for the engine, the others are told to come later."""
    job = Job()
    app = PeerApp(BlobStore(tmp_path), lambda: job, lambda _: None)
    body = json.dumps(PULSE.to_json()).encode()
    tasks = [asyncio.create_task(post(app, body)) for _ in range(100)]
    done, waiting = await asyncio.wait(tasks, timeout=0.5)
    for task in waiting:
        task.cancel()
    assert job.heard == len(waiting) == PULSES_AT_ONCE_MAX
    assert {task.result() for task in done} == {429}


async def test_attack_large_pulses_cost_more(tmp_path: Path) -> None:
    """A member that sends one megabyte after another is soon told to wait, before its text is read."""
    app = PeerApp(BlobStore(tmp_path), Job, lambda _: None)
    statuses = [await post(app, b"x" * 2**20) for _ in range(40)]
    assert 400 in statuses[:5]
    assert statuses[-10:] == [429] * 10


async def test_attack_strangers_do_not_use_up_the_rate_at_the_sn(tmp_path: Path) -> None:
    """Thousands of requests with unknown certificates cost a few calls to the chain."""
    asked = []

    class Chain:
        async def members(self) -> dict[Address, Any]:
            return {}

        async def holder_of(self, spki: bytes) -> Address | None:
            asked.append(spki)
            return None

    with Journal(tmp_path / "journal.db") as journal:
        members = Members(Chain(), journal)  # type: ignore[arg-type]
        for number in range(5000):
            assert await members.holder(Digest(number.to_bytes(32, "big")), 0) is None
    assert len(asked) <= UNKNOWN_BURST * 2


@pytest.mark.parametrize(
    "uri",
    [
        f"https://{'a' * 70}.x:1",
        "https://a..b:1",
        "https://a b:3",
        "https://\u0130.com:4",
        "https://host:0",
        "https://host:70000",
        "https://host:1/path",
        "https://user@host:1",
        "http://host:1",
        "https://host\r\nx:1",
    ],
)
def test_attack_a_joiners_address_that_no_host_can_have_is_refused(uri: str) -> None:
    """Such a name would fail where a pull begins, and leave the pull unanswered for ever."""
    with pytest.raises(PeerFault):
        parse_uri(uri)


def test_attack_a_name_that_cannot_be_encoded_is_a_refused_connection() -> None:
    """The same for names from anywhere else."""
    with pytest.raises(Refused, match="no host can have this name"):
        connect("a" * 70 + ".x", 1, None, lambda _: None)  # type: ignore[arg-type]


class Elsewhere:
    """Members whose address is known."""

    def __init__(self, uri: str | None, fault: Exception | None = None) -> None:
        self._uri, self._fault = uri, fault

    def uri(self, node: Address) -> str | None:
        if self._fault is not None:
            raise self._fault
        return self._uri


async def pulled(store: BlobStore, members: Elsewhere, size: int) -> Event:
    told: asyncio.Queue[Event] = asyncio.Queue()
    transfers = Transfers(store, members, None, told.put_nowait, Counters())  # type: ignore[arg-type]
    transfers.start(BlobId(b"\x05" * 32), size, (NODE,))
    async with asyncio.timeout(5):
        return await told.get()


async def test_attack_a_model_larger_than_the_disk_is_not_begun(tmp_path: Path) -> None:
    """A peer that announces an exabyte gets no connection; the engine hears why."""
    event = await pulled(BlobStore(tmp_path), Elsewhere("https://127.0.0.1:1"), 2**60)
    assert isinstance(event, BlobFailed)
    assert "does not fit" in event.text


async def test_attack_whatever_goes_wrong_in_a_pull_the_engine_hears_of_it(tmp_path: Path) -> None:
    """An error nobody thought of ends in an event, not in silence."""
    event = await pulled(BlobStore(tmp_path), Elsewhere(None, RuntimeError("unforeseen")), 1)
    assert isinstance(event, BlobFailed)
    assert "unforeseen" in event.text


def test_attack_a_chunk_list_is_bounded_though_the_size_is_the_peers_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an announced size of 2^62 bytes a list of 100 MB is refused by its length, before it is read."""

    def read() -> bytes:
        raise AssertionError("the body was read")

    answer = SimpleNamespace(length=100_000_000, read=read)
    monkeypatch.setattr(_Call, "_ask", lambda *_: answer)
    call = _Call(None, "https://peer:1/v1/blobs/00", None, None)  # type: ignore[arg-type]
    with pytest.raises(PeerFault, match="chunk list"):
        call.chunk_list(BlobId(bytes(32)), 2**62)


async def test_attack_an_sn_cannot_swap_the_contracts_of_a_known_chain(tmp_path: Path) -> None:
    """Same chain id, same genesis, another Training: a node that was here before refuses by name."""

    def told(training: int) -> Any:
        async def get(_: str) -> dict[str, Any]:
            contracts = {part.name: "0x" + "22" * 20 for part in ENTRIES}
            contracts["Training"] = "0x" + bytes([training] * 20).hex()
            return {
                "chain_id": 7,
                "genesis_hash": "0x" + "11" * 32,
                "directory": "0x" + "33" * 20,
                "contracts_version": VERSION,
                "contracts": contracts,
                "chain": "geth",
            }

        return SimpleNamespace(url="https://sn:30304", get=get)

    with Journal(tmp_path / "journal.db") as journal:
        for _ in range(2):
            await find_swarm(told(0x44), journal, Waits(), wait_seconds=1)
        with pytest.raises(OperatorFault, match="another swarm"):
            await find_swarm(told(0x45), journal, Waits(), wait_seconds=1)


@pytest.mark.parametrize(
    ("agent", "host", "status"),
    [
        (b"Mozilla/5.0", b"evil.example:30391", 403),
        (b"Mozilla/5.0", b"[evil", 403),
        (b"Mozilla/5.0", b"", 403),
        (b"Mozilla/5.0", b"127.0.0.1:30391", 200),
        (b"Mozilla/5.0", b"[::1]:30391", 200),
        (b"Mozilla/5.0", b"localhost:30391", 200),
        (b"Prometheus/2.54", b"sl1.site.example:30391", 200),
    ],
)
async def test_attack_dns_rebinding_does_not_read_the_operations_port(agent: bytes, host: bytes, status: int) -> None:
    """A page whose name was pointed at 127.0.0.1 sends no Origin, but its own name as Host."""
    app = ops_app(waits=list, registry=CollectorRegistry(), status=dict, healthy=lambda: None)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a GET has no body")

    headers = [(b"host", host), (b"user-agent", agent)]
    await app({"type": "http", "method": "GET", "path": "/v1/status", "headers": headers}, receive, send)
    assert sent[0]["status"] == status


async def test_attack_data_schemas_are_bounded(tmp_path: Path) -> None:
    """Hostile bodies are 400, large ones 413, many 429; a stranger's is 404; the engine hears of none."""
    job = Job()
    app = PeerApp(BlobStore(tmp_path), lambda: job, lambda _: None)
    bodies = [
        b"",
        b"\xff",
        b"[" * 50_000,
        b'{"schema":' * 9000,
        b'{"schema":{"labels":[[]]}}',
        b"{}",
        b'{"schema":1e999}',
    ]
    assert [await post(app, body, "/v1/schema") for body in bodies] == [400] * len(bodies)
    assert await post(app, b" " * (SCHEMA_BODY_BYTES_MAX + 1), "/v1/schema") == 413
    assert await post(app, b'{"schema":null}', "/v1/schema") == 200
    assert 429 in [await post(app, b'{"schema":null}', "/v1/schema") for _ in range(30)]
    nobody = PeerApp(BlobStore(tmp_path), lambda: None, lambda _: None)
    assert await post(nobody, b'{"schema":null}', "/v1/schema") == 404
    assert job.heard == 0


async def test_refusals_of_an_sl_keep_nothing_of_their_requests(tmp_path: Path) -> None:
    """Whoever has a certificate may ask without end for what is not there; each body goes with its answer."""
    app = Guard(PeerApp(BlobStore(tmp_path), lambda: None, lambda _: None), body_bytes_max=2**20, body_seconds=5.0)
    body = b"x" * 64 * 1024

    async def ask(path: str) -> None:
        messages = iter([{"type": "http.request", "body": body[:], "more_body": False}])
        status: list[int] = []

        async def receive() -> dict[str, Any]:
            return dict(next(messages))

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        extensions = {PEER_EXTENSION: PEER}
        await app(
            {"type": "http", "method": "POST", "path": path, "headers": [], "extensions": extensions}, receive, send
        )
        assert status == [404]

    tracemalloc.start()
    try:
        for path in ("/nothing", "/v1/pulse", "/v1/schema"):
            await ask(path)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            for path in ("/nothing", "/v1/pulse", "/v1/schema"):
                await ask(path)
        assert tracemalloc.get_traced_memory()[0] - before < 256 * 1024
    finally:
        tracemalloc.stop()
