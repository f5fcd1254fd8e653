"""A real SN process on the embedded chain, over real TLS: joining, restarting, refusing, waking up."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib import resources

import pytest
from support import patience
from support.certs import Authority
from support.chains import free_port
from support.snprocess import READY, MemberClient, SnProcess, clean_environ, running_sn
from swarm.chain.contract import CONTRACTS, artifact
from swarm.core.alive import SILENT_SECONDS, Alive
from swarm.core.chain_view import Role
from swarm.core.ids import to_hex
from swarm.net.faults import BadAnswer, TlsRefused
from web3 import Web3


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def sn(tmp_path_factory: pytest.TempPathFactory, ca: Authority):
    """One SN for the tests that do not restart it."""
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as running:
        yield running


def member(sn: SnProcess, ca: Authority, name: str, *, role: str = "sl", **more):
    files = ca.node(sn.folder / "certs", name, uri=f"spiffe://test/site-b/{role}/{name}", **more.pop("cert", {}))
    return MemberClient(sn, files, **more)


@pytest.mark.row("D01")
@pytest.mark.row("U09a")
async def test_is_up_answers_any_certificate_of_the_swarm(sn, ca):
    """GET /is_up is 200 over mutual TLS before a node is a member."""
    async with member(sn, ca, "up-1") as node:
        assert await node.http.get("/is_up") == {"status": "UP"}


@pytest.mark.row("L01")
async def test_the_lines_that_scripts_wait_for(sn):
    """The original's lines appear in order, the last one once the API answers."""
    said = [line.split(" : ", 1)[1] for line in sn.log.splitlines()]
    wanted = [
        "swarm.blCnt : INFO : Setting up blockchain layer for the swarm node: START",
        "swarm.blCnt : INFO : Setting up blockchain layer for the swarm node: FINISHED",
        "swarm.blCnt : INFO : Started I-am-Alive thread",
        f"swarm.blCnt : INFO : {READY} {sn.port}",
    ]
    assert [line for line in said if line in wanted] == wanted


async def test_a_node_joins_once_and_uses_the_chain(sn, ca):
    """Both keys proved: admitted with its grant; again: no transaction; then the gateway answers it."""
    async with member(sn, ca, "sl-1") as node:
        with pytest.raises(BadAnswer, match="not_a_member"):
            await node.rpc("eth_chainId")
        first = await node.join()
        assert (first["admitted"], first["node"]) == (True, to_hex(node.signer.address))
        assert await node.join() == first
        swarm = await node.http.get("/v1/swarm")
        assert int((await node.rpc("eth_chainId"))["result"], 16) == swarm["chain_id"]
        balance = await node.rpc("eth_getBalance", to_hex(node.signer.address), "latest")
        assert int(balance["result"], 16) == 10**15
        rows = {row["node"]: row for row in await node.http.get("/v1/nodes")}
        row = rows[to_hex(node.signer.address)]
        assert (row["role"], row["status"], row["uri"]) == ("sl", "active", None)
        assert row["last_seen"] is not None
        assert (await node.http.get("/v1/status"))["up"]


async def test_a_new_certificate_is_bound_to_the_same_node(sn, ca):
    """Rotation: the same chain key with a new certificate key goes on, and the old one has its overlap."""
    async with member(sn, ca, "sl-rotates") as old:
        await old.join()
        key = old.signer._key
        async with member(sn, ca, "sl-rotates", key=key, cert={"ends": dt.timedelta(days=5)}) as new:
            answer = await new.join()
            assert answer["node"] == to_hex(old.signer.address)
            assert "result" in await new.rpc("eth_chainId")
            assert "result" in await old.rpc("eth_chainId")


@pytest.mark.row("D01")
async def test_what_is_refused_at_the_door(sn, ca, tmp_path):
    """A foreign CA and an expired certificate end at TLS, within seconds, with the field at fault."""
    stranger = Authority("another CA")
    foreign = stranger.node(tmp_path, "x", trusts=ca)
    expired = ca.node(tmp_path, "y")
    for files, field in ((foreign, "issuer"), (expired, "not_after")):
        async with asyncio.timeout(patience.seconds(10)), MemberClient(sn, files) as node:
            if files is expired:
                late = ca.node(tmp_path, "y", begins=-dt.timedelta(days=3), ends=-dt.timedelta(days=1))
                node.context.load_cert_chain(late.cert, late.key)
            with pytest.raises(TlsRefused, match=field):
                await node.http.get("/is_up")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"role": int(Role.SN)}, "role"),
        ({"spki": b"\x01" * 32}, "spki"),
        ({"node": b"\x01" * 20}, "signature"),
        ({"expires": 1}, "window"),
        ({"expires": 2**63}, "window"),
        ({"site": b"\x01" * 32}, "site"),
    ],
)
async def test_a_request_that_lies_is_refused_by_its_field(sn, ca, changed, code):
    """The answer is 403 with the field's code and one sentence."""
    async with member(sn, ca, f"sl-liar-{code}-{len(changed)}") as node:
        with pytest.raises(BadAnswer) as refused:
            await node.join(**changed)
        assert (refused.value.status, refused.value.code) == (403, code)
        assert refused.value.message.startswith(code if code != "window" else "expires")


