"""The chain that version 1 made, carried into one of today: all of it, once, and nothing of its own changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.chains import Embedded, address_of, new_account, running
from support.oldchain import DIRECTORY, HOLDS, old_state_folder
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.deploy import Deployed, attach, deploy
from swarm.chain.embedded import EmbeddedChain
from swarm.chain.exporting import read_swarm
from swarm.chain.importing import carry_over
from swarm.chain.rpc import embedded_rpc
from swarm.core.chain_view import Member, Merged, Phase, Role, Status
from swarm.core.errors import ChainFault, OperatorFault
from swarm.core.exported import Export, from_text, to_text
from swarm.core.ids import DEFAULT_JOB, ZERO32, Address, BlobId, from_hex, job_id, sha256, to_hex
from swarm.sl.origin import find_origin

DEFAULT, LUNGS = job_id(DEFAULT_JOB), job_id("lungs")
FAR = 2**40


async def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Through the text, as the other side gets it."""
    folder = old_state_folder(tmp_path_factory.mktemp("old"))
    notes: list[str] = []

    async def read() -> Export:
        chain = EmbeddedChain.open(folder / "chain")
        rpc = embedded_rpc(chain)
        try:
            return await read_swarm(rpc, DIRECTORY, notes)
        finally:
            await rpc.aclose()
            chain.close()

    found = asyncio.run(read())
    assert sum("goes on at block" in note for note in notes) == len(notes) == 2
    return from_text(to_text(found).encode(), "F")


@dataclass
class New:
    """A new swarm whose sentinel is a member."""

    live: Embedded
    swarm: Deployed

    async def blocks(self) -> int:
        return await self.swarm.training.client.block_number()


@pytest.fixture
async def new(tmp_path: Path) -> AsyncIterator[New]:
    async with running("embedded", tmp_path) as live:
        swarm = await deploy(live.client())
        await enrol(swarm, swarm.membership.client.address, Role.SN, b"sentinel")
        yield New(live, swarm)


async def enrol(swarm: Deployed, node: Address, role: Role, key: bytes) -> None:
    await swarm.membership.admit(
        node, spki=sha256(key), spiffe=ZERO32, site=sha256(b"site"), role=role, expires=FAR, grant=10**15
    )


def test_the_export_holds_what_those_saw_who_made_the_chain(export: Export) -> None:
    """Members with role, status and key; jobs with options; each run's rounds by hash; what comes next."""
    assert export.contracts == 1
    assert to_hex(export.genesis) == HOLDS["genesis"]
    members = {to_hex(node): m for node, m in export.members.items()}
    assert members.keys() == HOLDS["members"].keys()
    for node, said in HOLDS["members"].items():
        m = members[node]
        shown = (m.role.name, m.status.name, to_hex(m.spki), to_hex(m.spiffe), to_hex(m.site), m.expires)
        assert shown == tuple(said[k] for k in ("role", "status", "spki", "spiffe", "site", "expires"))
    jobs = {job.name: job for job in export.jobs}
    assert jobs.keys() == HOLDS["jobs"].keys()
    for name, said in HOLDS["jobs"].items():
        job = jobs[name]
        assert (job.run, job.options) == (said["run"] + 1, said["options"])
        merged = {f"{r.run}/{n}": to_hex(m.blob) for r in job.runs for n, m in enumerate(r.rounds)}
        assert merged == said["merged"]
    assert [r.phase for r in jobs[DEFAULT_JOB].runs] == [Phase.COMPLETE, Phase.OPEN]


async def test_a_node_of_this_version_names_the_command_for_an_older_chain(tmp_path: Path) -> None:
    """It does not start there; the sentence says both versions and what carries the chain on."""
    folder = old_state_folder(tmp_path / "old")
    chain = EmbeddedChain.open(folder / "chain")
    rpc = embedded_rpc(chain)
    client = ChainClient(rpc, new_account(), MemoryOutbox(), chain_id=HOLDS["chain_id"])
    with pytest.raises(OperatorFault, match=r"version 1, and this program works with version 6: .*swarm chain export"):
        await attach(client, DIRECTORY)
    await rpc.aclose()
    chain.close()


