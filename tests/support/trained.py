"""Two members that really commit two rounds through an SN: a complete run without an SL."""

from __future__ import annotations

from eth_account import Account
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.rpc import unwrap
from swarm.chain.training import Training
from swarm.core.checkinflags import FLAG_DONE
from swarm.core.ids import DEFAULT_JOB, Address, from_hex, job_id

from .certs import Authority
from .rounds import certified
from .snprocess import MemberClient, SnProcess

JOB = job_id(DEFAULT_JOB)


async def training_of(node: MemberClient) -> Training:
    """The node's own facade, its transactions signed here and sent through the gateway."""

    async def rpc(method, params):
        return unwrap(await node.rpc(method, *params), method)

    found = await node.http.get("/v1/swarm")
    account = Account.from_key(node.signer._key)
    client = ChainClient(rpc, account, MemoryOutbox(), chain_id=found["chain_id"])
    return Training(client, Address(from_hex(found["contracts"]["Training"], 20)))


async def run_two_rounds(sn: SnProcess, ca: Authority) -> list[MemberClient]:
    """Two members, two rounds, the second done by both; returns the members."""
    nodes = []
    for name in ("sl-1", "sl-2"):
        files = ca.node(sn.folder / "certs", name, uri=f"spiffe://test/site-b/sl/{name}")
        nodes.append(MemberClient(sn, files))
        await nodes[-1].join()
    facades = [await training_of(node) for node in nodes]
    for node, facade in zip(nodes, facades, strict=True):
        await facade.join(JOB, f"https://{node.own.common_name}:30305", 2)
    signers = [node.signer for node in nodes]
    for flags in (0, FLAG_DONE):
        state, roster = await facades[0].state(JOB), await facades[0].roster_of(JOB)
        bundle = certified(state.round_name(JOB), roster, signers, facades[0].domain, flags=flags)
        await facades[0].commit([bundle])
    await facades[1].close(JOB, (await facades[0].state(JOB)).run, 250_000, 900_000)
    for node in nodes:
        await node.http.aclose()
    return nodes
