"""An SL remembers what the chain recorded about a round, also across a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from swarm.chain.events import Contributed, RoundMerged
from swarm.core.chain_view import Stats
from swarm.core.control.combined import Committed
from swarm.core.control.weights import Weighing
from swarm.core.ids import ZERO32, Address, BlobId, Digest, sha256
from swarm.core.limits import NOT_REPORTED
from swarm.core.statements import Result
from swarm.sl.records import COMMITS_REMEMBERED, Records
from swarm.store.journal import Journal

JOB, OTHER = sha256(b"job"), sha256(b"another job")
ME = Address(b"\x02" * 20)
BLOB = BlobId(sha256(b"blob"))


def transaction(number: int) -> Digest:
    return sha256(b"transaction %d" % number)


def merged(round_: int, *, run: int = 1, contributors: int = 2, interval: int = 10) -> RoundMerged:
    result = Result(BLOB, 1, Digest(ZERO32), Digest(ZERO32), interval, Digest(ZERO32))
    return RoundMerged(JOB, run, round_, 0, 0, Address(bytes(20)), result, contributors, 2)


def commit(records: Records, round_: int, *, run: int = 1, number: int | None = None, loss: int = 500_000) -> None:
    records.merged(merged(round_, run=run), transaction(round_ if number is None else number), Weighing())
    for node, weight in ((1, 1), (2, 3)):
        stats = Stats(weight, loss * node, NOT_REPORTED, 0, 0, 0)
        records.contributed(Contributed(JOB, run, Address(bytes([node] * 20)), round_, 1, BLOB, 1, stats, 0.5))


def test_a_restarted_node_still_finds_commits_and_their_figures(tmp_path: Path) -> None:
    """The event feed goes on behind its cursor and tells no round twice, so this must be on disk."""
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        for round_ in (0, 1):
            commit(records, round_)
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        assert records.commit_of(1, 1) == transaction(1)
        assert records.commit_of(1, 8) is None
        assert records.history(1) == (Committed(10, 875_000, None),) * 2
        assert records.history(2) == ()
        assert Records(journal, OTHER, ME).commit_of(1, 1) is None
        assert Records(journal, OTHER, ME).history(1) == ()


def test_a_round_without_all_its_contributions_is_no_history_yet(tmp_path: Path) -> None:
    """The commit can be looked up at once; its figures are told when they are complete."""
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        records.merged(merged(0), transaction(0), Weighing())
        assert records.commit_of(1, 0) == transaction(0)
        assert records.history(1) == ()
        records.merged(merged(0, contributors=0), transaction(0), Weighing())
        assert records.history(1) == (Committed(10, None, None),)


def test_history_has_no_gaps(tmp_path: Path) -> None:
    """A round that is not known ends it: rules over a history with holes would differ from node to node."""
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        for round_ in (0, 1, 3):
            commit(records, round_)
        assert len(records.history(1)) == 2


def test_a_commit_mined_again_replaces_the_first(tmp_path: Path) -> None:
    """After a reorg the same round may stand in another transaction, with other figures, or not stand any more."""
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        commit(records, 0)
        records.withdrawn(merged(0))
        assert records.history(1) == Records(journal, JOB, ME).history(1) == ()
        commit(records, 0, number=9, loss=100)
        for kept in (records, Records(journal, JOB, ME)):
            assert kept.commit_of(1, 0) == transaction(9)
            assert kept.history(1) == (Committed(10, 175, None),)


def test_only_the_last_commits_and_the_newest_runs_figures_are_kept(tmp_path: Path) -> None:
    """The rest is on the chain; the figures of a run are all needed, those of earlier runs are not."""
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        for round_ in range(COMMITS_REMEMBERED + 20):
            commit(records, round_)
        for kept in (records, Records(journal, JOB, ME)):
            assert kept.commit_of(1, 19) is None
            assert kept.commit_of(1, 20) == transaction(20)
            assert len(kept.history(1)) == COMMITS_REMEMBERED + 20
        assert len(journal.items("commit/")) == COMMITS_REMEMBERED
        commit(records, 0, run=2)
        assert records.history(1) == ()
        assert len(journal.items("figures/")) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_round_that_is_told_twice_counts_once(tmp_path: Path, times: int) -> None:
    """After a crash the feed may repeat a block."""
    with Journal(tmp_path / "journal.db") as journal:
        records = Records(journal, JOB, ME)
        for _ in range(times):
            commit(records, 0)
        assert records.history(1) == (Committed(10, 875_000, None),)
