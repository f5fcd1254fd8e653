"""Real chains for tests: embedded, anvil and geth behind one face; each starts on free ports and ends by its pid."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from support import patience, tools
from support.httprpc import HttpRpc
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.embedded import EmbeddedChain
from swarm.chain.geth.admin import GethAdmin
from swarm.chain.geth.config import GethConfig
from swarm.chain.geth.genesis import FUNDER_WEI, genesis
from swarm.chain.geth.sealer import ensure_keys
from swarm.chain.geth.supervisor import GethSupervisor
from swarm.chain.heads import watch_heads
from swarm.chain.rpc import Rpc, embedded_rpc
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault
from swarm.core.ids import Address

CHAIN_ID = 20261121
START_SECONDS_MAX = 30.0
GAS_LIMIT = 60_000_000


def new_account() -> LocalAccount:
    account: LocalAccount = Account.from_key(secrets.token_bytes(32))
    return account


def address_of(account: LocalAccount) -> Address:
    return Address(bytes.fromhex(account.address[2:]))


class LiveChain:
    """One running chain with a funded account. ``rpc`` stays the same object over restarts."""

    kind = ""

    def __init__(self, folder: Path, funder: LocalAccount | None = None) -> None:
        self.folder = folder
        self.funder = funder or new_account()
        self.alloc = {address_of(self.funder): FUNDER_WEI}

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def send(self, method: str, params: list[Any]) -> Any:
        raise NotImplementedError

    async def wake(self, waker: Waker) -> None:
        """Wake ``waker`` for new heads until cancelled."""
        raise NotImplementedError

    @property
    def rpc(self) -> Rpc:
        return self.send

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def client(self, account: LocalAccount | None = None, outbox: Any = None, **options: Any) -> ChainClient:
        return ChainClient(self.rpc, account or self.funder, outbox or MemoryOutbox(), chain_id=CHAIN_ID, **options)


class Embedded(LiveChain):
    kind = "embedded"

    async def start(self) -> None:
        self._chain = await asyncio.to_thread(
            EmbeddedChain.open, self.folder / "chain", chain_id=CHAIN_ID, alloc=self.alloc
        )
        self._rpc = embedded_rpc(self._chain)

    async def stop(self) -> None:
        await self._rpc.aclose()
        await asyncio.to_thread(self._chain.close)

    async def send(self, method: str, params: list[Any]) -> Any:
        return await self._rpc(method, params)

    async def wake(self, waker: Waker) -> None:
        end = self._chain.subscribe(waker.listener(asyncio.get_running_loop()))
        try:
            await asyncio.Event().wait()
        finally:
            end()


class Anvil(LiveChain):
    kind = "anvil"

    def __init__(self, folder: Path, funder: LocalAccount | None = None) -> None:
        super().__init__(folder, funder)
        self._funded = False

    async def start(self) -> None:
        port = free_port()
        command = [str(tools.anvil()), "--hardfork", "london", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--chain-id", str(CHAIN_ID), "--base-fee", "0", "--gas-limit", str(GAS_LIMIT)]
        command += ["--accounts", "1", "--silent", "--state", str(self.folder / "anvil.json")]
        command += ["--preserve-historical-states", "--slots-in-an-epoch", "1"]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        self._rpc = HttpRpc(f"http://127.0.0.1:{port}")
        async with asyncio.timeout(patience.seconds(START_SECONDS_MAX)):
            while not await _answers(self._rpc):  # noqa: ASYNC110 - another process; nothing signals us
                await asyncio.sleep(0.02)
        if not self._funded:
            await self._rpc("anvil_setBalance", [self.funder.address, hex(FUNDER_WEI)])
            self._funded = True

    async def stop(self) -> None:
        await self._rpc.aclose()
        self._process.terminate()
        await self._process.wait()

    async def send(self, method: str, params: list[Any]) -> Any:
        return await self._rpc(method, params)

    async def wake(self, waker: Waker) -> None:
        last = None
        while True:
            with contextlib.suppress(ChainFault):
                head = (await self.send("eth_getBlockByNumber", ["latest", False]))["hash"]
                if head != last:
                    last = head
                    waker.wake()
            await asyncio.sleep(0.02)


class Geth(LiveChain):
    kind = "geth"

    def __init__(self, folder: Path, funder: LocalAccount | None = None, *, period: int = 0) -> None:
        super().__init__(folder, funder)
        config = GethConfig(tools.geth(), folder / "geth", CHAIN_ID)
        sealer = ensure_keys(config, sealing=True)
        assert sealer is not None
        self.config = GethConfig(tools.geth(), folder / "geth", CHAIN_ID, sealer=sealer)
        self.genesis = genesis(CHAIN_ID, [sealer], period=period, alloc=self.alloc)

    async def start(self) -> None:
        async def seal(admin: GethAdmin) -> None:
            await admin.start_sealing()

        self.supervisor = GethSupervisor(self.config, self.genesis, on_up=seal)
        self._running = asyncio.create_task(self.supervisor.run())
        waiting = asyncio.create_task(self.supervisor.until_up(START_SECONDS_MAX))
        await asyncio.wait({self._running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            waiting.cancel()
            await self._running
        await waiting

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def send(self, method: str, params: list[Any]) -> Any:
        return await self.supervisor.rpc(method, params)

    async def wake(self, waker: Waker) -> None:
        await watch_heads(self.config.ipc, waker.wake)


def make(kind: str, folder: Path, funder: LocalAccount | None = None) -> LiveChain:
    """A chain of that kind, not yet started: embedded, anvil, geth (seals on demand) or geth1 (1 s blocks)."""
    if kind == "embedded":
        return Embedded(folder, funder)
    tools.need("anvil" if kind == "anvil" else "geth")
    return Anvil(folder, funder) if kind == "anvil" else Geth(folder, funder, period=1 if kind == "geth1" else 0)


@contextlib.asynccontextmanager
async def running(kind: str, folder: Path, funder: LocalAccount | None = None) -> AsyncIterator[LiveChain]:
    chain = make(kind, folder, funder)
    await chain.start()
    try:
        yield chain
    finally:
        await chain.stop()


_GIVEN: set[int] = set()


def free_port() -> int:
    """A port that nobody has and that was given to nobody here: who got it may not listen yet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


async def _answers(rpc: Rpc) -> bool:
    try:
        await rpc("eth_blockNumber", [])
    except ChainFault:
        return False
    return True
