"""A chain at its bounds, read by the facades that nodes read with: 10,000 jobs, 1,000 seats in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from support.crowd import batcher, job_calls, names
from support.evm import Chain, deployed
from support.twin import FAR, Twin, refused
from swarm.chain.client import ChainClient
from swarm.chain.contract import Artifact, Signature
from swarm.chain.facade import GAS_SIMPLE
from swarm.chain.training import GAS_JOIN, GAS_PER_MEMBER, PAGE, Training
from swarm.core.chain_view import Phase, Role
from swarm.core.ids import DEFAULT_JOB, ZERO32, Address, Digest, job_id, sha256
from swarm.core.limits import MEMBERS_JOINED_MAX
from swarm.sn.gateway import CALL_GAS_MAX

JOB = job_id(DEFAULT_JOB)
OLD = Digest(sha256(b"genesis of the earlier chain"))
JOBS_MAX, SEATS_MAX = 10_000, 1_000
MOST = GAS_JOIN + GAS_PER_MEMBER * MEMBERS_JOINED_MAX


class Reader:
    """What a facade needs of a client, on a chain in memory; counts the questions."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.asked = chain, 0

    async def call(self, to: Address, function: Signature, arguments: Sequence[Any], *, block: Any) -> tuple[Any, ...]:
        self.asked += 1
        return function.decode_output(self.chain.evm.ask(to, function.encode(arguments)))


def facade(chain: Chain) -> tuple[Training, Reader]:
    reader = Reader(chain)
    return Training(cast(ChainClient, reader), chain.training.address), reader


@pytest.fixture
def chain() -> Chain:
    found = deployed()
    found.membership.send(found.admin, "admit", found.admin, sha256(found.admin), ZERO32, ZERO32, Role.SN, FAR)
    return found


def fill(chain: Chain, target: Address, size: int, calls: Sequence[bytes]) -> None:
    """Send these calls by a contract that may do what an admitter may."""
    code = batcher(target, size)
    batch = chain.evm.deploy(chain.admin, Artifact.from_json("Batch", [], code))
    chain.membership.send(chain.admin, "setAdmitter", batch.address, True)
    for call in calls:
        chain.evm.send(chain.admin, batch.address, call, what="Batch")


@pytest.mark.parametrize("count", [PAGE + 60, pytest.param(JOBS_MAX - 1, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
async def test_every_job_is_found_whatever_their_number(chain: Chain, count: int) -> None:
    """By name in one question, in a list by pages; the 10,001st is refused by name and takes nothing away."""
    fill(chain, chain.training.address, *job_calls(count, OLD))
    training, reader = facade(chain)
    wanted = [DEFAULT_JOB, *names(count)]
    assert list((await training.jobs()).values()) == wanted
    assert reader.asked == len(wanted) // PAGE + 1
    reader.asked = 0
    last = job_id(wanted[-1])
    assert await training.name_of(last) == wanted[-1]
    assert (await training.state(last)).phase is Phase.IDLE
    assert reader.asked == 2
    if count < JOBS_MAX - 1:
        return
    for function, arguments in (("createJob", ("one more",)), ("carryJob", ("one more", OLD, 1))):
        with refused("TrainingTooManyJobs", jobs=JOBS_MAX, jobsMax=JOBS_MAX):
            chain.training.send(chain.admin, function, *arguments)
    assert await training.name_of(job_id("one more")) == ""


async def test_joiners_beyond_a_page_are_read_whole_by_the_facade() -> None:
    """A run with 120 of them, half of whom have left: two pages. (Slow: all 1,000 seats.)"""
    twin = Twin(PAGE + 20)
    for node in twin.nodes:
        twin.join(node, MEMBERS_JOINED_MAX)
    for node in twin.nodes[::2]:
        twin.leave(node)
    training, reader = facade(twin.chain)
    assert await training.joiners_of(JOB) == twin.joiners()
    assert reader.asked == 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_run_with_all_its_seats_taken_still_joins_leaves_and_reads() -> None:
    """Gas at the worst places of the lists, pages of the view; the 1,001st is refused, one that left may return."""
    twin = Twin(SEATS_MAX + 1)
    first, anchor, *others = twin.nodes
    twin.join(anchor)
    while others:
        # Who is joined and silent is dropped by a reform, all at once: leaving one by one would take hours here.
        # The highest addresses first: each later reform then moves all that stand in the list of those gone.
        now, others = others[1 - MEMBERS_JOINED_MAX :], others[: 1 - MEMBERS_JOINED_MAX]
        for node in now:
            twin.join(node)
            assert twin.gas < MOST / 2
        twin.round(items=[anchor])
        call_id = twin.call(anchor)
        assert twin.gas < GAS_SIMPLE / 2
        twin.here(anchor, call_id)
        assert twin.gas < GAS_SIMPLE / 2
        twin.evm.skip(10, 121)
        twin.settle(call_id)
        assert twin.gas < MOST
    training, reader = facade(twin.chain)
    joiners = await training.joiners_of(JOB)
    assert joiners == twin.joiners()
    assert (len(joiners), sum(j.joined for j in joiners)) == (SEATS_MAX, 1)
    assert reader.asked == SEATS_MAX // PAGE + 1
    with refused("TrainingFull", joined=SEATS_MAX, max=SEATS_MAX):
        twin.join(first)
    lowest = twin.nodes[2]
    twin.join(lowest)
    assert twin.gas < MOST / 2
    twin.leave(lowest)
    assert twin.gas < MOST / 2
    page = twin.chain.training.built.functions["joinersOf"].encode([JOB, SEATS_MAX - PAGE, PAGE])
    assert twin.evm.call_gas(twin.chain.training.address, page) < CALL_GAS_MAX / 4
