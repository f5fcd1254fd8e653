"""An operator's session on a chain of this process: real contracts, journal and signatures, and no SN in between.

What an SN would say beside the chain (who lives, its time) is what the test says.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from support.chains import CHAIN_ID, LiveChain, address_of, new_account
from swarm.chain.client import ChainClient, MemoryOutbox, Onlooker
from swarm.chain.deploy import Deployed
from swarm.chain.keys import LocalSigner
from swarm.chain.membership import GRANT_WEI
from swarm.chain.rpc import Rpc
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Tasks
from swarm.core.chain_view import Role
from swarm.core.ids import ZERO32, sha256
from swarm.inspect.source import Contracts
from swarm.store.journal import Journal
from swarm.swci.commands import HANDLERS
from swarm.swci.contexts import ContextBook
from swarm.swci.folder import Folder
from swarm.swci.session import Session

FAR = 4_000_000_000


class Node:
    """A member with a key, and its facades."""

    def __init__(self, chain: LiveChain, swarm: Deployed) -> None:
        self.account = new_account()
        self.address = address_of(self.account)
        self.signer = LocalSigner(bytes(self.account.key))
        self.client = chain.client(self.account)
        self.tasks = Tasks(self.client, swarm.tasks.address)
        self.runners = Taskrunners(self.client, swarm.runners.address)


async def member(chain: LiveChain, swarm: Deployed, role: Role) -> Node:
    node = Node(chain, swarm)
    words = {"spki": sha256(node.address), "spiffe": ZERO32, "site": ZERO32}
    await swarm.membership.admit(node.address, **words, role=role, expires=FAR, grant=GRANT_WEI)
    return node


@dataclass
class Time:
    """This host's two clocks: one of the day, which may be set, one that only counts; a sleep lets both go on."""

    day: float = 1_900_000_000.0
    steady: float = 1_000.0
    slept: list[float] = field(default_factory=list)
    each: Any = None
    """Called at each sleep."""

    async def sleep(self, seconds: float) -> None:
        self.day, self.steady = self.day + seconds, self.steady + seconds
        self.slept.append(seconds)
        if self.each is not None:
            await self.each()


class Desk:
    """Args: rpc: what the shell asks, the chain's own unless it is told lies; files: in USR_DIR."""

    def __init__(
        self,
        chain: LiveChain,
        swarm: Deployed,
        node: Node,
        folder: Path,
        rpc: Rpc | None = None,
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        self.node, self.rpc, self.journal = node, rpc or chain.rpc, folder / "journal.db"
        self.time, self.held, self.lines = Time(), 0, list[str]()
        self.contracts = {
            "Tasks": swarm.tasks.address,
            "Taskrunners": swarm.runners.address,
            "Training": swarm.training.address,
        }
        self.status: dict[str, Any] = {}
        reader = ChainClient(self.rpc, Onlooker(), MemoryOutbox(), chain_id=CHAIN_ID)
        there = SimpleNamespace(contracts=self.contracts, can_reorganise=False, training=swarm.training.address)
        who = SimpleNamespace(account=node.account)
        asked = SimpleNamespace(get=self._get)
        on = Contracts(reader, self.contracts)
        self.member: Any = SimpleNamespace(who=who, link=asked, looks=asked, swarm=there, reader=reader, on=on)
        book = ContextBook(None)
        book.create("here", "https://sn:30304")
        access: Any = SimpleNamespace(member=self._member, writing=self.writing)
        self.session = Session(access, book, Folder(folder), dict(HANDLERS), lambda: self.time.day, self.time.sleep)
        self.session.steady = lambda: self.time.steady

    async def _member(self, context: Any, pin: Any) -> Any:
        return self.member

    async def _get(self, path: str) -> Any:
        if path == "/v1/alive":
            return []
        swarm_ = {"chain": "embedded", "admission": "open", "chain_id": CHAIN_ID, "contracts": {}}
        return {"node": "sn", "up": True, "reason": None, "head": None, "swarm": swarm_, **self.status}

    @contextlib.asynccontextmanager
    async def writing(self, member: Any) -> AsyncIterator[tuple[ChainClient, Journal]]:
        self.held += 1
        try:
            with Journal(self.journal) as journal:
                yield ChainClient(self.rpc, self.node.account, MemoryOutbox(), chain_id=CHAIN_ID), journal
        finally:
            self.held -= 1

    async def run(self, line: str) -> list[str]:
        """The lines of a command's answer."""
        self.lines.clear()
        await self.session.run(line, self.lines.append, bare=True)
        return "".join(self.lines).splitlines()
