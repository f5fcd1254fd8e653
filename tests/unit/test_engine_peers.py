"""Who counts as alive, and when a leader is suspected."""

from __future__ import annotations

from swarm.core.engine.peers import Peers
from swarm.core.ids import Address

NODE = Address(b"\1" * 20)
LIVE, STALLED = 15.0, 600.0


def peers() -> Peers:
    return Peers(started_at=100.0, live_seconds=LIVE, stalled_seconds=STALLED)


def pulse(table: Peers, now: float, progress: int = 1) -> None:
    table.heard(NODE, now, progress, "training", 0, 0)


def test_everybody_counts_as_live_for_15_seconds_after_the_opening() -> None:
    """A member never heard of is waited for, but once."""
    table = peers()
    assert table.live(NODE, 114.9, since=100.0, quorum_at=None)
    assert not table.live(NODE, 115.0, since=100.0, quorum_at=None)


def test_a_pulse_keeps_a_member_live() -> None:
    """Fifteen seconds from the last pulse, however old the round is."""
    table = peers()
    pulse(table, 500.0)
    assert table.live(NODE, 514.0, since=100.0, quorum_at=None)
    assert not table.live(NODE, 516.0, since=100.0, quorum_at=None)


def test_a_member_that_pulses_without_progress_is_not_waited_for_for_ever() -> None:
    """Once minPeers are ready the stall time runs, from the later of quorum and last progress."""
    table = peers()
    pulse(table, 200.0, progress=7)
    pulse(table, 899.0, progress=7)
    assert table.live(NODE, 900.0, since=100.0, quorum_at=None)
    assert table.live(NODE, 900.0, since=100.0, quorum_at=301.0)
    assert not table.live(NODE, 900.0, since=100.0, quorum_at=300.0)
    pulse(table, 900.0, progress=8)
    assert table.live(NODE, 901.0, since=100.0, quorum_at=300.0)


def test_one_refused_connection_is_not_death() -> None:
    """Two refusals, four seconds apart, are; an answer ends it."""
    table = peers()
    pulse(table, 200.0)
    table.silent(NODE, 200.5, "connection refused")
    assert not table.refused(NODE, 210.0)
    table.silent(NODE, 202.5, "connection refused")
    assert not table.refused(NODE, 204.0)
    assert table.refused(NODE, 204.5)
    assert not table.live(NODE, 204.5, since=200.0, quorum_at=None)
    pulse(table, 204.6)
    assert table.live(NODE, 204.7, since=200.0, quorum_at=None)


def test_a_leader_is_suspected_for_refusing_for_silence_and_for_standing_still() -> None:
    """Each reason is named, and each counts from when the leader began to be needed."""
    table = peers()
    pulse(table, 200.0)
    assert table.suspect(NODE, 214.9, since=200.0) is None
    assert table.suspect(NODE, 215.0, since=201.0) is None
    assert "nothing heard" in (table.suspect(NODE, 215.0, since=200.0) or "")
    for second in range(200, 801, 10):
        pulse(table, float(second), progress=1)
    assert table.suspect(NODE, 801.0, since=300.0) is None
    assert "no progress" in (table.suspect(NODE, 801.0, since=200.0) or "")
    assert table.suspect(NODE, 801.0, since=200.0, got=202.0) is None  # what it proposes arrives, if slowly
    for second in (801.0, 803.0, 805.0):
        table.silent(NODE, second, "connection refused")
    assert "connection refused" in (table.suspect(NODE, 805.0, since=801.0) or "")
    assert table.suspect(NODE, 805.0, since=802.0) is None


def test_a_leader_found_dead_before_is_replaced_at_once() -> None:
    """It was unreachable four seconds before it was needed, and still is; a stale finding does not count."""
    table = peers()
    for second in (200.0, 202.0, 210.0):
        table.silent(NODE, second, "connection refused")
    assert "before" in (table.suspect(NODE, 211.0, since=211.0) or "")
    assert table.suspect(NODE, 203.0, since=203.0) is None
    assert table.suspect(NODE, 226.0, since=226.0) is None
    pulse(table, 212.0)
    assert table.suspect(NODE, 213.0, since=213.0) is None


def test_a_silent_member_costs_the_live_time_once() -> None:
    """A cut line refuses nothing: after the first wait each round gives 4 s, as leader or follower, until it speaks."""
    table = peers()
    pulse(table, 200.0)
    assert table.live(NODE, 214.9, since=200.5, quorum_at=None)
    assert not table.live(NODE, 215.5, since=200.5, quorum_at=None)
    assert table.live(NODE, 219.4, since=215.5, quorum_at=None)  # the next round opens
    assert not table.live(NODE, 219.5, since=215.5, quorum_at=None)
    assert table.suspect(NODE, 223.4, since=219.5) is None  # the next is its to lead
    assert table.suspect(NODE, 223.5, since=219.5) == "nothing heard from it for 24 s"
    pulse(table, 224.0)
    assert table.live(NODE, 238.9, since=223.5, quorum_at=None)
    assert table.suspect(NODE, 238.9, since=223.5) is None


def test_a_leader_that_was_silent_once_is_given_4_seconds_the_next_time() -> None:
    """It is the suspicion of a leader that begins it as well; a node that suspects sooner is as short with it."""
    for live, again in ((LIVE, 4.0), (1.0, 1.0)):
        table = Peers(started_at=100.0, live_seconds=live, stalled_seconds=STALLED)
        assert table.suspect(NODE, 200.0 + live - 0.1, since=200.0) is None
        assert table.suspect(NODE, 200.0 + live, since=200.0) is not None
        assert table.suspect(NODE, 300.0 + again - 0.1, since=300.0) is None
        assert table.suspect(NODE, 300.0 + again, since=300.0) is not None


def test_a_member_never_heard_of_is_not_dead_at_its_first_refusal() -> None:
    """It may just be starting: two refusals count, as for any other."""
    table = peers()
    table.silent(NODE, 200.0, "connection refused")
    assert not table.refused(NODE, 205.0)
    table.silent(NODE, 206.0, "connection refused")
    assert table.refused(NODE, 206.0)
