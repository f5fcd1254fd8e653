"""Several real SNs with geth on loopback: starting, looking at and ending them."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support import leftovers, patience, tools
from support.certs import Authority
from support.chains import free_port
from support.snprocess import MemberClient, SnProcess

DEAD_SECONDS = 4
"""Scaled: an SN that is silent for so long is dead."""
SETTLES_SECONDS = 30
"""Two blocks of one height are one again when either branch is longer at all: a few periods of blocks."""


class FleetSn(SnProcess):
    """One SN of several, told everything by variables as the original's containers are."""

    def command(self) -> list[str]:
        command = super().command()
        command.remove("--sentinel")
        at = command.index("--sn-api-port")
        return command[:at] + command[at + 2 :]

    def start(self) -> FleetSn:
        try:
            super().start()
        finally:
            if self.process is not None:
                leftovers.OWNED.add(self.process.pid)  # the fleet ends it
        return self

    def geth_pid(self) -> int:
        return int((self.state / "geth" / "geth.pid").read_text())

    def ops_status(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.ops + "/v1/status", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def ops_rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.ops + "/v1/rpc", body), timeout=10) as answer:
            return json.load(answer)["result"]

    def block(self, number: int | None = None) -> tuple[int, str]:
        found = self.ops_rpc("eth_getBlockByNumber", "latest" if number is None else hex(number), False)
        return int(found["number"], 16), found["hash"]

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.ops + "/healthz", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def signers(self) -> set[str]:
        return set(self.ops_status()["chain"]["signers"])


class SnFleet:
    """Args: more: flags of every SN."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self.more = folder, more
        self.ca = Authority()
        self.sns: list[FleetSn] = []

    def sn(self, first: SnProcess | None = None, *more: str, services: bool = False, **environ: str) -> FleetSn:
        """The next SN, not started yet.

        Args:
            first: the SN that it comes in by, None for the sentinel.
            services: name it and the sentinel by service names, as behind a reverse proxy, instead of addresses.
        """
        name = f"s{len(self.sns) + 1}"
        files = self.ca.node(self.folder / "certs", name, uri=f"spiffe://test/site-{name}/sn/{name}")
        flags = ["--chain", "geth", "--geth-bin", str(tools.geth()), "--sn-dead-after", str(DEAD_SECONDS)]
        made = FleetSn(self.folder / name, files, [*flags, *self.more, *more], warm=True)
        p2p = str(free_port())
        made.environ = {"SN_API_SERVER_PORT": str(made.port), "SN_ETH_PORT_EXT": p2p, "SN_START_MINING": "True"}
        if services:
            made.environ |= {"SN_API_SERVICE": f"localhost:{made.port}", "SN_ETH_P2P_SERVICE": f"localhost:{p2p}"}
        else:
            made.environ["THIS_NODE_IP"] = "127.0.0.1"
        if first is None:
            made.environ["SN_I_AM_SENTINEL"] = "1"
        elif services:
            made.environ["SENTINEL_API_SERVICE"] = f"localhost:{first.port}"
        else:
            made.environ |= {"SENTINEL_NODE_IP": "127.0.0.1", "SENTINEL_API_SERVER_PORT": str(first.port)}
        made.environ |= environ
        self.sns.append(made)
        return made

    def start(self, *sns: FleetSn) -> None:
        """Start them at the same time and wait until all are ready."""
        with ThreadPoolExecutor(max(1, len(sns))) as pool:
            for done in [pool.submit(sn.start) for sn in sns]:
                done.result()

    def member(self, sn: SnProcess, name: str, **more: Any) -> MemberClient:
        """An SL's client at that SN."""
        files = self.ca.node(self.folder / "certs", name, uri=f"spiffe://test/site-b/sl/{name}")
        return MemberClient(sn, files, **more)

    def end(self) -> None:
        """kill -9 what is left, geth as well by its parent's death."""
        for sn in self.sns:
            if sn.process is not None and sn.process.poll() is None:
                sn.kill()

    def logs(self) -> str:
        """The end of every log, for a test that failed."""
        found = []
        for sn in self.sns:
            for number in range(1, sn.starts + 1):
                found += [f"--- {sn.folder.name}, start {number}", (sn.folder / f"sn-{number}.log").read_text()[-6000:]]
        return "\n".join(found)


@contextlib.contextmanager
def fleet_of(folder: Path, *more: str) -> Iterator[SnFleet]:
    """A fleet to start SNs in; ends them, and prints their logs when the test fails."""
    fleet = SnFleet(folder, *more)
    try:
        yield fleet
    except BaseException:
        print(fleet.logs())
        raise
    finally:
        fleet.end()


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Seconds until it holds; an answer that fails counts as "not yet"."""
    seconds, began = patience.seconds(seconds), time.monotonic()
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if holds():
                return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def same_block(number: int, *sns: FleetSn) -> str:
    """The hash that all show at that height: two sealers may seal at once, so near the head it takes some blocks."""
    found: set[str] = set()

    def one() -> bool:
        found.clear()
        found.update(sn.block(number)[1] for sn in sns)
        return len(found) == 1

    until(one, SETTLES_SECONDS, f"one block {number} at {', '.join(sn.folder.name for sn in sns)}")
    return found.pop()


def agree(*sns: FleetSn) -> bool:
    """Whether all have the same block at the lowest of their heights, and none is more than 2 behind."""
    heads = [sn.block() for sn in sns]
    low, high = min(n for n, _ in heads), max(n for n, _ in heads)
    return high - low <= 2 and len({sn.block(low)[1] for sn in sns}) == 1
