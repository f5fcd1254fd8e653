"""SLs and a whole run outlive SNs: real SNs with geth, one stopped and one killed while programs train."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from support.lab import Lab
from support.snfleet import agree, fleet_of, until

pytestmark = [pytest.mark.geth, pytest.mark.timeout(240)]
LONG = 60.0
"""Seconds; a bound for a busy machine, not what it takes."""
BACK_SECONDS = 10.0
"""Within these an SL must be back on another SN (protocol, section 6)."""


@pytest.mark.row("D19")
def test_sls_turn_to_announced_sns_and_the_run_goes_on(tmp_path: Path) -> None:
    """One SN named: frozen, then the next killed; each time back within 10 s on an announced one; nothing is lost."""
    with fleet_of(tmp_path / "f") as fleet:
        sentinel = fleet.sn()
        fleet.start(sentinel)
        fleet.start(fleet.sn(sentinel), fleet.sn(sentinel))
        until(lambda: all(len(sn.signers()) == 3 for sn in fleet.sns) and agree(*fleet.sns), LONG, "three sealers")
        swarm = Lab(tmp_path, fleet.ca, sentinel)
        try:
            for _ in range(2):
                swarm.add_site("--full-quorum-wait", "5").start_sl()
            for site in swarm.sites:
                site.start_ml(MIN_PEERS=2, BATCHES=60, BATCH_SECONDS=0.5, UNTIL=tmp_path / "enough")

            def round_() -> int:
                return min(int(site.status().get("round", 0)) for site in swarm.sites)

            def used() -> list[str]:
                return [site.status()["sn"]["url"] for site in swarm.sites]

            def back_from(url: str) -> bool:
                found = [site.status()["sn"] for site in swarm.sites]
                return all(sn["url"] != url and sn["trouble"] is None for sn in found)

            until(lambda: round_() >= 1, LONG, "the first round")
            known = {sn.url for sn in fleet.sns}
            until(lambda: all(set(s.status()["sn"]["list"]) == known for s in swarm.sites), LONG, "announced SNs")
            assert used() == [sentinel.url] * 2

            os.kill(sentinel.process.pid, signal.SIGSTOP)
            frozen = until(lambda: back_from(sentinel.url), BACK_SECONDS, "another SN after a frozen one")
            seen = round_()
            until(lambda: round_() > seen + 1, LONG, "rounds at another SN")
            os.kill(sentinel.process.pid, signal.SIGCONT)
            time.sleep(3)
            assert sentinel.url not in used()

            [victim] = {url: sn for sn in fleet.sns if (url := sn.url) in used()[:1]}.values()
            victim.kill()
            dead = until(lambda: back_from(victim.url), BACK_SECONDS, "another SN after a dead one")
            seen = round_()
            until(lambda: round_() > seen + 1, LONG, "rounds after the death")
            (tmp_path / "enough").touch()
            assert swarm.run(seconds=LONG) == [(0, 0)] * 2
            assert len({site.result()["sha256"] for site in swarm.sites}) == 1
            print(f"back after a freeze {frozen:.1f} s, after a kill {dead:.1f} s")
        except BaseException:
            swarm.show()
            raise
        finally:
            os.kill(sentinel.process.pid, signal.SIGCONT)
            swarm.stop()