async def test_a_replayed_request_is_refused(sn, ca):
    """The same signed request a second time is refused by its nonce; a fresh one is answered."""
    async with member(sn, ca, "sl-replay") as node:
        body = await node.request()
        assert (await node.http.post("/v1/join", body))["admitted"]
        with pytest.raises(BadAnswer, match="replay"):
            await node.http.post("/v1/join", body)
        assert (await node.join())["admitted"]


async def test_another_nodes_certificate_key_is_taken(sn, ca):
    """One certificate key belongs to one node: while that lives, a second chain key behind it is not let in."""
    async with member(sn, ca, "sl-first") as first:
        await first.join()
        first.signer = MemberClient(sn, first_files(sn)).signer
        await first.http.post("/v1/alive", Alive("training").to_json())
        with pytest.raises(BadAnswer, match="key_in_use") as refused:
            await first.join()
        assert refused.value.status == 503
        assert 0 < refused.value.wait <= SILENT_SECONDS


async def test_a_node_that_lost_its_folder_takes_its_own_place(sn, ca):
    """Same certificate, new chain key: the old one is revoked in the same block, and is nobody from then on."""
    async with member(sn, ca, "sl-loses") as node:
        first = await node.join()
        # The certificate alone says so, and a thief has that: it counts as a sign of life.
        await node.http.post("/v1/alive", Alive("stopped").to_json())
        node.signer = MemberClient(sn, first_files(sn)).signer
        with pytest.raises(BadAnswer, match="key_in_use") as refused:
            await node.join()
        assert refused.value.wait > SILENT_SECONDS / 2
        async with asyncio.timeout(patience.seconds(2 * SILENT_SECONDS)):
            second = None
            while second is None:
                with contextlib.suppress(BadAnswer):
                    second = await node.join()
                await asyncio.sleep(1.0)
        assert second["node"] == to_hex(node.signer.address) != first["node"]
        assert int((await node.rpc("eth_chainId"))["result"], 16)
        rows = {row["node"]: row for row in await node.http.get("/v1/nodes")}
        assert rows[first["node"]]["status"] == "revoked"
        assert rows[second["node"]]["status"] == "active"
        balance = await node.rpc("eth_getBalance", second["node"], "latest")
        assert int(balance["result"], 16) == 10**15
    assert f"{second['node']} takes the place of {first['node']}" in sn.log


def first_files(sn: SnProcess):
    return sn.files


@pytest.mark.row("D01")
async def test_wake_ups_arrive_for_each_block(sn, ca):
    """A member's WebSocket gets the present head and then one message a block; a stranger gets 403."""
    async with member(sn, ca, "sl-woken") as node, member(sn, ca, "sl-other") as other:
        with pytest.raises(BadAnswer, match="not_a_member"):
            await anext(aiter(other.http.websocket("/v1/events")))
        await node.join()
        stream = aiter(node.http.websocket("/v1/events"))
        async with asyncio.timeout(patience.seconds(10)):
            first = await anext(stream)
            joined = await other.join()
            second = await anext(stream)
        assert second["head"]["number"] == first["head"]["number"] + 1 == joined["block"]
        assert second["logs"] >= 1
        await stream.aclose()


@pytest.mark.row("D01")
async def test_nothing_else_is_served(sn, ca):
    """Unknown paths are 404 in the one shape of errors; the API's page and description are there, without scripts."""
    async with member(sn, ca, "sl-looks") as node:
        with pytest.raises(BadAnswer) as missing:
            await node.http.get("/metrics")
        assert missing.value.status == 404
        assert missing.value.code
        paths = set((await node.http.get("/openapi.json"))["paths"])
        assert paths == {
            "/is_up",
            "/v1/swarm",
            "/v1/join",
            "/v1/rpc",
            "/v1/nodes",
            "/v1/status",
            "/v1/alive",
            "/v1/logs",
            "/v1/chain",
            "/v1/chain/peers",
        }


