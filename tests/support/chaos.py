"""Shared by tests of real processes on bad days: programs that train until told, readings, what must hold after."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

from swarm.core.blobid import CHUNK_BYTES, ChunkList, chunk_hash
from swarm.core.ids import from_hex, job_id
from swarm.core.roster import Roster, ring_seed

from . import tools, warm
from .lab import Lab, Site
from .snprocess import clean_environ

JOB = "defaultbb.cqdb.sml.hpe"
BATCHES_MAX = 100_000
READY_SECONDS = 90.0
END_SECONDS = 150.0
COMMAND_SECONDS = 60.0


def chain_flags(chain: str) -> list[str]:
    """Flags of an SN with this chain: embedded, or geth as it is found on this machine."""
    return ["--chain", chain] + (["--geth-bin", str(tools.geth())] if chain == "geth" else [])


def train(swarm: Lab, *sites: Site, **settings: object) -> None:
    """Start programs (at all sites, if none is named) that train until :func:`finish`; then a batch takes 0.2 s."""
    given = {"BATCHES": BATCHES_MAX, "BATCH_SECONDS": 0.2, "MIN_PEERS": 2, "UNTIL": swarm.folder / "enough"}
    for site in sites or swarm.sites:
        site.start_ml(**(given | settings))


def round_of(site: Site) -> int:
    """The open round, as this site sees it; 0 while it cannot be asked."""
    return int(site.status().get("round", 0))


def reach(swarm: Lab, round_: int, *sites: Site, seconds: float = READY_SECONDS) -> None:
    """Wait until these sites (all, if none is named) have the round open."""
    chosen = sites or tuple(swarm.sites)
    swarm.wait(lambda: all(round_of(s) >= round_ for s in chosen), seconds=seconds, say=f"round {round_}")


def go_on(swarm: Lab, count: int, *sites: Site, seconds: float) -> None:
    """Wait for ``count`` more rounds at these sites (all, if none is named)."""
    chosen = sites or tuple(swarm.sites)
    reach(swarm, max(round_of(s) for s in chosen) + count, *chosen, seconds=seconds)


def revive(swarm: Lab, site: Site, **settings: object) -> None:
    """Start both processes of a killed site again, as a container manager would."""
    site.start_sl()
    train(swarm, site, **settings)


def leader(swarm: Lab) -> Site:
    """The site that leads the open round, found while a round is open."""
    found: list[Site] = []

    def look() -> bool:
        found[:] = [s for s in swarm.sites if s.status().get("role") == "leader"]
        return bool(found)

    swarm.wait(look, seconds=30, say="a leader")
    return found[0]


def leads(swarm: Lab, round_: int, *, run: int = 1) -> Site:
    """Which site leads a round at its first attempt, if all sites are on its roster and eligible."""
    by_address = {from_hex(site.status()["node"], 20): site for site in swarm.sites}
    ring = Roster.of((address, True) for address in by_address).addresses
    return by_address[ring[(ring_seed(job_id(JOB), run) + round_) % len(ring)]]


def merge_times(site: Site) -> list[float]:
    """Wall-clock seconds at which this site saw each round merged, oldest first; since its last start."""
    return [row["merged_at"] for row in site.status().get("rounds", []) if "merged_at" in row]


def gaps(times: list[float]) -> list[float]:
    """Seconds from each round to the next."""
    return [b - a for a, b in itertools.pairwise(times)]


def record(swarm: Lab) -> Any:
    """The chain's record of the run, by the command that users have."""
    done = warm.run(
        ["audit", JOB, "--json", "--ops", swarm.sn.ops],
        clean_environ(),
        seconds=COMMAND_SECONDS,
        network=swarm.sn.place.network,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def finish(swarm: Lab, *sites: Site, seconds: float = END_SECONDS) -> Any:
    """End training and check what every run must leave, whatever happened in it; returns the chain's record.

    All programs and SLs of these sites (all, if none is named) exit with 0; their files are equal to the byte and
    are the chain's last merged model; every round from 0 on was recorded once.
    """
    chosen = list(sites or swarm.sites)
    (swarm.folder / "enough").touch()
    assert swarm.run(seconds=seconds, sites=chosen) == [(0, 0)] * len(chosen)
    found = record(swarm)
    assert found["phase"] == "complete"
    assert [r["round"] for r in found["rounds"]] == list(range(len(found["rounds"])))
    for site in chosen:
        data = (site.out / "model.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest() == chosen[0].result()["sha256"], f"{site.name} has another model"
        assert chunk_root(data) == found["final"], f"{site.name}'s model is not the chain's"
    return found


def chunk_root(data: bytes) -> str:
    pieces = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    return "0x" + ChunkList(len(data), tuple(chunk_hash(p) for p in pieces)).root().hex()


def attempts(found: Any) -> list[int]:
    """The attempt at which each round was merged: 0 where its first leader did it."""
    return [r["attempt"] for r in found["rounds"]]


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder that is being written."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
