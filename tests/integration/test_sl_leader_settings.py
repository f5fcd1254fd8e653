"""The settings of an SL that decide who leads and who is waited for, on real processes (rows E06, E07, E08)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support import chaos
from support.lab import lab

pytestmark = pytest.mark.timeout(240)

GRACE_SECONDS = 2.0
SLOW_SECONDS = 12.0
PATIENCE_SECONDS = "10"
"""Less than that a busy machine takes now and then for a round in which nothing is wrong."""


@pytest.mark.row("E06")
@pytest.mark.row("E08")
def test_who_may_not_lead_never_does_and_a_slow_node_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    """SL_MAKE_ME_ADMIN=False in a ring where each would lead every third round; a grace of 2 s beside a 12 s batch."""
    with lab(tmp_path) as swarm:
        for may_lead in ("False", "True", "True"):
            swarm.add_site(SL_MAKE_ME_ADMIN=may_lead, SL_WAIT_FOR_FULL_QUORUM_SECONDS=str(GRACE_SECONDS)).start_sl()
        spared, slow, fast = swarm.sites
        swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=chaos.READY_SECONDS, say="SLs are ready")
        node = {s.name: s.status()["node"] for s in swarm.sites}
        chaos.train(swarm, spared, fast)
        chaos.train(swarm, slow, BATCH_SECONDS=SLOW_SECONDS)
        chaos.reach(swarm, 8, fast, seconds=90)
        times = chaos.merge_times(fast)
        found = chaos.finish(swarm)
    assert node[spared.name] not in {r["leader"] for r in found["rounds"]}
    assert chaos.attempts(found) == [0] * len(found["rounds"])
    alone = [r["round"] for r in found["rounds"] if len(r["contributions"]) == 2]
    waited = [b - a for n, (a, b) in enumerate(itertools.pairwise(times), 1) if n in alone and n - 1 in alone]
    assert len(waited) >= 2
    assert min(waited) >= GRACE_SECONDS
    assert max(waited) < SLOW_SECONDS


@pytest.mark.row("E07")
def test_a_leader_that_lives_but_gets_nowhere_is_replaced_after_the_time_that_was_said(tmp_path: Path) -> None:
    """Its disk takes no merged model. It still pulses; after SL_LEADER_FAILURE_BASE_TIMEOUT the next one leads."""
    with lab(tmp_path) as swarm:
        for may_lead, patience in (("True", "600"), ("False", PATIENCE_SECONDS), ("False", "600")):
            swarm.add_site(SL_MAKE_ME_ADMIN=may_lead, SL_LEADER_FAILURE_BASE_TIMEOUT=patience).start_sl()
        broken, hasty, patient = swarm.sites
        for number, site in enumerate(swarm.sites, 1):
            chaos.train(swarm, site, STEP=number, BATCH_SECONDS=1.5 if site is broken else 3.0)
        chaos.reach(swarm, 2)
        swarm.wait(lambda: broken.status().get("state") == "syncing", seconds=30, say="the leader has checked in")
        at = chaos.round_of(broken)
        scratch = broken.folder / "state" / "store" / "scratch"
        scratch.rename(scratch.with_name("aside"))
        scratch.touch()
        chaos.reach(swarm, at + 1, hasty, seconds=60)
        scratch.unlink()
        scratch.with_name("aside").rename(scratch)
        assert "the merge failed here" in broken.log("sl")
        assert f"no progress for {PATIENCE_SECONDS} s" in hasty.log("sl")
        assert "no progress" not in patient.log("sl")
        chaos.go_on(swarm, 2, seconds=60)
        found = chaos.finish(swarm)
        assert [r["round"] for r in found["rounds"] if r["attempt"] > 0] == [at]
        assert all(len(r["contributions"]) == 3 for r in found["rounds"][at:])
