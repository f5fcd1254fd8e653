"""Whole runs over bad networks (acceptance scenarios 1 and 6): each node in a network namespace of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support import chaos
from support.netlab import netlab
from swarm.core.limits import LIVE_SECONDS

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]


def test_s6_a_site_without_network_is_left_behind_and_comes_back_by_itself(tmp_path: Path) -> None:
    """Scenario 6, scaled: cut both ways, then what it sends, then what it gets; nobody restarts anything."""
    with netlab(tmp_path, sites=3) as swarm:
        cut, *others = swarm.sites
        chaos.train(swarm)
        chaos.reach(swarm, 3)
        for inward, outward in ((True, True), (False, True), (True, False)):
            cut.place.cut(inward=inward, outward=outward)
            began, first = time.monotonic(), chaos.round_of(others[0])
            chaos.go_on(swarm, 4, *others, seconds=60)
            time.sleep(max(0.0, began + LIVE_SECONDS + 5 - time.monotonic()))
            cut.place.heal()
            chaos.go_on(swarm, 3, *others, seconds=60)
            chaos.reach(swarm, chaos.round_of(others[0]), cut, seconds=60)
            assert chaos.round_of(others[0]) > first
        found = chaos.finish(swarm)
        last = found["rounds"][-2]["contributions"]
        assert len(last) == 3
