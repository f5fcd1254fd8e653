"""Real processes on bad machines: uneven (acceptance scenario 9), starved, lossy, full, or with another clock."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import chaos, patience, tools
from support.certs import Authority
from support.lab import Lab, lab
from support.netlab import netlab
from support.snprocess import Place, SnProcess

pytestmark = pytest.mark.timeout(300)

REFUSAL_SECONDS = 30.0
DISK_BYTES = 448 * 1024 * 1024
LEFT_BYTES = 3 * 1024 * 1024
"""What a full disk still takes: the journal, not a model."""
FILL_BYTES = 16 * 1024 * 1024
LARGE = 2_000_000


def test_s9_uneven_sites_get_on_and_count_by_their_weight(tmp_path: Path) -> None:
    """Scenario 9, scaled: one site trains 25x as long as the others' limits allow; nobody is taken for dead."""
    limits = {"SL_LEADER_FAILURE_BASE_TIMEOUT": "4", "SL_WAIT_FOR_FULL_QUORUM_SECONDS": "1"}
    weights = (1, 2, 7)
    with lab(tmp_path, sites=3, **limits) as swarm:
        swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=chaos.READY_SECONDS, say="SLs are ready")
        slow = swarm.sites[2]
        by_node = {s.status()["node"]: w for s, w in zip(swarm.sites, weights, strict=True)}
        for site, weight in zip(swarm.sites, weights, strict=True):
            chaos.train(swarm, site, WEIGHT=weight, BATCH_SECONDS=5.0 if site is slow else 0.2)
        swarm.wait(lambda: slow.status().get("loaded_round", -1) > 3, seconds=90, say="the slow site's third sync")
        found = chaos.finish(swarm)
    assert chaos.attempts(found) == [0] * len(found["rounds"])
    mine = next(n for n, w in by_node.items() if w == 7)
    seen = [c for r in found["rounds"] for c in r["contributions"] if c["node"] == mine]
    assert len(seen) >= 3
    assert len(found["rounds"]) > len(seen), "the others never went on without the slow site"
    for round_ in found["rounds"]:
        total = sum(c["weight"] for c in round_["contributions"])
        for one in round_["contributions"]:
            assert one["weight"] == by_node[one["node"]]
            assert one["coefficient"] == pytest.approx(one["weight"] / total)
    assert mine in {c["node"] for c in found["rounds"][-1]["contributions"]}


@pytest.mark.slow
@pytest.mark.netns
def test_a_link_that_loses_a_third_of_its_packets_costs_time_only(tmp_path: Path) -> None:
    """30 % loss both ways at one of three sites: rounds are merged all the while, and all end with one model."""
    with netlab(tmp_path, sites=3) as swarm:
        lossy = swarm.sites[0]
        for number, site in enumerate(swarm.sites, 1):
            chaos.train(swarm, site, VALUES=20_000, STEP=number)
        chaos.reach(swarm, 2)
        lossy.place.loss(30)
        chaos.go_on(swarm, 3, *swarm.sites[1:], seconds=100)
        lossy.place.heal()
        chaos.go_on(swarm, 2, seconds=60)
        chaos.finish(swarm)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs at ``folder``; a file named filler in it takes what is left."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)], check=True)
    try:
        yield folder / "filler"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(filler: Path) -> None:
    """Take all but LEFT_BYTES, beside a process that writes and deletes there."""
    with filler.open("ab") as out:
        while (free := shutil.disk_usage(filler.parent).free) > LEFT_BYTES:
            with contextlib.suppress(OSError):  # it was faster than us: measure again
                os.posix_fallocate(out.fileno(), filler.stat().st_size, min(free - LEFT_BYTES, FILL_BYTES))