@pytest.mark.row("D03")
async def test_the_contracts_of_a_swarm_are_those_that_are_published(sn, ca):
    """What the SN names runs the committed build, and a foreign tool reads it by nothing but the committed ABI."""
    async with member(sn, ca, "sl-reads") as node:
        await node.join()
        told = await node.http.get("/v1/swarm")
        contracts = {**told["contracts"], "Directory": told["directory"]}
        assert set(contracts) == set(CONTRACTS)
        for name, address in contracts.items():
            there = (await node.rpc("eth_getCode", address, "latest"))["result"]
            published = json.loads(resources.files("swarm.chain.abi").joinpath(f"{name}.json").read_text())
            assert len(there) == 2 + 2 * published["deployedBytes"]
            views = [one for one in published["abi"] if one.get("stateMutability") == "view" and not one["inputs"]]
            for view in views:
                asked = {"to": address, "data": Web3.keccak(text=f"{view['name']}()")[:4].to_0x_hex()}
                answer = (await node.rpc("eth_call", asked, "latest"))["result"]
                Web3().codec.decode([one["type"] for one in view["outputs"]], bytes.fromhex(answer[2:]))
            assert views or any(name in artifact(one).links for one in CONTRACTS), name


def test_the_operations_port_reads_and_never_writes(sn):
    """Health, status, metrics on loopback; JSON-RPC there takes no transactions."""

    def ask(path, call=None):
        body = None if call is None else json.dumps(call).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(sn.ops + path, body)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    assert ask("/healthz")[0] == 200
    assert b"swarm_node_info" in ask("/metrics")[1]
    assert json.loads(ask("/v1/status")[1])["swarm"]["chain"] == "embedded"
    read = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    write = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x02"]}
    assert b"result" in ask("/v1/rpc", read)[1]
    assert ask("/v1/rpc", write)[0] == 403
    assert ask("/v1/rpc", [read, write])[0] == 403


async def test_kill_9_loses_no_member(tmp_path, ca):
    """After kill -9 the same swarm comes back, members go on without joining, and the used nonce stays used."""
    with running_sn(tmp_path / "sn", ca) as sn:
        async with member(sn, ca, "sl-1") as node:
            before = await node.http.get("/v1/swarm")
            body = await node.request()
            await node.http.post("/v1/join", body)
            sn.kill()
            sn.start()
        async with member(sn, ca, "sl-1", key=node.signer._key) as again:
            assert await again.http.get("/v1/swarm") == before
        async with MemberClient(sn, node_files(sn, "sl-1"), key=node.signer._key) as again:
            again.own = again.context.own
            assert (await again.join())["admitted"]
            assert "result" in await again.rpc("eth_blockNumber")
            assert "nonce 0" not in sn.log
            with pytest.raises(BadAnswer, match=r"spki|replay"):
                await again.http.post("/v1/join", body)
        assert sn.stop() == 0


def node_files(sn: SnProcess, name: str):
    from swarm.net.tls import TlsFiles

    folder = sn.folder / "certs"
    return TlsFiles(folder / f"{name}.crt", folder / f"{name}.key", cacert=folder / f"{name}-ca.pem")


def die_at(sn: SnProcess, marker: str, by: signal.Signals = signal.SIGKILL) -> int:
    """Start an SN, send the signal when its log says ``marker``, and give its exit code."""
    path = sn.folder / "first.log"
    with path.open("wb") as out:
        first = subprocess.Popen(sn.command(), stdout=out, stderr=out, env=clean_environ())
        while marker not in path.read_text():
            assert first.poll() is None, path.read_text()
        first.send_signal(by)
        return first.wait(timeout=patience.seconds(30))


