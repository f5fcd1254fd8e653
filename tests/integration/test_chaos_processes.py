"""Real processes killed and frozen in the middle of a run (acceptance scenarios 4, 5, 7; 8 after each)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import chaos, patience
from support.lab import Lab, Site, lab
from swarm.core.engine.peers import REFUSED_SECONDS
from swarm.core.limits import LIVE_SECONDS
from swarm.net.probe import CONNECT_SECONDS

pytestmark = pytest.mark.timeout(300)

GETH, SLOW = pytest.mark.geth, pytest.mark.slow
CHAINS = [pytest.param("embedded", marks=SLOW), pytest.param("geth", marks=GETH)]
NOISE_SECONDS = 5.0
"""What a busy machine may add to any bound that the protocol states."""
DEAD_LEADER_SECONDS = 10.0
FROZEN_SECONDS = LIVE_SECONDS + CONNECT_SECONDS
"""Silence, then one attempt to get the model of the silent node, which had checked in."""
CATCHES_MAX = 20
SETTLE_SECONDS = 0.5
RESTART_SECONDS = 15.0


@pytest.mark.parametrize("chain", CHAINS)
def test_s4_a_killed_follower_costs_one_deadline_once_and_comes_back(tmp_path: Path, chain: str) -> None:
    """Scenario 4: the round of the kill waits 15 s at most, later ones for nobody; the site returns and contributes."""
    with lab(tmp_path, *chaos.chain_flags(chain), sites=3) as swarm:
        chaos.train(swarm)
        chaos.reach(swarm, 3)
        lead = chaos.leader(swarm)
        victim, *others = [s for s in swarm.sites if s is not lead]
        others.append(lead)
        victim.kill()
        killed = time.time()
        chaos.go_on(swarm, 1, *others, seconds=60)
        time.sleep(LIVE_SECONDS)  # by then each has found out, whoever leads
        chaos.go_on(swarm, 8, *others, seconds=60)
        times = chaos.merge_times(lead)
        usual = statistics.median(chaos.gaps([t for t in times if t < killed]))
        waited = [g for g in chaos.gaps([t for t in times if t > killed - usual]) if g > REFUSED_SECONDS + 3 * usual]
        assert len(waited) <= 1, "the dead follower was waited for more than once"
        assert sum(waited) < LIVE_SECONDS + 3 * usual + NOISE_SECONDS
        later = [b - a for a, b in itertools.pairwise(times) if a > killed + LIVE_SECONDS]
        assert later
        assert max(later) < REFUSED_SECONDS + 3 * usual
        chaos.revive(swarm, victim)
        chaos.reach(swarm, chaos.round_of(lead), victim)
        chaos.go_on(swarm, 2, seconds=60)
        found = chaos.finish(swarm)
        assert len(found["rounds"][-2]["contributions"]) == 3


LARGE = 10_000_000
"""Parameters of a model whose merge takes long enough to be caught in the middle."""


@pytest.mark.parametrize(
    ("how", "chain"),
    [
        pytest.param("freeze", "geth", marks=GETH),
        pytest.param("kill", "geth", marks=[GETH, SLOW]),
        pytest.param("freeze", "embedded", marks=SLOW),
        pytest.param("kill", "embedded", marks=SLOW),
    ],
)
def test_s5_a_leader_lost_in_mid_merge_is_replaced_and_changes_nothing_later(
    tmp_path: Path, how: str, chain: str
) -> None:
    """Scenario 5: the next in the ring finishes the round; thawed or restarted, the old leader only follows."""
    with lab(tmp_path, *chaos.chain_flags(chain), sites=3) as swarm:
        for number, site in enumerate(swarm.sites, 1):
            chaos.train(swarm, site, VALUES=LARGE, STEP=number)
        chaos.reach(swarm, 3)
        addresses = {s.name: s.status()["node"] for s in swarm.sites}
        victim, at = frozen_while_merging(swarm)
        lost = time.time()
        others = [s for s in swarm.sites if s is not victim]
        assert victim.sl is not None
        if how == "kill":
            victim.kill()
        chaos.reach(swarm, at + 1, *others, seconds=60)
        times = chaos.merge_times(others[0])
        took = next(t for t in times if t > lost) - lost
        before = chaos.gaps([t for t in times if t < lost])
        bound = max(3 * statistics.median(before), DEAD_LEADER_SECONDS) if how == "kill" else FROZEN_SECONDS
        print(f"next merge {took:.1f} s after the leader was lost, rounds before {statistics.median(before):.1f} s")
        assert took < bound + NOISE_SECONDS * patience.crowd()
        if how == "kill":
            chaos.revive(swarm, victim, VALUES=LARGE)
        else:
            os.kill(victim.sl.pid, signal.SIGCONT)
        chaos.reach(swarm, chaos.round_of(others[0]), victim)
        chaos.go_on(swarm, 2, seconds=60)
        found = chaos.finish(swarm)
        assert found["rounds"][at]["attempt"] > 0
        assert found["rounds"][at]["leader"] != addresses[victim.name]


def frozen_while_merging(swarm: Lab) -> tuple[Site, int]:
    """A site stopped by SIGSTOP while it pulled or merged the models of a round, and that round."""
    for _ in range(CATCHES_MAX):
        found: list[tuple[Site, int]] = []
        swarm.wait(lambda at=found: catch(swarm, at), seconds=60, say="a site that merges")
        victim, round_ = found[0]
        time.sleep(SETTLE_SECONDS)
        if all(chaos.round_of(s) == round_ for s in swarm.sites if s is not victim):
            return victim, round_
        os.kill(victim.sl.pid, signal.SIGCONT)  # too late: it had told everybody
    raise AssertionError(f"in {CATCHES_MAX} rounds no leader was caught before its merge was recorded")


def catch(swarm: Lab, found: list[tuple[Site, int]]) -> bool:
    for site in swarm.sites:
        status = site.status()
        if status.get("state") == "merging":
            os.kill(site.sl.pid, signal.SIGSTOP)
            found.append((site, status["round"]))
            return True
    return False


@pytest.mark.parametrize("chain", CHAINS)
def test_s7_after_a_power_cut_of_everything_the_run_goes_on(tmp_path: Path, chain: str) -> None:
    """Scenario 7: kill -9 of all processes at once; the same chain, members and round, running within 15 s."""
    with lab(tmp_path, *chaos.chain_flags(chain), sites=3) as swarm:
        chaos.train(swarm, MIN_PEERS=3)
        chaos.reach(swarm, 4)
        before = {s.name: s.status()["node"] for s in swarm.sites}
        round_ = max(chaos.round_of(s) for s in swarm.sites)
        if chain == "geth":
            os.kill(int((swarm.sn.state / "geth" / "geth.pid").read_text()), signal.SIGKILL)
        swarm.sn.kill()
        for site in swarm.sites:
            site.kill()
        swarm.sn.start()
        for site in swarm.sites:
            chaos.revive(swarm, site, MIN_PEERS=3)
        began = time.monotonic()
        swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=60, say="all SLs are healthy")
        healthy = time.monotonic()
        chaos.reach(swarm, round_ + 1, seconds=60)
        print(f"started to healthy {healthy - began:.1f} s, healthy to next merge {time.monotonic() - healthy:.1f} s")
        assert time.monotonic() - healthy < RESTART_SECONDS * patience.crowd()
        assert {s.name: s.status()["node"] for s in swarm.sites} == before
        found = chaos.finish(swarm)
        assert len(found["members"]) == 3
        assert all(len(r["contributions"]) == 3 for r in found["rounds"])


KILLS = 10
KILL_SEED = 4
KILL_SECONDS_MAX = 3.0


@pytest.mark.slow
def test_an_sl_killed_ten_times_at_random_moments_never_signs_two_check_ins(tmp_path: Path) -> None:
    """A power cut in the middle of any write: what all journals hold of a node is one check-in per name and version."""
    chance = random.Random(KILL_SEED)
    with lab(tmp_path, sites=3) as swarm:
        victim = swarm.sites[0]
        chaos.train(swarm, MIN_PEERS=3, BATCH_SECONDS=0.1)  # the others wait: the round it died in is open still
        chaos.reach(swarm, 2)
        address = victim.status()["node"]
        signed: dict[tuple[str, int], set[str]] = defaultdict(set)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, KILL_SECONDS_MAX))
            victim.kill()
            for site in swarm.sites:
                for name, version, text in check_ins_of(address, site, tmp_path / "copy"):
                    signed[name, version].add(text)
            chaos.revive(swarm, victim, MIN_PEERS=3, BATCH_SECONDS=0.1)
            swarm.wait(lambda: victim.status().get("state") == "syncing", seconds=60, say="the victim takes part")
        chaos.go_on(swarm, 2, seconds=90)
        chaos.finish(swarm)
        assert {key: texts for key, texts in signed.items() if len(texts) > 1} == {}
        assert len(signed) >= KILLS  # check-ins of the victim were really found


def check_ins_of(address: str, site: Site, scratch: Path) -> list[tuple[str, int, str]]:
    """Every check-in of a node that a site's journal holds: the round's whole name, version, and what it says."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in (site.folder / "state").glob("journal.db*"):
        if path.suffix != ".lock":
            shutil.copy(path, scratch)
    with contextlib.closing(sqlite3.connect(scratch / "journal.db")) as db:
        rows = db.execute("SELECT value FROM entries WHERE key >= ? AND key < ?", (b"engine/", b"engine0")).fetchall()
    found = []
    for said in statements_in([json.loads(value) for (value,) in rows]):
        if said["kind"] == "check_in" and said["node"] == address:
            name = json.dumps(said["name"], sort_keys=True)
            found.append((name, said["version"], json.dumps(said, sort_keys=True)))
    return found


def statements_in(value: Any) -> Iterator[dict[str, Any]]:
    """All statements at any depth of a JSON value."""
    if isinstance(value, dict):
        if isinstance(value.get("statement"), dict):
            yield value["statement"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from statements_in(inner)