async def test_the_chain_of_version_1_is_carried_over(export: Export, new: New) -> None:
    """Everything stands in the new chain, jobs go on with their next run, an earlier final model can be begun from."""
    notes = await carry_over(new.swarm, export, quiet)
    assert len(notes) == 1  # the options of its job are of version 1's form
    assert "stop rule: unknown field bound" in notes[0]
    here = await new.swarm.membership.members()
    for node, member in export.members.items():
        assert replace(here[node], since=0, changed_block=0) == member
        balance = int(await new.live.rpc("eth_getBalance", [to_hex(node), "latest"]), 16)
        assert balance == (0 if member.status is Status.REVOKED else 10**15)
    training = new.swarm.training
    assert [(await training.state(job)).run for job in (DEFAULT, LUNGS)] == [3, 2]
    assert [(await training.state(job)).phase for job in (DEFAULT, LUNGS)] == [Phase.IDLE, Phase.IDLE]
    assert await new.swarm.options.get(DEFAULT) == (HOLDS["jobs"][DEFAULT_JOB]["options"], 1)
    final = BlobId(from_hex(HOLDS["jobs"][DEFAULT_JOB]["merged"]["1/2"], 32))
    origin = await find_origin(training, DEFAULT, 1)
    assert (origin.blob, origin.size, origin.fault) == (final, 1000, "")
    assert "it is open, not complete" in (await find_origin(training, DEFAULT, 2)).fault


async def test_members_whose_heirs_have_their_keys_are_carried_over(export: Export, new: New) -> None:
    """Each stays revoked without a key, also where this chain has such members; a second import is nothing."""
    lost = Member(Role.SL, Status.REVOKED, ZERO32, ZERO32, sha256(b"site"), FAR, 0, 0)
    gone = {Address(bytes([n]) * 20): lost for n in (1, 2, 3)}
    first, *rest = gone
    await new.swarm.membership.restore(first, lost, 0)
    given = from_text(to_text(replace(export, members={**export.members, **gone})).encode(), "F")
    assert len(await carry_over(new.swarm, given, quiet)) == 1
    here = await new.swarm.membership.members()
    assert {node: replace(here[node], since=0, changed_block=0) for node in rest} == dict.fromkeys(rest, lost)
    before = await new.blocks()
    await carry_over(new.swarm, given, quiet)
    assert await new.blocks() == before


async def test_a_second_import_changes_nothing_also_after_the_swarm_went_on(export: Export, new: New) -> None:
    """Not a block; and what operators changed since stays as they want it: options, a member, further runs."""
    await carry_over(new.swarm, export, quiet)
    before = await new.blocks()
    await carry_over(new.swarm, export, quiet)
    assert await new.blocks() == before
    suspended = next(node for node, m in export.members.items() if m.status is Status.SUSPENDED)
    await new.swarm.membership.resume(suspended)
    await new.swarm.options.set(DEFAULT, "{}")
    account = new_account()
    await enrol(new.swarm, address_of(account), Role.SL, b"newcomer")
    await attach_as(new, account).training.join(LUNGS, "https://h:1", 1)
    await new.swarm.training.reset(LUNGS, True)
    before = await new.blocks()
    notes = await carry_over(new.swarm, export, quiet)
    assert await new.blocks() == before
    assert any("is active in this chain, and stays so" in note for note in notes)
    assert any("options of job defaultbb.cqdb.sml.hpe are {} in this chain" in note for note in notes)


def attach_as(new: New, account: object) -> Deployed:
    return Deployed.at(new.live.client(account), new.swarm.addresses)  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [1, 8, 11, 13])
async def test_an_import_that_was_interrupted_goes_on(export: Export, new: New, after: int) -> None:
    """Whatever number of transactions was mined: the rest follows, and it ends as if nothing had happened."""
    left = after

    async def cut(method: str, params: list[object]) -> object:
        nonlocal left
        if method == "eth_sendRawTransaction":
            left -= 1
            if left < 0:
                raise OperatorFault("cut")
        return await new.live.rpc(method, params)

    client = ChainClient(cut, new.live.funder, MemoryOutbox(), chain_id=new.live.client().chain_id)
    with pytest.raises(OperatorFault, match="cut"):
        await carry_over(Deployed.at(client, new.swarm.addresses), export, quiet)
    start = await new.blocks()
    await carry_over(new.swarm, export, quiet)
    assert await new.blocks() > start
    found = await read_swarm(new.live.rpc, new.swarm.directory.address, [])
    assert {j.name: j for j in found.jobs} == {j.name: j for j in export.jobs}
    assert export.members.items() <= dict(found.members).items()


async def test_a_chain_with_other_jobs_of_these_names_is_refused_before_anything_is_written(
    export: Export, new: New
) -> None:
    """Made by an operator, or the default job once it is used: named, with its run; no member comes in either."""
    await new.swarm.training.create_job("lungs")
    before = await new.blocks()
    with pytest.raises(OperatorFault, match=r"has a job lungs of its own \(run 1, idle\).*import into a new chain"):
        await carry_over(new.swarm, export, quiet)
    assert await new.blocks() == before
    account = new_account()
    await enrol(new.swarm, address_of(account), Role.SL, b"newcomer")
    await attach_as(new, account).training.join(DEFAULT, "https://h:1", 2)
    only = replace(export, jobs=tuple(j for j in export.jobs if j.name == DEFAULT_JOB))
    with pytest.raises(OperatorFault, match=r"job defaultbb.cqdb.sml.hpe of its own \(run 1, open\)"):
        await carry_over(new.swarm, only, quiet)


