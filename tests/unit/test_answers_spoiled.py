"""What other processes answer, spoiled at random: geth's admin calls, other SNs, the SN that an operator asks.

Nothing that they say may end a node or a command by an exception without a name.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from support.chains import CHAIN_ID, Embedded, address_of, new_account
from support.rounds import certified
from support.spoiled import spoiled
from support.swarms import admit
from swarm.chain.client import ChainClient
from swarm.chain.deploy import Deployed, deploy
from swarm.chain.geth.admin import GethAdmin
from swarm.chain.geth.genesis import with_period
from swarm.chain.keys import LocalSigner
from swarm.chain.membership import Membership
from swarm.chain.outbox import MemoryOutbox
from swarm.chain.results import RESULTS
from swarm.chain.rpc import unwrap
from swarm.chain.suite import ENTRIES, VERSION
from swarm.chain.training import Training
from swarm.core.alive import Alive, WaitTold
from swarm.core.checkinflags import FLAG_DONE
from swarm.core.errors import ChainFault, OperatorFault, PeerFault, SwarmFault
from swarm.core.ids import DEFAULT_JOB, Address, job_id
from swarm.inspect import printing, standing, table
from swarm.inspect.history import runs_of
from swarm.inspect.reading import read_run
from swarm.inspect.source import Source, View, open_view
from swarm.inspect.watch import screen
from swarm.node import joining
from swarm.sn import chainhost, entry
from swarm.sn.fleet import Fleet, Sn
from swarm.sn.heads import Heads

WORD, NODE = "0x" + "11" * 32, "0x" + "22" * 20
JOB = job_id(DEFAULT_JOB)
TRIES = 60
WORD_CHARS = len("0x") + 64
BLOCK = {"number": "0x1", "hash": WORD, "timestamp": "0x5", "totalDifficulty": "0x2"}
ADMIN: dict[str, Any] = {
    "miner_start": None,
    "miner_stop": None,
    "eth_mining": True,
    "eth_sign": "0x00",
    "eth_blockNumber": "0x1",
    "txpool_status": {"pending": "0x1", "queued": "0x0"},
    "clique_getSigners": [NODE],
    "clique_propose": None,
    "clique_discard": None,
    "clique_proposals": {NODE: True},
    "clique_getSigner": NODE,
    "eth_getBlockByNumber": BLOCK,
    "debug_setHead": None,
    "admin_nodeInfo": {"enode": "enode://x", "name": "Geth"},
    "admin_peers": [{"enode": "enode://x", "network": {"inbound": True}}],
    "admin_addTrustedPeer": True,
    "admin_addPeer": True,
    "admin_removeTrustedPeer": True,
    "admin_removePeer": True,
}
LOOKS: list[tuple[str, Callable[[GethAdmin], Any]]] = [
    ("sealing", lambda a: a.sealing()),
    ("unlocked", lambda a: a.unlocked(Address(bytes(20)))),
    ("height", lambda a: a.height()),
    ("pool_pending", lambda a: a.pool_pending()),
    ("signers", lambda a: a.signers()),
    ("proposals", lambda a: a.proposals()),
    ("sealer_of", lambda a: a.sealer_of(WORD)),
    ("block", lambda a: a.block()),
    ("tip", lambda a: a.tip()),
    ("enode", lambda a: a.enode()),
    ("peers", lambda a: a.peers()),
    ("start_sealing", lambda a: a.start_sealing()),
    ("stop_sealing", lambda a: a.stop_sealing()),
    ("propose", lambda a: a.propose(Address(bytes(20)), True)),
    ("discard", lambda a: a.discard(Address(bytes(20)))),
    ("rewind", lambda a: a.rewind(1)),
    ("add_peer", lambda a: a.add_peer("enode://x")),
    ("remove_peer", lambda a: a.remove_peer("enode://x")),
]


def test_every_call_of_geths_is_tried_here() -> None:
    """A call that is added to GethAdmin must be added here."""
    assert {name for name, _ in LOOKS} == {name for name in vars(GethAdmin) if not name.startswith("_")}


@pytest.mark.parametrize("name", [name for name, _ in LOOKS])
async def test_a_spoiled_answer_of_geth_is_a_chain_fault_or_harmless(name: str) -> None:
    """Right answers are read; spoiled ones give a ChainFault, or a value of the right kind."""
    look, chance, asked = dict(LOOKS)[name], random.Random(name), dict[str, Any]()
    good = await look(GethAdmin(_chain(asked, {})))
    faults = 0
    for _ in range(TRIES):
        method = chance.choice(sorted(asked))
        try:
            found = await look(GethAdmin(_chain({}, {method: spoiled(ADMIN[method], chance)})))
        except ChainFault:
            faults += 1
        else:
            assert found is None or type(found) is type(good), (method, found)
    assert faults or not set(asked) & set(RESULTS)


def _chain(asked: dict[str, Any], instead: dict[str, Any]) -> Any:
    async def rpc(method: str, _: list[Any]) -> Any:
        asked[method] = True
        return unwrap({"result": instead.get(method, ADMIN[method])}, method)

    return rpc


@pytest.mark.parametrize("told", [{}, {"params": None}, {"params": {"result": 7}}, {"params": []}], ids=repr)
async def test_a_node_goes_on_whatever_geth_tells_of_its_heads(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifications without a head in them, and newest blocks that are spoiled: the next good one is published."""
    chance, heads, path = random.Random(repr(told)), Heads(), tmp_path / "ipc"
    monkeypatch.setattr(chainhost, "HEAD_RETRY_SECONDS", 0.0)
    asked = 0

    async def geth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = json.loads(await reader.readline())["id"]
        writer.write(json.dumps({"id": number, "result": "0x1"}).encode() + b"\n")
        while not writer.is_closing():
            writer.write(json.dumps({"method": "eth_subscription", **told}).encode() + b"\n")
            await asyncio.sleep(0.001)

    async def rpc(method: str, _: list[Any]) -> Any:
        nonlocal asked
        asked += 1
        if method == "eth_getLogs":
            return unwrap({"result": []}, method)
        good = {**BLOCK, "number": hex(asked), "hash": f"0x{asked:064x}", "logsBloom": "0x00"}
        return unwrap({"result": spoiled(good, chance) if asked % 2 else good}, method)

    server = await asyncio.start_unix_server(geth, path)
    pump = asyncio.create_task(chainhost._pump(path, rpc, heads))
    try:
        async with asyncio.timeout(20):
            while asked < TRIES and not pump.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not pump.done()
        assert heads.latest is not None
        assert heads.latest.number >= TRIES // 2
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        server.close()


