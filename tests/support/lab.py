"""A whole swarm of real processes on loopback: one SN, SLs, ML programs, real TLS, real pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.net.tls import TlsFiles

from . import patience, warm
from .certs import Authority
from .chains import free_port
from .snprocess import LOOPBACK, Place, SnProcess, clean_environ

PROGRAMS = Path(__file__).parent / "programs"
ADDER = PROGRAMS / "adder.py"
LOG_TAIL_CHARS = 4000


@dataclass
class Site:
    """One SL with the ML program at its side."""

    folder: Path
    name: str
    files: TlsFiles
    sn: SnProcess
    more: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    fs_port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)
    sl: subprocess.Popen[bytes] | None = None
    ml: subprocess.Popen[bytes] | None = None
    place: Place = LOOPBACK

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def ops(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    def channels(self) -> dict[str, str]:
        return {
            "SL_REQUEST_CHANNEL": str(self.folder / "request.channel"),
            "SL_RESPONSE_CHANNEL": str(self.folder / "response.channel"),
            "SWARM_EXCHANGE_DIR": str(self.folder / "exchange"),
        }

    def start_sl(self) -> Site:
        self.folder.mkdir(parents=True, exist_ok=True)
        host = self.place.host
        command = ["sl", "--host-ip", host, "--listen", host]
        command += ["--sn-ip", self.sn.place.host, "--sn-api-port", str(self.sn.port)]
        command += ["--sl-fs-port", str(self.fs_port)]
        command += ["--ops-port", str(self.ops_port), "--state-dir", str(self.folder / "state")]
        command += ["--cert", str(self.files.cert), "--key", str(self.files.key), "--cacert", str(self.files.cacert)]
        environ = clean_environ(**self.channels(), **self.environ)
        self.sl = warm.start(
            [*command, *self.more], environ, self.folder / "sl.log", self.place.prefix, self.place.network
        )
        return self

    def start_ml(self, program: Path = ADDER, **settings: object) -> Site:
        self.out.mkdir(parents=True, exist_ok=True)
        environ = clean_environ(**self.channels(), OUT=str(self.out), **{k: str(v) for k, v in settings.items()})
        with (self.folder / "ml.log").open("ab") as log:
            self.ml = subprocess.Popen([sys.executable, str(program)], stdout=log, stderr=log, env=environ)
        return self

    def kill(self) -> None:
        """kill -9 of both processes, as a power cut does."""
        for process in (self.sl, self.ml):
            if process is not None:
                process.kill()
                process.wait()

    def log(self, which: str) -> str:
        path = self.folder / f"{which}.log"
        return path.read_text() if path.exists() else ""

    def status(self) -> dict[str, Any]:
        """The SL's status page; empty while it does not answer."""
        try:
            with self.place.inside(), urllib.request.urlopen(f"{self.ops}/v1/status", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return {}

    def healthy(self) -> bool:
        try:
            with self.place.inside(), urllib.request.urlopen(f"{self.ops}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "result.json").read_text())
        return found


@dataclass
class Lab:
    """A swarm in a folder."""

    folder: Path
    ca: Authority
    sn: SnProcess
    sites: list[Site] = field(default_factory=list)

    def add_site(
        self, *more: str, ca: Authority | None = None, role: str = "sl", place: Place = LOOPBACK, **environ: str
    ) -> Site:
        number = len(self.sites) + 1
        name = f"sl-{number}"
        folder = self.folder / name
        files = (ca or self.ca).node(folder / "certs", name, uri=f"spiffe://test/site-{number}/{role}/{name}")
        site = Site(folder, name, files, self.sn, list(more), environ, place=place)
        self.sites.append(site)
        return site

    def run(self, *, seconds: float, sites: list[Site] | None = None) -> list[tuple[int, int]]:
        """Wait until the ML programs and SLs have ended by themselves; (ML, SL) exit codes."""
        codes = []
        seconds = patience.seconds(seconds)
        until = time.monotonic() + seconds
        for site in sites or self.sites:
            pair = []
            for which, process in (("ml", site.ml), ("sl", site.sl)):
                assert process is not None
                try:
                    pair.append(process.wait(timeout=max(0.1, until - time.monotonic())))
                except subprocess.TimeoutExpired:
                    raise TimeoutError(f"{site.name}'s {which} has not ended after {seconds} s") from None
            codes.append((pair[0], pair[1]))
        return codes

    def wait(self, what: Callable[[], bool], *, seconds: float, say: str) -> None:
        seconds = patience.seconds(seconds)
        until = time.monotonic() + seconds
        while not what():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {seconds} s: {say}")
            time.sleep(0.05)

    def stop(self) -> None:
        processes = [p for s in self.sites for p in (s.ml, s.sl) if p is not None and p.poll() is None]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def show(self) -> None:
        """All logs' ends, for a failed test."""
        for site in self.sites:
            for which in ("sl", "ml"):
                print(f"--- {site.name} {which}\n{site.log(which)[-LOG_TAIL_CHARS:]}")
            print(f"--- {site.name} status {json.dumps(site.status())[:3000]}")
        print(f"--- sn\n{self.sn.log[-LOG_TAIL_CHARS:]}")


@contextlib.contextmanager
def lab(
    folder: Path,
    *sn_flags: str,
    sites: int = 0,
    sl_flags: tuple[str, ...] = (),
    place: Place = LOOPBACK,
    **environ: str,
) -> Iterator[Lab]:
    """An SN that is ready (at ``place``), and SLs that are starting; everything is ended at the end, by pid."""
    ca = Authority()
    files = ca.node(folder / "sn" / "certs", "sn-1", uri="spiffe://test/site-0/sn/sn-1")
    sn = SnProcess(folder / "sn", files, list(sn_flags), place=place, warm=True)
    found = Lab(folder, ca, sn)
    try:
        sn.start()
        for _ in range(sites):
            found.add_site(*sl_flags, **environ).start_sl()
        yield found
    except BaseException:
        found.show()
        raise
    finally:
        found.stop()
        if sn.process is not None and sn.process.poll() is None:
            sn.stop()
