"""What comes from an earlier chain: members as they stood, jobs that go on with a later run, runs with their rounds."""

from __future__ import annotations

import pytest
from support.evm import person
from support.twin import DONE, FAR, JOB, Twin, refused
from swarm.core.chain_view import Merged, Phase, Role, Status
from swarm.core.ids import DEFAULT_JOB, ZERO32, Address, BlobId, Digest, job_id, sha256

OLD = Digest(sha256(b"genesis of the earlier chain"))
ANN, BOB = person("ann"), person("bob")


def restore(twin: Twin, node: Address, status: Status, *, expires: int = FAR, by: Address | None = None) -> None:
    names = (sha256(node), ZERO32, sha256(b"site"), Role.SL, status, expires)
    twin.step("Membership", by or twin.admin, "restore", node, *names)


def words(count: int, first: int = 0) -> list[int]:
    return [word for n in range(first, first + count) for word in (int.from_bytes(sha256(b"%d" % n), "big"), 100 + n)]


def carry(twin: Twin, function: str, *arguments: object, by: Address | None = None) -> None:
    twin.step("Training", by or twin.admin, function, *arguments)


@pytest.mark.parametrize(
    ("status", "expires", "active"),
    [
        (Status.ACTIVE, FAR, True),
        (Status.ACTIVE, 1, False),
        (Status.SUSPENDED, FAR, False),
        (Status.REVOKED, 1, False),
    ],
)
def test_a_member_is_entered_as_it_stood(status: Status, expires: int, active: bool) -> None:
    """Also suspended, revoked or expired, in one step: a revoked one is a member in no block in between."""
    twin = Twin(0)
    restore(twin, ANN, status, expires=expires)
    found = twin.chain.membership.ask("member", ANN)
    assert (found["status"], found["expires"], found["spki"]) == (status, expires, sha256(ANN))
    assert twin.chain.membership.ask("isActive", ANN) is active
    assert twin.members.is_active(ANN, twin.evm.time) is active
    assert twin.chain.membership.ask("holderOf", sha256(ANN)) == ANN
    assert not twin.chain.membership.ask("wasActiveSince", ANN, 0, FAR - 1) or status is Status.ACTIVE
    assert twin.chain.membership.ask("wasActiveSince", ANN, 0, 2) == twin.members.was_active_since(ANN, 0, 2)
    if status is Status.REVOKED:  # its certificate stays bound to it here as well
        with refused("MembershipKeyTaken", holder=ANN):
            twin.admit(BOB, spki=sha256(ANN))


def test_only_an_admitter_enters_members_and_none_that_is_there() -> None:
    """No member, no stranger; a node that this chain knows keeps its record; its key is its own."""
    twin = Twin(1)
    with refused("MembershipNotAdmitter", caller=twin.nodes[0].address):
        restore(twin, ANN, Status.ACTIVE, by=twin.nodes[0].address)
    twin.admit(ANN)
    twin.member("revoke", ANN)
    with refused("MembershipAlready", node=ANN, status=Status.REVOKED):
        restore(twin, ANN, Status.ACTIVE)
    with refused("MembershipWrongStatus", status=Status.NONE):
        restore(twin, BOB, Status.NONE)
    with refused("MembershipKeyTaken", holder=ANN):
        twin.step("Membership", twin.admin, "restore", BOB, sha256(ANN), ZERO32, ZERO32, Role.SL, Status.ACTIVE, FAR)
    with refused("MembershipBadRole"):
        twin.step("Membership", twin.admin, "restore", BOB, sha256(BOB), ZERO32, ZERO32, Role.NONE, Status.ACTIVE, FAR)