# -- other SNs ---------------------------------------------------------------------------------------------


class Fellow:
    """An SN's client whose answers are what the test says."""

    def __init__(self, answer: Any) -> None:
        self.url, self.answer = "https://fellow:1", answer

    async def get(self, _: str) -> Any:
        return self.answer

    async def post(self, _: str, __: Any) -> Any:
        return self.answer


async def test_a_spoiled_answer_of_another_sn_is_as_if_there_were_none() -> None:
    """Blocks and tips of another SN have numbers and hashes that can be compared, or are None."""
    chance, sn = random.Random("fellow"), Sn(Address(bytes(20)), "https://fellow:1", "", Address(bytes(20)), 1, False)
    deployed: Deployed = SimpleNamespace(membership=None, addresses={"Membership": Address(bytes(20))})  # type: ignore[assignment]
    context: Any = None
    fleet = Fleet(_chain({}, {}), deployed, context, sn.node)
    read = 0
    for turn in range(2 * TRIES):
        whole = {"jsonrpc": "2.0", "id": 1, "result": BLOCK}
        fleet._clients[sn.uri] = Fellow(whole if turn == 0 else spoiled(whole, chance))  # type: ignore[assignment]
        block, at, tip = await fleet.block(sn), await fleet.block(sn, 7), await fleet.tip(sn)
        for found in (block, at):
            assert found is None or (0 <= found[0] < 2**63 and len(found[1]) == 66)
        if tip is not None:
            read += 1
            assert 0 <= tip.number < 2**63
            assert tip.weight < 2**256
    assert 0 < read < 2 * TRIES
    fleet._clients.clear()


