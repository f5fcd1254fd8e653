"""An SN whose chain holds thousands of jobs: it starts, an SL starts and trains, an operator reads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support import warm
from support.crowd import batcher, job_calls, names
from support.lab import lab
from support.snprocess import SnProcess, clean_environ
from swarm.chain.client import GAS_MAX, Call, ChainClient, MemoryOutbox
from swarm.chain.deploy import attach
from swarm.chain.embedded import EmbeddedChain
from swarm.chain.rpc import embedded_rpc
from swarm.core.ids import DEFAULT_JOB, Address, Digest, address, sha256
from swarm.sn.contracts import DIRECTORY_KEY
from swarm.store.journal import Journal
from swarm.store.keystore import load_or_create

pytestmark = pytest.mark.timeout(900)
GAS_DEPLOY = 1_000_000


def fill(sn: SnProcess, count: int) -> None:
    """Make so many jobs on the chain of an SN that does not run, with its own key."""
    with Journal(sn.state / "journal.db") as journal:
        found = journal.get(DIRECTORY_KEY)
    assert found is not None
    directory = address(found.decode())

    async def act() -> None:
        chain = EmbeddedChain.open(sn.state / "chain")
        rpc = embedded_rpc(chain)
        try:
            client = ChainClient(rpc, load_or_create(sn.state / "key", None), MemoryOutbox(), chain_id=chain.chain_id)
            swarm = await attach(client, directory)
            size, calls = job_calls(count, Digest(sha256(b"genesis of the earlier chain")))
            made = await client.submit(Call(None, batcher(swarm.training.address, size), GAS_DEPLOY, "batch"))
            batch = made.contract
            assert isinstance(batch, bytes)
            await swarm.membership.set_admitter(Address(batch), True)
            for call in calls:
                await client.submit(Call(Address(batch), call, GAS_MAX, "jobs"))
            await swarm.membership.set_admitter(Address(batch), False)
        finally:
            await rpc.aclose()
            chain.close()

    asyncio.run(act())


@pytest.mark.parametrize("count", [130, pytest.param(3_000, marks=pytest.mark.slow)])
def test_an_sl_starts_and_trains_whatever_the_number_of_jobs(tmp_path: Path, count: int) -> None:
    """Two pages of them, and 3,000, at which no SL started any more: its SN and it look up their own job only."""
    with lab(tmp_path) as swarm:
        swarm.sn.stop()
        fill(swarm.sn, count)
        swarm.sn.start()
        site = swarm.add_site().start_sl()
        site.start_ml(MIN_PEERS=1, BATCHES=4)
        assert swarm.run(seconds=300, sites=[site]) == [(0, 0)]
        done = warm.run(["status", "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=300)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (len(found["jobs"]), found["jobs_more"]) == (100, count + 1 - 100)
        assert found["jobs"][DEFAULT_JOB]["phase"] == "complete"
        assert list(names(count))[-1] in found["jobs"]
        last = list(names(count))[-1]
        done = warm.run(["history", last, "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=150)
        assert [row["state"] for row in json.loads(done.stdout)] == ["idle"], done.stderr