def swarm(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One run of the command line."""
    command = [sys.executable, "-m", "swarm.cli", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean_environ(**environ))


async def test_kill_9_during_the_first_start_still_gives_one_swarm(tmp_path, ca):
    """Killed at any moment of the deployment, the next start completes it; the Directory names what exists."""
    files = ca.node(tmp_path / "certs", "sn-1", uri="spiffe://test/site-a/sn/sn-1")
    for marker in ("Directory done", "Training done", "entry Membership done"):
        sn = SnProcess(tmp_path / marker.replace(" ", "-"), files)
        sn.folder.mkdir()
        die_at(sn, marker)
        try:
            sn.start()
            async with MemberClient(sn, ca.node(tmp_path / "certs", "sl", uri="spiffe://test/b/sl/sl")) as node:
                assert (await node.join())["admitted"]
        finally:
            sn.stop()


@pytest.mark.parametrize("marker", ["START", "Directory done", "FINISHED"])
def test_a_stop_during_the_start_is_clean(tmp_path, ca, marker):
    """SIGTERM before the API is open ends the process with 0, at once, without a trace; the next start works."""
    sn = SnProcess(tmp_path / "sn", ca.node(tmp_path / "certs", "sn-1"))
    sn.folder.mkdir()
    assert die_at(sn, marker, signal.SIGTERM) == 0
    assert "Traceback" not in (sn.folder / "first.log").read_text()
    sn.start()
    assert sn.stop() == 0


async def test_under_approve_an_operator_lets_nodes_in(tmp_path, ca):
    """202 until `swarm approve`, run by the SN's user, names the address; then the next request is admitted."""
    with running_sn(tmp_path / "sn", ca, "--admission", "approve") as sn:
        async with member(sn, ca, "sl-1") as node:
            address = to_hex(node.signer.address)
            assert (await node.join())["waiting"] == "approval"
            command = ["approve", "--state-dir", str(sn.state)]
            assert address in (await asyncio.to_thread(swarm, *command)).stdout
            assert (await asyncio.to_thread(swarm, *command, address)).returncode == 0
            assert (await node.join())["admitted"]
            assert address not in (await asyncio.to_thread(swarm, *command)).stdout
            # As after a crash between the admission and its note: the approval does not outlast the next request.
            assert (await asyncio.to_thread(swarm, *command, address)).returncode == 0
            assert (await node.join())["admitted"]
            assert not list((sn.state / "approvals" / "approved").iterdir())


def run_sn(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return swarm("sn", *argv, **environ)


def assert_one_line(done: subprocess.CompletedProcess[str], named: str) -> None:
    """Exit code 2, and on stderr nothing after the log but one line that names the fault."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("swarm: ")]
    assert len(told) == 1
    assert named in told[0]
    assert done.stderr.splitlines()[-1] == told[0]


@pytest.mark.row("U10a")
def test_operators_mistakes_are_one_line_and_exit_code_2(tmp_path, ca):
    """No certificate, unknown flag, bad variable, port taken, folder unusable, wrong key: one line, code 2."""
    files = ca.node(tmp_path, "sn-1")
    other = ca.node(tmp_path, "sn-2")
    good = ["--sentinel", "--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]
    good += ["--listen", "127.0.0.1", "--ops-port", "0"]
    state = ["--state-dir", str(tmp_path / "state")]
    assert_one_line(run_sn("--sentinel"), "no start without a certificate")
    assert_one_line(run_sn(*good, *state, "--frobnicate"), "--frobnicate")
    assert_one_line(run_sn(*good, *state, SN_API_SERVER_PORT="many"), "SN_API_SERVER_PORT=many")
    assert_one_line(run_sn(*good, *state, SN_API_SERVER_PROT="1"), "SN_API_SERVER_PORT")
    assert_one_line(run_sn(*good, *state, "--key", str(other.key)), "sn-2.key")
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert_one_line(run_sn(*good, "--state-dir", str(blocked / "state")), str(blocked))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line(run_sn(*good, *state, "--sn-api-port", port), port)


def test_rescue_after_is_fixed_at_the_first_start(tmp_path, ca):
    """The contract has the sentinel's figure; a later start may leave it out and may not give another."""
    with running_sn(tmp_path, ca, "--rescue-after", "24") as sn:
        about = json.load(urllib.request.urlopen(f"{sn.ops}/v1/status", timeout=10))["swarm"]
        call = {
            "to": about["contracts"]["Training"],
            "data": to_hex(artifact("Training").functions["rescueAfter"].encode([])),
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
        request = urllib.request.Request(f"{sn.ops}/v1/rpc", json.dumps(body).encode())
        assert int(json.load(urllib.request.urlopen(request, timeout=10))["result"], 16) == 24
        sn.stop()
        sn.more = []
        sn.start()
        sn.stop()
        done = subprocess.run(
            [*sn.command(), "--rescue-after", "25"], capture_output=True, text=True, timeout=60, env=clean_environ()
        )
        assert_one_line(done, "--rescue-after=25: this swarm was begun with 24 s, and that is final")
    assert_one_line(run_sn("--sentinel", "--rescue-after", "4"), "--rescue-after=4")


def test_one_state_folder_one_process(sn):
    """A second process on a folder in use is refused by name."""
    command = [c if c not in (str(sn.port), str(sn.ops_port)) else str(free_port()) for c in sn.command()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean_environ())
    assert_one_line(done, str(sn.state))


def test_ready_says_whether_the_node_works(sn):
    """`swarm ready sn` ends with 0 for a working SN and with 1 and a reason for a port where none is."""
    assert swarm("ready", "sn", "--ops", sn.ops).returncode == 0
    done = swarm("ready", "sn", "--ops", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "not ready" in done.stderr