WAY_IN: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "/v1/swarm": (
        {
            "chain_id": 5, "genesis_hash": WORD, "directory": NODE, "chain": "geth", "contracts_version": VERSION,
            "contracts": {part.name: NODE for part in ENTRIES}, "can_reorganise": False,
        },
        lambda answer: joining._parse(answer, "https://fellow:1"),
    ),
    "/v1/chain": (
        {"genesis": {"config": {"chainId": 5, "clique": {"period": 1, "epoch": 30000}}, "alloc": {}}},
        lambda answer: with_period(
            entry._chain(answer, SimpleNamespace(chain_id=5, genesis_hash=bytes(32)), "https://fellow:1")["genesis"], 0  # type: ignore[arg-type]
        ),
    ),
    "/v1/chain/peers": (
        {"peers": {NODE: "enode://" + "0" * 128 + "@127.0.0.1:30303"}},
        lambda answer: entry._peers(answer, "https://fellow:1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", WAY_IN)
def test_a_spoiled_answer_on_the_way_in_is_a_sentence(path: str) -> None:
    """What a node asks before it is a member: which swarm, which chain, which peers."""
    good, read = WAY_IN[path]
    chance, faults = random.Random(path), 0
    assert read(good)
    for _ in range(10 * TRIES):
        try:
            read(spoiled(good, chance))
        except SwarmFault:
            faults += 1
    assert faults


# -- the SN that an operator asks ----------------------------------------------------------------------------

SAID = Alive("training", "job", 1, 2, "leader", 1, 2, 0.5, 0.5, 1, 2, 3, (WaitTold("x", NODE, 1.0, 2.0, "y"),), 4)
SIGN = {
    "node": NODE, "role": "sl", "name": "sl-1", "sn": "sn-1", "at": 5.0, "age_seconds": 1.0, "alive": True,
    "said": SAID.to_json(),
}  # fmt: skip
STATUS: dict[str, Any] = {
    "up": True, "reason": None, "node": NODE, "head": {"number": 7, "hash": WORD},
    "swarm": {
        "chain_id": 5, "chain": "embedded", "admission": "open",
        "contracts": dict.fromkeys(("Membership", "Training", "JobOptions"), NODE),
    },
}  # fmt: skip


class _Sn(BaseHTTPRequestHandler):
    pages: dict[str, bytes]

    def do_GET(self) -> None:
        body = self.pages[self.path]
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def operations_port() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A plain HTTP server that says what ``pages`` holds."""
    pages: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Sn,), {"pages": pages}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", pages
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_what_an_sn_says_ends_no_command_without_a_sentence() -> None:
    """Status and signs of life, spoiled: every view of them draws what is there, or the command says what cannot be."""
    chance = random.Random("status")
    members = [{"node": NODE, "role": "sl", "status": "active", "expires": 5}]
    drawn = refused = 0

    async def look(url: str) -> dict[str, Any]:
        async with open_view(Source(url, None)) as view:
            return {"sn": view.status, "nodes": table.rows(members, view.signs), "jobs": {}, "jobs_more": 0}

    with operations_port() as (url, pages):
        for turn in range(2 * TRIES):
            status, signs = STATUS, [SIGN]
            if turn % 2:
                signs = spoiled(signs, chance)
            elif turn:
                status = spoiled(status, chance)
            pages |= {"/v1/status": json.dumps(status).encode(), "/v1/alive": json.dumps(signs).encode()}
            found = None
            with contextlib.suppress(OperatorFault, PeerFault):
                found = asyncio.run(look(url))
            if found is None:
                refused += 1
                continue
            drawn += 1
            console = Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=200)
            printing.print_status(console, found)
            "\n".join(screen(found, clock="now")).encode()
            json.dumps(found, allow_nan=False)
    assert drawn > 10
    assert refused > 10


@pytest.fixture(scope="module")
def run_on_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, View]]:
    """A chain with a run of two members and two rounds, and the view of it that an operator has."""
    loop = asyncio.new_event_loop()
    chain = Embedded(tmp_path_factory.mktemp("chain"))
    loop.run_until_complete(chain.start())
    try:
        yield loop, loop.run_until_complete(_two_rounds(chain))
    finally:
        loop.run_until_complete(chain.stop())
        loop.close()


async def _two_rounds(chain: Embedded) -> View:
    deployed = await deploy(chain.client())
    accounts = [new_account() for _ in range(2)]
    facades = []
    for number, account in enumerate(accounts):
        await admit(deployed, address_of(account))
        training = Training(chain.client(account), deployed.training.address)
        await training.join(JOB, f"https://sl-{number}:30305", 2)
        facades.append(training)
    for flags in (0, FLAG_DONE):
        state, roster = await facades[0].state(JOB), await facades[0].roster_of(JOB)
        signers = [LocalSigner(bytes(account.key)) for account in accounts]
        await facades[0].commit([certified(state.round_name(JOB), roster, signers, facades[0].domain, flags=flags)])
    options = deployed.addresses["JobOptions"]
    return View(chain.rpc, deployed.training, deployed.membership, STATUS, [SIGN], options)


READINGS: dict[str, Callable[[View], Any]] = {
    "audit": lambda view: read_run(view, DEFAULT_JOB, None),
    "history": lambda view: runs_of(view, DEFAULT_JOB),
    "status": standing.standing,
}


@pytest.mark.parametrize("name", READINGS)
def test_what_an_sn_says_of_the_chain_ends_no_command_without_a_sentence(
    name: str, run_on_chain: tuple[Any, View]
) -> None:
    """One answer in three spoiled, or one of the right form with other values in it: a SwarmFault, or a record."""
    loop, honest = run_on_chain
    read, chance = READINGS[name], random.Random(name)
    assert loop.run_until_complete(read(honest))
    told = faults = 0

    async def rpc(method: str, params: list[Any]) -> Any:
        result = await honest.rpc(method, params)
        if chance.random() < 0.3:
            result = spoiled(result, chance) if chance.random() < 0.5 else _other_values(result, chance)
        return unwrap({"result": result}, method)

    reader = ChainClient(rpc, new_account(), MemoryOutbox(), chain_id=CHAIN_ID)
    view = View(
        rpc, Training(reader, honest.training.address), Membership(reader, honest.membership.address), STATUS, [SIGN],
        honest.options,
    )  # fmt: skip
    for _ in range(TRIES):
        try:
            loop.run_until_complete(asyncio.wait_for(read(view), 20))
        except SwarmFault:
            faults += 1
        else:
            told += 1
    assert told
    assert faults


def _other_values(result: Any, chance: random.Random) -> Any:
    """A word or some digits are others, a block is not there; a list of events lacks one, or has one twice."""
    if isinstance(result, list) and result:
        at = chance.randrange(len(result))
        if chance.random() < 0.5:
            return [*result[:at], *[result[at]] * chance.choice((0, 2)), *result[at + 1 :]]
        return [*result[:at], _other_values(result[at], chance), *result[at + 1 :]]
    if isinstance(result, dict) and result:
        key = chance.choice(sorted(result))
        return {**result, key: _other_values(result[key], chance)} if chance.random() < 0.7 else None
    if isinstance(result, str) and len(result) > WORD_CHARS:
        at = 2 + 64 * chance.randrange((len(result) - 2) // 64)
        return result[:at] + f"{chance.choice((0, 1, 9, 255, 2**255)):064x}" + result[at + 64 :]
    if isinstance(result, str) and len(result) > 2:
        digits = list(result)
        for _ in range(chance.choice((1, 8))):
            digits[chance.randrange(2, len(digits))] = chance.choice("0123456789abcdef")
        return "".join(digits)
    return result
