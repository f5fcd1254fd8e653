"""What sites ask for against what holds, with real processes: strictness and minPeers."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lab import lab

pytestmark = pytest.mark.timeout(240)


def test_a_strict_site_ends_by_name_and_a_late_wish_for_more_peers_is_refused(tmp_path: Path) -> None:
    """SL_STRICT: when one program fails, the strict site's program and SL end with an error that names the round and
    the member; a joiner that asks for more peers than the run began with is told which number holds."""
    with lab(tmp_path, sites=2, SWARM_PROGRAM_RETURN_SECONDS="1") as swarm:
        strict = swarm.add_site(SL_STRICT="true").start_sl()
        late = swarm.add_site().start_sl()
        failing, plain = swarm.sites[:2]
        for site in (plain, strict):
            site.start_ml(MIN_PEERS=2, BATCHES=200, BATCH_SECONDS=0.3)
        failing.start_ml(MIN_PEERS=2, BATCHES=200, BATCH_SECONDS=0.3, FAIL_AT_BATCH=20)
        swarm.wait(lambda: strict.status().get("round", 0) >= 1, seconds=60, say="round 1")
        late.start_ml(MIN_PEERS=3, BATCHES=5)
        assert swarm.run(seconds=60, sites=[late]) == [(1, 1)]
        said = "asks for min_peers=3, but run 1 was begun with 2 and goes on with 2: set min_peers to 2 or less"
        assert said in late.log("ml")
        assert swarm.run(seconds=90, sites=[failing, strict]) == [(1, 1)] * 2
        assert "this node is strict (--strict, SL_STRICT) and round" in strict.log("ml")
        assert "was merged without 0x" in strict.log("ml")
