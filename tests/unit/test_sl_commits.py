"""An SL remembers which transaction recorded a round, also across a restart."""

from __future__ import annotations

from pathlib import Path

from swarm.core.ids import Digest, sha256
from swarm.sl.watch import COMMITS_REMEMBERED, Commits
from swarm.store.journal import Journal

JOB, OTHER = sha256(b"job"), sha256(b"another job")


def transaction(number: int) -> Digest:
    return sha256(b"transaction %d" % number)


def test_a_restarted_node_still_finds_the_last_commit(tmp_path: Path) -> None:
    """The event feed goes on behind its cursor and tells no round twice, so this must be on disk."""
    with Journal(tmp_path / "journal.db") as journal:
        Commits(journal, JOB).learn(1, 7, transaction(7))
    with Journal(tmp_path / "journal.db") as journal:
        commits = Commits(journal, JOB)
        assert commits.of(1, 7) == transaction(7)
        assert commits.of(1, 8) is None
        assert Commits(journal, OTHER).of(1, 7) is None


def test_a_commit_mined_again_replaces_the_first(tmp_path: Path) -> None:
    """After a reorg the same round stands in another transaction."""
    with Journal(tmp_path / "journal.db") as journal:
        commits = Commits(journal, JOB)
        commits.learn(1, 3, transaction(1))
        commits.learn(1, 3, transaction(2))
        assert Commits(journal, JOB).of(1, 3) == transaction(2)


def test_only_the_last_commits_are_kept(tmp_path: Path) -> None:
    """The newest by run and round; the rest is on the chain."""
    with Journal(tmp_path / "journal.db") as journal:
        commits = Commits(journal, JOB)
        for round_ in range(COMMITS_REMEMBERED + 20):
            commits.learn(1, round_, transaction(round_))
        for kept in (commits, Commits(journal, JOB)):
            assert kept.of(1, 19) is None
            assert kept.of(1, 20) == transaction(20)
        assert len(journal.items("commit/")) == COMMITS_REMEMBERED