async def test_what_was_carried_does_not_become_another_history(export: Export, new: New) -> None:
    """A file of another chain, or one that says other rounds, is refused and changes nothing."""
    await carry_over(new.swarm, export, quiet)
    before = await new.blocks()
    with pytest.raises(OperatorFault, match="from another one"):
        await carry_over(new.swarm, replace(export, genesis=sha256(b"another")), quiet)
    first = export.jobs[0]
    run = first.runs[0]
    for other in (
        replace(run, rounds=(*run.rounds[:-1], Merged(BlobId(sha256(b"forged")), 1000))),
        replace(run, phase=Phase.FAILED),
        replace(run, members=run.members[:-1], contributors=frozenset(run.members[:-1])),
    ):
        spoilt = replace(export, jobs=(replace(first, runs=(other, *first.runs[1:])), *export.jobs[1:]))
        with pytest.raises(OperatorFault, match=f"run 1 of job {first.name} stands in this chain otherwise"):
            await carry_over(new.swarm, spoilt, quiet)
    assert await new.blocks() == before


async def test_who_came_in_anew_keeps_its_place_and_is_named(export: Export, new: New) -> None:
    """The same certificate key under another address, or a revoked node that is active here: said, not overwritten."""
    active = next(node for node, m in export.members.items() if m.role is Role.SL and m.status is Status.ACTIVE)
    revoked = next(node for node, m in export.members.items() if m.status is Status.REVOKED)
    m = export.members[active]
    another = address_of(new_account())
    await new.swarm.membership.admit(
        another, spki=m.spki, spiffe=m.spiffe, site=m.site, role=m.role, expires=FAR, grant=0
    )
    await enrol(new.swarm, revoked, Role.SL, b"back")
    notes = await carry_over(new.swarm, export, quiet)
    assert any(f"{to_hex(another)} came in with the same certificate key" in note for note in notes)
    assert any(to_hex(revoked) in note and "is active in this chain" in note for note in notes)
    assert active not in await new.swarm.membership.members()


async def test_only_who_may_admit_imports_and_not_into_the_same_chain(export: Export, new: New) -> None:
    """Said at once; nothing is tried."""
    account = new_account()
    await enrol(new.swarm, address_of(account), Role.SN, b"another sn")
    with pytest.raises(OperatorFault, match="may not admit"):
        await carry_over(attach_as(new, account), export, quiet)
    own = from_hex((await new.live.rpc("eth_getBlockByNumber", ["0x0", False]))["hash"], 32)
    with pytest.raises(OperatorFault, match="of this very chain"):
        await carry_over(new.swarm, replace(export, genesis=own), quiet)


async def test_rounds_beyond_a_transaction_and_a_chain_carried_twice(export: Export, new: New, tmp_path: Path) -> None:
    """A run of 450 rounds crosses the pages; carried on once more, runs still name the chain that they were on."""
    job = export.jobs[0]
    rounds = tuple(Merged(BlobId(sha256(b"%d" % n)), n) for n in range(450))
    long = replace(job, name="long", run=2, runs=(replace(job.runs[0], rounds=rounds),), options="")
    await carry_over(new.swarm, replace(export, jobs=(*export.jobs, long)), quiet)
    assert await new.swarm.training.last_round(job_id("long"), 1) == (449, rounds[-1])
    once = await read_swarm(new.live.rpc, new.swarm.directory.address, [])
    async with running("embedded", tmp_path / "third") as live:
        third = await deploy(live.client())
        await enrol(third, third.membership.client.address, Role.SN, b"third sentinel")
        await carry_over(third, from_text(to_text(once).encode(), "F"), quiet)
        twice = await read_swarm(live.rpc, third.directory.address, [])
    assert {j.name: j.runs for j in twice.jobs} == {j.name: j.runs for j in once.jobs}
    assert {r.chain for j in twice.jobs for r in j.runs} == {export.genesis}


async def test_an_export_of_a_chain_that_goes_on_meanwhile_is_taken_again(export: Export, new: New) -> None:
    """A run that begins between the events and the state is no half of a run in the file."""
    account = new_account()
    await enrol(new.swarm, address_of(account), Role.SL, b"newcomer")
    training = attach_as(new, account).training
    asked = 0

    async def moving(method: str, params: list[object]) -> object:
        nonlocal asked
        found = await new.live.rpc(method, params)
        if method == "eth_getLogs" and not asked:
            asked = 1
            await training.join(DEFAULT, "https://h:1", 1)
        return found

    with pytest.raises(ChainFault, match="export again"):
        await read_swarm(moving, new.swarm.directory.address, [])
