"""Attacks on the SN by a member that passed every door, and by a stranger with a valid certificate.

One idea a test. Verdict of all: refused with an answer, the SN goes on serving others.
"""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from eth_account import Account
from support import patience
from support.certs import Authority
from support.snprocess import MemberClient, running_sn
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.membership import Membership
from swarm.chain.rpc import unwrap
from swarm.core.chain_view import Role
from swarm.core.errors import Reverted
from swarm.core.ids import ZERO32, Address, from_hex, to_hex
from swarm.net.faults import BadAnswer, Cut
from swarm.sn.heads import LISTENERS_PEER_MAX
from swarm.sn.relay import RATE_BURST

BAD_METHODS = [
    *("admin_peers", "admin_addPeer", "debug_traceCall", "debug_setHead", "debug_dumpBlock"),
    *("personal_unlockAccount", "personal_listAccounts", "personal_sendTransaction", "miner_start", "miner_stop"),
    *("clique_propose", "txpool_content", "engine_newPayloadV1", "eth_sendTransaction", "eth_sign", "eth_accounts"),
    *("eth_signTransaction", "eth_coinbase", "eth_mining", "eth_subscribe", "eth_newFilter", "rpc_modules"),
]


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def sn(tmp_path_factory: pytest.TempPathFactory, ca: Authority):
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as running:
        yield running


def new_node(sn, ca, name: str) -> MemberClient:
    return MemberClient(sn, ca.node(sn.folder / "certs", name, uri=f"spiffe://test/site-x/sl/{name}"))


def client_of(node: MemberClient, chain_id: int) -> ChainClient:
    async def rpc(method, params):
        return unwrap(await node.rpc(method, *params), method)

    return ChainClient(rpc, Account.from_key(node.signer._key), MemoryOutbox(), chain_id=chain_id)


