"""What an export leaves out, by itself or as asked, so that no member's job keeps the others from moving on."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest
from support.chains import address_of, new_account, running
from support.oldchain import DIRECTORY, old_state_folder
from swarm.chain.deploy import Deployed, deploy
from swarm.chain.embedded import EmbeddedChain
from swarm.chain.exporting import read_swarm
from swarm.chain.rpc import embedded_rpc
from swarm.cli import main
from swarm.core import exported
from swarm.core.chain_view import Role
from swarm.core.errors import OperatorFault
from swarm.core.exported import Export, from_text, to_text
from swarm.core.ids import DEFAULT_JOB, ROOT_TASK, ZERO32, Address, job_id, sha256
from swarm.core.statements import Signature
from swarm.core.taskstatements import header_hash, item_hash, root_of, task_id
from swarm.core.taskview import TaskBody, TaskHeader, TaskType
from swarm.inspect.export import export_to, write_new


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_state_folder(tmp_path_factory.mktemp("old")) / "chain"


def read(folder: Path, *without: str) -> tuple[Export, list[str]]:
    notes: list[str] = []

    async def act() -> Export:
        chain = EmbeddedChain.open(folder)
        rpc = embedded_rpc(chain)
        try:
            return await read_swarm(rpc, DIRECTORY, notes, without)
        finally:
            await rpc.aclose()
            chain.close()

    return asyncio.run(act()), notes


@pytest.mark.parametrize(
    ("bound", "most", "said"),
    [
        ("RUNS_MAX", 1, "run: expected a whole number from 1 to 2, found 3"),
        ("RUN_ROUNDS_MAX", 2, r"runs[0].rounds: expected a list of at most 2, found 3"),
    ],
)
def test_attack_a_job_beyond_what_an_import_takes_is_left_out(
    chain: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, said: str
) -> None:
    """A member that resets its own job 10,001 times made the whole export one that no import takes."""
    monkeypatch.setattr(exported, bound, most)
    found, notes = read(chain)
    assert f"job {DEFAULT_JOB} is left out since no import takes it, {said}" in notes
    assert [job.name for job in from_text(to_text(found).encode(), "F").jobs] == ["lungs"]
    assert not any("goes on" in note and DEFAULT_JOB in note for note in notes)


def test_jobs_that_are_not_wanted_are_left_out(chain: Path, tmp_path: Path) -> None:
    """Named in the notes; a name that is nobody's is refused."""
    found, notes = read(chain, "lungs")
    assert "job lungs is left out, as --without says" in notes
    assert [job.name for job in found.jobs] == [DEFAULT_JOB]
    assert read(chain, "lungs", DEFAULT_JOB)[0].jobs == ()
    file, state = tmp_path / "swarm.json", str(chain.parent)
    with pytest.raises(SystemExit) as ended:
        main(["chain", "export", str(file), "--state-dir", state, "--without", "lungs", "--without", DEFAULT_JOB])
    assert not ended.value.code
    assert from_text(file.read_bytes(), "F").jobs == ()
    for name, said in (("lung", "no job is called that"), ("", "a job name has 1 to 160"), ("\x1b[2J", r"\?\[2J: no")):
        with pytest.raises(OperatorFault, match=f"--without .*{said}"):
            read(chain, name)


def test_too_large_an_export_names_what_could_be_left_out_and_leaves_no_file(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file stood in the way of the next export."""
    file = tmp_path / "swarm.json"
    monkeypatch.setattr(exported, "FILE_BYTES_MAX", 4500)
    with pytest.raises(OperatorFault, match=f"--without; the largest are {DEFAULT_JOB}, lungs"):
        export_to(file, None, chain, DIRECTORY)
    assert not file.exists()
    found, _ = export_to(file, None, chain, DIRECTORY, (DEFAULT_JOB,))
    assert from_text(file.read_bytes(), "F") == found


def test_a_file_that_does_not_fit_is_no_file(tmp_path: Path) -> None:
    """The disk is full half-way (here: the most that this process may write to a file)."""
    file = tmp_path / "swarm.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OperatorFault, match=r"swarm\.json cannot be written: File too large"):
            write_new(file, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not file.exists()
    write_new(file, "whole")
    with pytest.raises(OperatorFault, match="File exists"):
        write_new(file, "other")
    assert file.read_text() == "whole"


async def test_attack_what_members_call_their_jobs_steers_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escapes, line ends and marks of direction in a job's name reach no note, whether it goes on or is left out."""
    name = "\x1b[2J\x1b]0;owned\x07 \u202e\nnote: all is well " + "x" * 100
    async with running("embedded", tmp_path) as live:
        swarm = await deploy(live.client())
        await enrol(swarm, swarm.membership.client.address, Role.SN)
        await swarm.training.create_job(name)
        account = new_account()
        await enrol(swarm, address_of(account), Role.SL)
        node = Deployed.at(live.client(account), swarm.addresses)
        await node.training.join(job_id(name), "https://h:1", 1)
        notes: list[str] = []
        found = await read_swarm(live.rpc, swarm.directory.address, notes)
        await read_swarm(live.rpc, swarm.directory.address, notes, (name,))
        monkeypatch.setattr(exported, "RUNS_MAX", 0)
        await read_swarm(live.rpc, swarm.directory.address, notes)
    assert name in {job.name for job in found.jobs}
    assert ["goes on" in notes[0], "as --without" in notes[1], "no import takes" in notes[2]] == [True] * 3
    assert all(note.isprintable() for note in notes)


async def enrol(swarm: Deployed, node: Address, role: Role) -> None:
    await swarm.membership.admit(
        node, spki=sha256(node), spiffe=ZERO32, site=sha256(b"site"), role=role, expires=2**40, grant=10**15
    )


async def test_tasks_and_runners_are_not_carried_and_a_note_says_so(tmp_path: Path) -> None:
    """How many there are of each; a chain that has none but its own gets no note."""
    async with running("embedded", tmp_path) as chain:
        swarm = await deploy(chain.client())
        me = swarm.tasks.client.address
        words = {"spki": sha256(me), "spiffe": ZERO32, "site": ZERO32}
        await swarm.membership.admit(me, **words, role=Role.SN, expires=4_000_000_000, grant=0)
        notes: list[str] = []
        await read_swarm(chain.rpc, swarm.directory.address, notes)
        assert notes == []
        await swarm.runners.create_runner("night")
        await read_swarm(chain.rpc, swarm.directory.address, notes)
        assert notes == ["not carried: 1 task runner, and all assignments: create tasks again from their files"]
        header = TaskHeader(TaskType.PULL_IMAGE, "pull", "me", ROOT_TASK, "image")
        await swarm.tasks.write(job_id("key"), header, TaskBody((b"---",), (b"text",)))
        task = task_id(me, job_id("key"))
        root = root_of(header_hash(header), [item_hash(b"---")], [item_hash(b"text")])
        await swarm.tasks.finalise(task, 1, 1, root, Signature(ZERO32, ZERO32))
        await read_swarm(chain.rpc, swarm.directory.address, notes)
        assert notes[-1].startswith("not carried: 1 task and 1 task runner, and all")
