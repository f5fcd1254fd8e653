"""What failures cost real swarms, in seconds: dead leader or follower, dead SN, all dead, a slow site; prints JSON.

    python tests/bench/bench_faults.py [--nodes 3] [--chain embedded|geth]

31 float32 parameters, 0.2 s of training a round. Each failure is a kill -9 in one run, five rounds apart. The slow
site is a run of its own: one program needs longer for a batch than the grace that leaders give.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import chaos
from support.lab import Lab, Site, lab

WAIT_SECONDS = 120.0
QUIET_ROUNDS = 5
GRACE_SECONDS = 2.0
SLOW_BATCH_SECONDS = 8.0


def after(site: Site, lost: float) -> list[float]:
    """When this site saw rounds merged after a moment, in seconds from it."""
    return [t - lost for t in chaos.merge_times(site) if t > lost]


def dead_node(swarm: Lab, victim: Site) -> dict[str, float]:
    """Seconds without a merge that a dead SL costs the others: until the next one, and the longest wait later on."""
    others = [s for s in swarm.sites if s is not victim]
    median = statistics.median(chaos.gaps(chaos.merge_times(others[0])))
    victim.kill()
    lost = time.time()
    chaos.go_on(swarm, 2 * QUIET_ROUNDS, *others, seconds=WAIT_SECONDS)
    merged = after(others[0], lost)
    chaos.revive(swarm, victim)
    swarm.wait(lambda: victim.status().get("state") == "syncing", seconds=WAIT_SECONDS, say="the dead one is back")
    chaos.go_on(swarm, QUIET_ROUNDS, seconds=WAIT_SECONDS)
    return {"median_round": median, "next_merge": merged[0], "longest_gap_after_it": max(chaos.gaps(merged))}


def dead_sn(swarm: Lab) -> dict[str, float]:
    """Seconds from the kill of the only SN, started again at once, to its own readiness and to the next merge."""
    swarm.sn.kill()
    lost = time.time()
    swarm.sn.start()
    ready = time.time() - lost
    chaos.go_on(swarm, QUIET_ROUNDS, seconds=WAIT_SECONDS)
    return {"sn_ready": ready, "next_merge": after(swarm.sites[0], lost)[0]}


def all_dead(swarm: Lab, chain: str) -> dict[str, float]:
    """Seconds after everything was killed and the last process started: to healthy SLs, from there to a merge."""
    if chain == "geth":
        os.kill(int((swarm.sn.state / "geth" / "geth.pid").read_text()), signal.SIGKILL)
    swarm.sn.kill()
    for site in swarm.sites:
        site.kill()
    swarm.sn.start()
    for site in swarm.sites:
        chaos.revive(swarm, site)
    started = time.time()
    swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=WAIT_SECONDS, say="all are healthy")
    healthy = time.time()
    swarm.wait(lambda: bool(after(swarm.sites[0], started)), seconds=WAIT_SECONDS, say="a merge")
    merged = after(swarm.sites[0], started)[0]
    return {"healthy": healthy - started, "merge_after_healthy": max(0.0, merged - (healthy - started))}


def slow_site(folder: Path, nodes: int, flags: list[str]) -> dict[str, float]:
    """Seconds between merges while one live site misses most rounds, and by what the longest exceeds the grace."""
    with lab(folder, *flags, sites=nodes, SL_WAIT_FOR_FULL_QUORUM_SECONDS=str(GRACE_SECONDS)) as swarm:
        chaos.train(swarm)
        chaos.reach(swarm, QUIET_ROUNDS)
        quick, *_, slow = swarm.sites
        median = statistics.median(chaos.gaps(chaos.merge_times(quick)))
        slow.kill()
        chaos.revive(swarm, slow, BATCH_SECONDS=SLOW_BATCH_SECONDS)
        swarm.wait(lambda: slow.status().get("loaded_round", -1) > 0, seconds=WAIT_SECONDS, say="the slow one is back")
        began, first = time.time(), chaos.round_of(quick)
        chaos.go_on(swarm, 3 * QUIET_ROUNDS, quick, seconds=WAIT_SECONDS)
        waits = chaos.gaps([t for t in chaos.merge_times(quick) if t > began])
        found = chaos.finish(swarm)
    return {
        "grace": GRACE_SECONDS,
        "median_round": median,
        "median_beside_it": statistics.median(waits),
        "longest_beside_it": max(waits),
        "over_the_grace": max(waits) - GRACE_SECONDS,
        "replaced_leaders": sum(a > 0 for a in chaos.attempts(found)[first + 1 :]),
    }


def measure(folder: Path, nodes: int, chain: str) -> dict[str, Any]:
    flags = chaos.chain_flags(chain)
    slow = slow_site(folder / "slow", nodes, flags)
    with lab(folder / "dead", *flags, sites=nodes) as swarm:
        chaos.train(swarm)
        chaos.reach(swarm, QUIET_ROUNDS)
        lead = chaos.leader(swarm)
        found: dict[str, Any] = {"nodes": nodes, "chain": chain, "slow_site": slow}
        found["dead_leader"] = dead_node(swarm, lead)
        lead = chaos.leader(swarm)
        found["dead_follower"] = dead_node(swarm, next(s for s in swarm.sites if s is not lead))
        found["dead_sn"] = dead_sn(swarm)
        found["all_dead"] = all_dead(swarm, chain)
        chaos.go_on(swarm, QUIET_ROUNDS, seconds=WAIT_SECONDS)
        chaos.finish(swarm)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--chain", nargs="*", default=["embedded", "geth"], choices=["embedded", "geth"])
    options = parser.parse_args()
    results = []
    for chain in options.chain:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(Path(folder), options.nodes, chain))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
