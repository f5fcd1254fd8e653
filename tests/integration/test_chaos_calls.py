"""Real sites lost for good: a run goes on by call, here and settle, also on chains that seal on demand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support import chaos
from support.lab import lab
from swarm.core.limits import CALL_AFTER_SECONDS, LIVE_SECONDS

pytestmark = pytest.mark.timeout(240)

CHAINS = [pytest.param("embedded", marks=pytest.mark.slow), pytest.param("geth", marks=pytest.mark.geth)]
RESCUE_SECONDS = 5
TRIES_SECONDS = CALL_AFTER_SECONDS + LIVE_SECONDS + 4 * RESCUE_SECONDS + 15.0
"""Silence is noticed, then the wait before a call, twice rescueAfter should one lapse, and a busy machine."""


@pytest.mark.parametrize("chain", CHAINS)
def test_without_a_majority_the_survivor_settles_a_call_and_ends_the_run(tmp_path: Path, chain: str) -> None:
    """One of two sites dies for good: no block comes by itself, and still the other re-forms the roster and completes.

    The chain seals on demand (geth: period 0), and settling needs block time to pass: the SN's heartbeat makes it.
    """
    flags = ["--rescue-after", str(RESCUE_SECONDS)]
    with lab(tmp_path, *chaos.chain_flags(chain), *flags, sites=2) as swarm:
        survivor, victim = swarm.sites
        chaos.train(swarm, MIN_PEERS=1)
        swarm.wait(lambda: victim.status().get("loaded_round", -1) >= 0, seconds=chaos.READY_SECONDS, say="both train")
        chaos.go_on(swarm, 3, seconds=60)  # whoever joined late is on the roster by then
        alone = survivor.status()["node"]
        victim.kill()
        lost = time.monotonic()
        chaos.go_on(swarm, 2, survivor, seconds=TRIES_SECONDS)
        assert survivor.status()["epoch"] == 1
        print(f"{chain}: merged again {time.monotonic() - lost:.1f} s after the majority was lost")
        found = chaos.finish(swarm, survivor)
    assert "1 of 2 members of the roster are alive" in survivor.log("sl")
    assert [c["node"] for c in found["rounds"][-1]["contributions"]] == [alone]