def test_a_job_goes_on_with_its_next_run_and_remembers_the_earlier_ones() -> None:
    """Run 3 is the first one here; runs 1 and 2 have their phase and each round's hash, as a warm start reads them."""
    twin = Twin(2)
    carry(twin, "carryJob", DEFAULT_JOB, OLD, 3)
    assert (twin.state().run, twin.state().phase) == (3, Phase.IDLE)
    ask = twin.chain.training.ask
    assert ask("originOf", JOB) == OLD
    carry(twin, "carryRounds", JOB, 1, 0, words(3))
    carry(twin, "carryRounds", JOB, 1, 3, words(2, 3))
    carry(twin, "carryRun", JOB, 1, OLD, Phase.COMPLETE, 100, 200, [int.from_bytes(ANN, "big") | 1 << 160])
    carry(twin, "carryRun", JOB, 2, OLD, Phase.OPEN, 0, 0, [])
    assert [ask("phaseOf", JOB, run) for run in (1, 2, 3)] == [Phase.COMPLETE, Phase.OPEN, Phase.IDLE]
    assert [twin.model.phase_of(JOB, run) for run in (1, 2, 3)] == [Phase.COMPLETE, Phase.OPEN, Phase.IDLE]
    for round_ in range(6):
        blob, size = ask("mergedOf", JOB, 1, round_)
        wanted = Merged(BlobId(sha256(b"%d" % round_)), 100 + round_) if round_ < 5 else None
        assert twin.model.merged_of(JOB, 1, round_) == wanted
        assert (blob, size) == ((wanted.blob, wanted.size) if wanted else (bytes(32), 0))
    twin.join_all(2)
    twin.round(flags=DONE)
    assert (twin.state().run, twin.state().phase) == (3, Phase.COMPLETE)


def test_what_is_entered_is_final_and_only_an_admitter_enters_it() -> None:
    """In order, once, below the current run; a job that was used here, or carried before, is not taken over."""
    twin = Twin(1)
    stranger, node = person("stranger"), twin.nodes[0].address
    for who in (stranger, node):
        with refused("MembershipNotAdmitter", caller=who):
            carry(twin, "carryJob", "lungs", OLD, 2, by=who)
    carry(twin, "carryJob", "lungs", OLD, 2)
    lungs = job_id("lungs")
    for function, arguments in (
        ("carryRounds", (lungs, 1, 0, words(1))),
        ("carryRun", (lungs, 1, OLD, Phase.COMPLETE, 0, 0, [])),
    ):
        with refused("MembershipNotAdmitter", caller=node):
            carry(twin, function, *arguments, by=node)
        with refused("TrainingUnknownJob"):
            carry(twin, function, Digest(sha256(b"none")), *arguments[1:])
        for run in (0, 2, 9):
            with refused("TrainingWrongRun", run=run, current=2):
                carry(twin, function, lungs, run, *arguments[2:])
    with refused("TrainingWrongRound", round=1, openRound=0):
        carry(twin, "carryRounds", lungs, 1, 1, words(1))
    with refused("TrainingWrongPhase", phase=Phase.IDLE):
        carry(twin, "carryRun", lungs, 1, OLD, Phase.IDLE, 0, 0, [])
    carry(twin, "carryRun", lungs, 1, OLD, Phase.FAILED, 0, 0, [])
    with refused("TrainingWrongPhase", phase=Phase.FAILED):
        carry(twin, "carryRounds", lungs, 1, 0, words(1))
    for name, origin, run, error in (
        ("lungs", OLD, 2, "TrainingJobExists"),
        (DEFAULT_JOB, Digest(ZERO32), 2, "TrainingJobExists"),
        ("hearts", OLD, 0, "TrainingWrongRun"),
        ("hearts", OLD, 10_002, "TrainingWrongRun"),
        ("", OLD, 2, "TrainingBadName"),
    ):
        with refused(error):
            carry(twin, "carryJob", name, origin, run)
    twin.join(twin.nodes[0])
    with refused("TrainingJobExists", job=JOB):
        carry(twin, "carryJob", DEFAULT_JOB, OLD, 2)


def test_carried_jobs_do_not_use_up_what_one_creator_may_make() -> None:
    """The sentinel carries 101 jobs over and can still make one of its own."""
    twin = Twin(0)
    for number in range(101):
        carry(twin, "carryJob", f"job {number}", OLD, 1)
    twin.step("Training", twin.admin, "createJob", "its own")