async def raw_rpc(node: MemberClient, body: bytes):
    """POST any bytes to /v1/rpc; the answer's JSON."""
    host, port = node.http.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=node.context)
    writer.write(
        b"POST /v1/rpc HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def membership_of(node: MemberClient) -> Membership:
    found = await node.http.get("/v1/swarm")
    address = Address(from_hex(found["contracts"]["Membership"], 20))
    return Membership(client_of(node, found["chain_id"]), address)


async def test_no_door_to_the_nodes_inside(sn, ca):
    """admin, debug, personal, miner, clique, engine: -32601, alone, in a batch, and in other spellings."""
    async with new_node(sn, ca, "m-1") as node:
        await node.join()
        calls = [{"jsonrpc": "2.0", "id": n, "method": m, "params": []} for n, m in enumerate(BAD_METHODS)]
        for call in calls[:3]:
            assert (await node.http.post("/v1/rpc", call))["error"]["code"] == -32601
        answers = await node.http.post("/v1/rpc", calls)
        assert [a["error"]["code"] for a in answers] == [-32601] * len(calls)
        hidden = [{"jsonrpc": "2.0", "id": 1, "method": m} for m in ("ADMIN_peers", "eth_call\u0000", " eth_accounts")]
        assert {a["error"]["code"] for a in await node.http.post("/v1/rpc", hidden)} == {-32601}


async def test_batches_and_bodies_have_bounds(sn, ca):
    """51 calls, a batch in a batch, an endless nest, 5 MB: an error each, no stall, the next call is served."""
    async with new_node(sn, ca, "m-2") as node:
        await node.join()
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        assert (await node.http.post("/v1/rpc", [call] * 51))["error"]["code"] == -32600
        assert len(await node.http.post("/v1/rpc", [call] * 50)) == 50
        assert (await node.http.post("/v1/rpc", [[call] * 50]))[0]["error"]["code"] == -32600
        deep: list[object] = []
        for _ in range(500):
            deep = [deep]
        assert (await node.http.post("/v1/rpc", {**call, "params": deep}))["error"]["code"] == -32602
        # The listener's own client cannot say this: raw bytes, deep enough to end a reader without a bound.
        assert (await raw_rpc(node, b"[" * 1_000_000))["error"]["code"] == -32600
        # The server answers 413 and closes; a client that is still writing may see only that it closed.
        with pytest.raises((BadAnswer, Cut), match=r"413|ended"):
            await node.http.post("/v1/rpc", {**call, "params": ["x" * 5_000_000]})
        assert "result" in await node.rpc("eth_chainId")


async def test_a_stranger_with_a_good_certificate_gets_three_resources(sn, ca):
    """Before joining: /is_up, /v1/swarm, /v1/join; everything else is one answer, and eth_sendRawTransaction too."""
    async with new_node(sn, ca, "stranger") as node:
        await node.http.get("/is_up")
        await node.http.get("/v1/swarm")
        for path in ("/v1/nodes", "/v1/status"):
            with pytest.raises(BadAnswer, match="not_a_member"):
                await node.http.get(path)
        with pytest.raises(BadAnswer, match="not_a_member"):
            await node.rpc("eth_sendRawTransaction", "0x02")


async def test_a_member_cannot_run_code_of_its_own(sn, ca):
    """No contract is created and none but the swarm's is called, by calls or transactions: no endless loops."""
    async with new_node(sn, ca, "m-3") as node:
        await node.join()
        chain_id = (await node.http.get("/v1/swarm"))["chain_id"]
        account = Account.from_key(node.signer._key)
        loop = "0x5b600056"
        common = {"nonce": 0, "gas": 60_000_000, "maxFeePerGas": 10, "maxPriorityFeePerGas": 1, "value": 0}
        for target in ({"to": None}, {"to": "0x" + "77" * 20}):
            fields = {**common, "chainId": chain_id, "data": loop, "type": 2, **target}
            if target["to"] is None:
                del fields["to"]
            raw = account.sign_transaction(fields).raw_transaction
            assert (await node.rpc("eth_sendRawTransaction", to_hex(bytes(raw))))["error"]["code"] in (-32602, -32003)
        legacy = account.sign_transaction({"nonce": 0, "gas": 10**7, "gasPrice": 10, "data": loop, "chainId": chain_id})
        raw = to_hex(bytes(legacy.raw_transaction))
        assert (await node.rpc("eth_sendRawTransaction", raw))["error"]["code"] == -32602
        assert (await node.rpc("eth_call", {"to": "0x" + "77" * 20, "data": "0x"}))["error"]["code"] == -32003
        assert (await node.rpc("eth_call", {"to": None, "data": loop}))["error"]["code"] == -32602
        for junk in ("0x", "0x02", "0x02c0", "0x02" + "ff" * 100, "0x02f86b"):
            assert "error" in await node.rpc("eth_sendRawTransaction", junk)


async def test_a_member_cannot_make_members(sn, ca):
    """admit, suspend, extend and rebind by a member revert: only the sentinel's key admits."""
    async with new_node(sn, ca, "m-4") as node:
        await node.join()
        membership = await membership_of(node)
        with pytest.raises(Reverted, match="MembershipNotAdmitter"):
            await membership.admit(
                Address(b"\x01" * 20),
                spki=b"\x02" * 32,
                spiffe=ZERO32,
                site=ZERO32,
                role=Role.SN,
                expires=2**40,
                grant=0,
            )
        with pytest.raises(Reverted, match="MembershipNotAdmitter"):
            await membership.extend(node.signer.address, 2**40)


async def test_a_revoked_member_is_out_with_the_next_block(sn, ca):
    """From the block of its revocation on: no calls, its stream of heads ends, and it cannot let itself in again."""
    async with new_node(sn, ca, "m-5") as node:
        await node.join()
        stream = aiter(node.http.websocket("/v1/events"))
        await anext(stream)
        membership = await membership_of(node)
        # Its own last transaction: the receipt is refused to it, being no member any more.
        with pytest.raises(BadAnswer, match="not_a_member"):
            await membership.revoke(node.signer.address)
    async with new_node(sn, ca, "m-6") as other:
        await other.join()
        found = await (await membership_of(other)).member(node.signer.address)
        assert found.status.name == "REVOKED"

    async def until_it_ends() -> None:
        async for _ in stream:
            continue

    with pytest.raises(Cut, match="not an active member"):
        await asyncio.wait_for(until_it_ends(), 10)


async def test_one_busy_member_does_not_starve_another(sn, ca):
    """A member that asks without end meets 429; another one is answered quickly meanwhile."""
    async with new_node(sn, ca, "m-7") as busy, new_node(sn, ca, "m-8") as calm:
        await busy.join()
        await calm.join()
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        refused = 0

        async def flood():
            nonlocal refused
            for _ in range(int(RATE_BURST / 50) + 40):
                try:
                    await busy.http.post("/v1/rpc", [call] * 50)
                except BadAnswer as error:
                    assert error.status == 429  # noqa: PT017 - any other status must end the flood
                    refused += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(flood())
            for _ in range(10):
                begun = time.monotonic()
                await calm.rpc("eth_blockNumber")
                assert time.monotonic() - begun < patience.seconds(3.0)
        assert refused > 0


async def test_one_member_cannot_take_all_streams(sn, ca):
    """Beyond its own bound a member's next stream is refused with 503."""
    async with new_node(sn, ca, "m-9") as node:
        await node.join()
        streams = [aiter(node.http.websocket("/v1/events")) for _ in range(LISTENERS_PEER_MAX)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(BadAnswer) as refused:
            await anext(aiter(node.http.websocket("/v1/events")))
        assert refused.value.status == 503
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"join": {}, "signature": "0x"},
        {"join": [], "signature": 7},
        [],
        "join",
        {"join": {}, "signature": "0x" + "00" * 64, "more": 1},
    ],
)
async def test_a_malformed_join_is_422(sn, ca, body):
    """Anything but the exact shape is refused before the chain is asked."""
    async with new_node(sn, ca, f"j-{abs(hash(json.dumps(body)))}") as node:
        with pytest.raises(BadAnswer) as refused:
            await node.http.post("/v1/join", body)
        assert (refused.value.status, refused.value.code) == (422, "bad_request")


async def test_a_flood_of_joins_is_bounded(sn, ca):
    """A certificate holder that asks to join without end is slowed down by name."""
    async with new_node(sn, ca, "j-flood") as node:
        statuses = []
        for _ in range(15):
            try:
                await node.http.post("/v1/join", {})
            except BadAnswer as error:
                statuses.append(error.status)
        assert statuses[0] == 422
        assert statuses[-1] == 429
