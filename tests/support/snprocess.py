"""A real SN process on loopback, with certificates of a test CA, and a small member client to talk to it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak
from swarm.chain.keys import LocalSigner
from swarm.core.chain_view import Role
from swarm.core.ids import ZERO32, from_hex
from swarm.core.statements import MEMBERSHIP_DOMAIN, Join, Signature, domain_separator
from swarm.net.client import JsonClient
from swarm.net.identity import anyone
from swarm.net.tls import TlsFiles, client_context

from . import patience, warm
from .certs import Authority
from .chains import free_port

START_SECONDS = 60.0
READY = "Starting SWARM-API-SERVER on port:"


def clean_environ(**extra: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests."""
    own = ("SN_", "SL_", "SWARM_", "SENTINEL_", "THIS_", "COLUMNS", "LINES")  # the last two: of the terminal, if any
    kept = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    return {**kept, "SWARM_LOG_FORMAT": "human", **extra}


@dataclass(frozen=True)
class Place:
    """Where a process runs: its address, what its command line begins with, and how a test reaches its loopback.

    ``network`` is the file of the network namespace that the prefix enters, if it does.
    """

    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()
    network: str | None = None

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Connections that the calling thread opens meanwhile start there."""
        return contextlib.nullcontext()


LOOPBACK = Place()


@dataclass
class SnProcess:
    """Args: files: the SN's own certificate, key and CA; more: further flags; environ: further variables."""

    folder: Path
    files: TlsFiles
    more: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    place: Place = LOOPBACK
    warm: bool = False
    """Forked from a process that has the imports already; such nodes are for tests of something else than the start."""

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def url(self) -> str:
        return f"https://{self.place.host}:{self.port}"

    @property
    def ops(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def log(self) -> str:
        return (self.folder / f"sn-{self.starts}.log").read_text()

    def command(self) -> list[str]:
        files = self.files
        command = [sys.executable, "-m", "swarm.cli", "sn", "--sentinel"]
        command += ["--listen", self.place.host]
        command += ["--sn-api-port", str(self.port), "--ops-port", str(self.ops_port), "--state-dir", str(self.state)]
        command += ["--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]
        return command + self.more

    def start(self) -> SnProcess:
        """Start it and wait for the line that the original's scripts wait for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        log = self.folder / f"sn-{self.starts}.log"
        log.write_bytes(b"")
        environ, command = clean_environ(**self.environ), self.command()
        if self.warm:
            self.process = warm.start(
                command[command.index("sn") :], environ, log, self.place.prefix, self.place.network
            )
        else:
            with log.open("wb") as out:
                self.process = subprocess.Popen([*self.place.prefix, *command], stdout=out, stderr=out, env=environ)
        until = time.monotonic() + patience.seconds(START_SECONDS)
        while READY not in self.log:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the SN did not start (exit {self.process.returncode}):\n{self.log}")
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=patience.seconds(45))
        return int(self.process.returncode)


@contextlib.contextmanager
def running_sn(folder: Path, ca: Authority, *more: str, name: str = "sn-1") -> Iterator[SnProcess]:
    """An SN with a certificate of ``ca``, stopped at the end; prints its log when the test fails."""
    files = ca.node(folder / "certs", name, uri=f"spiffe://test/site-a/sn/{name}")
    sn = SnProcess(folder, files, list(more))
    try:
        yield sn.start()
    except BaseException:
        print(sn.log)
        raise
    finally:
        if sn.process is not None and sn.process.poll() is None:
            sn.process.terminate()
            try:
                sn.process.wait(timeout=patience.seconds(45))
            except subprocess.TimeoutExpired:
                sn.process.kill()
                sn.process.wait()


class MemberClient:
    """A node as the SN sees it: certificate, chain key, calls."""

    def __init__(self, sn: SnProcess, files: TlsFiles, *, role: Role = Role.SL, key: bytes | None = None) -> None:
        self.context = client_context(files)
        self.own = self.context.own
        self.signer = LocalSigner(key or secrets.token_bytes(32))
        self.role = role
        self.http = JsonClient(sn.url, self.context, anyone)

    async def __aenter__(self) -> MemberClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def request(self, **changed: Any) -> dict[str, Any]:
        """A signed request to join; fields can be changed before it is signed."""
        swarm = await self.http.get("/v1/swarm")
        name = self.own.spiffe
        fields = {
            "spki": self.own.spki,
            "spiffe": keccak(str(name).encode()) if name else ZERO32,
            "site": keccak((name.site if name else self.own.common_name).encode()),
            "node": self.signer.address,
            "role": int(self.role),
            "nonce": secrets.token_bytes(32),
            "expires": int(time.time()) + 300,
        } | changed
        join = Join(**fields)
        membership = from_hex(swarm["contracts"]["Membership"], 20)
        domain = domain_separator(MEMBERSHIP_DOMAIN, swarm["chain_id"], membership)
        signature: Signature = self.signer.sign(join.digest(domain))
        return {"join": join.to_json(), "signature": signature.to_json()}

    async def join(self, **changed: Any) -> Any:
        return await self.http.post("/v1/join", await self.request(**changed))

    async def rpc(self, method: str, *params: Any) -> Any:
        return await self.http.post("/v1/rpc", {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
