"""A SWOP of a test: the product's own parts over a real SN, with a fake container runtime that the test drives."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.keys import LocalSigner
from swarm.chain.rpc import unwrap
from swarm.core.chain_view import Role
from swarm.core.ids import Address, Digest, to_hex
from swarm.core.swop.containers import ContainerSpec, Image
from swarm.core.swop.outcome import JOINED_FILE, Joined, joined_text
from swarm.core.swop.pairs import PART, Part, Site, key_of
from swarm.core.swop.policy import COMPATIBLE, Policy
from swarm.core.taskrun.work import Key
from swarm.core.tasktext.profile import read_profile
from swarm.net.tls import TlsFiles
from swarm.node.joining import Swarm, check_pin
from swarm.obs.waits import Waits
from swarm.store.journal import Journal
from swarm.swop.assembly import Here, Parts, assembled

from .certs import Authority
from .fakeruntime import FakeRuntime, Program
from .snprocess import MemberClient, SnProcess

PROFILE = """groupname: {name}
taskrunner: defaulttaskbb.taskdb.sml.hpe
network: bridge
nodes:
"""
NODE = """- slnodedef:
    idx: {n}
    slhostname: {name}-sl-{n}
    slhostip: {name}-sl-{n}
"""
START_SECONDS = 30.0
IMAGE = "user-env:latest"


@dataclass
class SwopNode:
    """Args:
    programs: what commands come to (their last word), as :class:`FakeRuntime` takes them.
    joins: whether the SL beside a program says that it joined a run.
    """

    sn: SnProcess
    files: TlsFiles
    folder: Path
    profile: str
    programs: Mapping[str, Program] = field(default_factory=dict)
    policy: Policy = COMPATIBLE
    joins: bool = True
    keep: bool = False

    def __post_init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self.uid = to_hex(LocalSigner(self._key).address)
        self.runtime = FakeRuntime({"": Program(None), **self.programs})
        self.runtime.images["sl:1"] = self.runtime.images["sha256:sl"] = Image("sha256:sl")
        self.runtime.images["base:1"] = self.runtime.images["sha256:base"] = Image("sha256:base")
        self.runtime.on_start = self._joined
        self.parts: Parts | None = None
        self.fault: BaseException | None = None
        self._ended, self._ready = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def has_image(self) -> None:
        """As if a build had been run here before."""
        self.runtime.images[IMAGE] = self.runtime.images["sha256:env"] = Image("sha256:env")

    def key(self, name: str) -> Key:
        """The attempt that a container belongs to."""
        found = key_of(self.runtime.boxes[name].spec.labels)
        assert found is not None
        return found

    def _joined(self, spec: ContainerSpec) -> None:
        if self.joins and spec.labels[PART] == Part.SL:
            box = self.runtime.boxes[spec.name]
            told = joined_text(spec.environment["SWARM_TASK_ATTEMPT"], Joined(Address(b"s" * 20), Digest(b"j" * 32), 1))
            box.program = Program(None, files={JOINED_FILE: told})

    def start(self) -> None:
        self._ended.clear()
        self._ready.clear()
        self._thread = threading.Thread(target=self._run, name=f"swop {self.uid[:10]}")
        self._thread.start()
        while not self._ready.wait(0.1):
            assert self._thread.is_alive(), self.fault

    def stop(self, *, crash: bool = False) -> None:
        """End the process; containers go on. A crash says nothing to anybody."""
        self._crash = crash
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=START_SECONDS)
        assert self.fault is None, self.fault

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as fault:
            self.fault = fault

    async def _live(self) -> None:
        reading = read_profile(self.profile)
        assert reading.value is not None, reading.findings
        async with MemberClient(self.sn, self.files, role=Role.SWOP, key=self._key) as member:
            await member.join()

            async def rpc(method: str, params: list[Any]) -> Any:
                return unwrap(await member.rpc(method, *params), method)

            with Journal(self.folder / "journal.db") as journal:
                swarm: Swarm = check_pin(journal, self.sn.url, await member.http.get("/v1/swarm"))
                account = Account.from_key(member.signer._key)
                client = ChainClient(rpc, account, MemoryOutbox(), chain_id=swarm.chain_id)
                site = Site(member.signer.address, "sl:1")
                here = Here(
                    self.runtime,
                    reading.value,
                    site,
                    lambda: self.policy,
                    ("/site/keys",),
                    _turn,
                    self.folder,
                    False,
                    self.keep,
                )
                parts = self.parts = await assembled(client, swarm, journal, here, Waits())
                await parts.runners.follow(parts.runner, max(1, len(reading.value.nodes)))
                self._ready.set()
                life = asyncio.ensure_future(parts.follower.run())
                while not self._ended.is_set():
                    await asyncio.wait({life}, timeout=0.05)
                    if life.done():
                        life.result()
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
                await parts.hands.aclose()
                if not self._crash:
                    await parts.runners.unfollow(parts.runner)


async def _turn(why: str) -> None:
    raise AssertionError(f"an embedded chain's only SN is to be left: {why}")


@contextlib.contextmanager
def swop_node(sn: SnProcess, ca: Authority, folder: Path, name: str, nodes: int = 1, **more: Any) -> Iterator[SwopNode]:
    """A SWOP with that many pairs that follows the default runner."""
    files = ca.node(folder / "certs", name, uri=f"spiffe://test/site-{name}/swop/{name}")
    profile = PROFILE.format(name=name) + "".join(NODE.format(n=n, name=name) for n in range(nodes))
    if not nodes:
        profile = profile.replace("nodes:\n", "nodes: []\n")
    made = SwopNode(sn, files, folder / name, profile, **more)
    made.start()
    try:
        yield made
    finally:
        made.stop()