@pytest.mark.slow
@pytest.mark.netns
def test_a_full_disk_stops_one_site_by_name_and_no_other(tmp_path: Path) -> None:
    """A site whose disk is full says so, blames nobody else, is replaced where it leads, and returns with space."""
    with (
        small_disk(tmp_path / "sl-1" / "state") as filler,
        lab(tmp_path, SL_LEADER_FAILURE_BASE_TIMEOUT="5", sites=3) as swarm,
    ):
        full, *others = swarm.sites
        for number, site in enumerate(swarm.sites, 1):
            chaos.train(swarm, site, VALUES=LARGE, STEP=number)
        chaos.reach(swarm, 3)
        fill(filler)
        chaos.go_on(swarm, 7, *others, seconds=100)
        assert "does not fit" in full.log("sl") or "No space left" in full.log("sl")
        for site in others:
            assert "refused the model" not in full.log("sl") + site.log("sl")
        filler.unlink()
        full.kill()
        chaos.revive(swarm, full, VALUES=LARGE)
        chaos.reach(swarm, chaos.round_of(others[0]), full)
        chaos.go_on(swarm, 2, seconds=60)
        found = chaos.finish(swarm)
        # Nobody was made an observer by somebody else's disk. The site itself may have been by its own: its program's
        # model of that round could not be kept.
        rounds = found["rounds"]
        watched = {c["node"] for r in rounds for c in r["contributions"] if c["weight"] == 0}
        (own,) = {c["node"] for r in rounds[:3] for c in r["contributions"]} - {
            c["node"] for r in rounds[4:7] for c in r["contributions"]
        }
        assert watched <= {own}
        # With space it is one of three again.
        assert {c["node"] for c in rounds[-1]["contributions"] if c["weight"] == 1} >= {own}
        assert len(rounds[-1]["contributions"]) == 3


def other_clock(minutes: int) -> dict[str, str]:
    library = str(tools.faketime())
    return {"LD_PRELOAD": library, "FAKETIME": f"{minutes:+d}m", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.faketime
def test_clocks_that_differ_by_minutes_do_no_harm_and_by_more_are_named(tmp_path: Path) -> None:
    """Four minutes either way: the run completes. Ten: the join is refused with a sentence about clocks, at once."""
    with lab(tmp_path) as swarm:
        for minutes in (0, 4, -4, 10, -10):
            swarm.add_site(**(other_clock(minutes) if minutes else {})).start_sl()
        *right, ahead, behind = swarm.sites
        for wrong in (ahead, behind):
            assert wrong.sl.wait(timeout=patience.seconds(REFUSAL_SECONDS)) != 0
            assert "are the clocks in step?" in wrong.log("sl")
        chaos.train(swarm, *right)
        chaos.reach(swarm, 3, *right)
        chaos.finish(swarm, *right)


@pytest.mark.faketime
def test_an_sn_with_another_clock_is_named_by_its_sls(tmp_path: Path) -> None:
    """An SN ten minutes ahead: its SL ends with a sentence about clocks and does not wait for ever."""
    ca = Authority()
    files = ca.node(tmp_path / "certs", "sn-1", uri="spiffe://test/site-0/sn/sn-1")
    swarm = Lab(tmp_path, ca, SnProcess(tmp_path / "sn", files, environ=other_clock(10)))
    try:
        swarm.sn.start()
        site = swarm.add_site().start_sl()
        assert site.sl.wait(timeout=patience.seconds(REFUSAL_SECONDS)) != 0
        assert "are the clocks in step?" in site.log("sl")
    finally:
        swarm.stop()
        swarm.sn.stop()


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """Processes that want all of core 0."""
    command = ["taskset", "-c", "0", sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_starved_nodes_never_take_a_leader_for_dead(tmp_path: Path, nodes: int) -> None:
    """All nodes on one core, beside two hogs and with less priority: slow rounds, each at its first attempt."""
    starved = Place(prefix=("taskset", "-c", "0", "nice", "-n", "5"))
    with hogs(2), lab(tmp_path) as swarm:
        for _ in range(nodes):
            swarm.add_site(SL_LEADER_FAILURE_BASE_TIMEOUT="20", place=starved).start_sl()
        chaos.train(swarm, MIN_PEERS=nodes)
        chaos.reach(swarm, 3, seconds=200)
        found = chaos.finish(swarm)
        assert chaos.attempts(found) == [0] * len(found["rounds"])
