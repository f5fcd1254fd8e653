"""Runs one geth for as long as its owner lives: init, start, health, restart with back-off, clean stop.

Owns the process and nothing on the chain; what to do when it is up (start sealing, add peers) is told by the
caller, because only the SN knows whom it waits for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from swarm.chain.parent import ends_with
from swarm.chain.rpc import IpcRpc, ipc_rpc
from swarm.chain.wake import Sleep
from swarm.core.errors import ChainFault, LocalFault, OperatorFault

from .admin import GethAdmin
from .config import GethConfig, Peering, init_command, run_command, toml_text
from .genesis import same_chain, with_period
from .watchdog import Watchdog

INIT_SECONDS_MAX = 60.0
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
HEALTH_SECONDS = 5.0
HEALTH_MISSES_MAX = 6
"""Health checks in a row without an answer before geth is restarted: 30 s."""
RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 120.0
"""Having run this long, the next restart begins at the shortest pause again."""
LINES_KEPT = 400
LINE_BYTES_MAX = 4096

"""Loaded before any fork: a child may not take the loader's locks."""

_log = logging.getLogger(__name__)


class State(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    UP = "up"
    WAITING = "waiting to restart"


@dataclass(frozen=True, slots=True)
class GethStatus:
    """For health pages. ``since`` is the supervisor's clock in seconds."""

    state: State
    pid: int | None
    since: float
    restarts: int
    last_exit: str
    frozen_seconds: float = 0.0
    sealing_restarts: int = 0


class GethSupervisor:
    """One geth process and its unix socket.

    Args:
        config: how to run it.
        genesis: checked against the one in the folder; written at the first start.
        on_up: called after each start with the node's admin calls, before it counts as up.
        on_line: each line of geth's log.
    """

    def __init__(
        self,
        config: GethConfig,
        genesis: Mapping[str, Any],
        *,
        on_up: Callable[[GethAdmin], Awaitable[None]] | None = None,
        on_line: Callable[[str], None] = _log.debug,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config
        self.rpc: IpcRpc = ipc_rpc(config.ipc)
        self.admin = GethAdmin(self.rpc)
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._genesis = dict(genesis)
        self._on_up = on_up
        self._on_line = on_line
        self._clock = clock
        self._sleep = sleep
        self._up = asyncio.Event()
        self._changed = asyncio.Event()
        self._watchdog = Watchdog(self.admin, clock)
        self._process: asyncio.subprocess.Process | None = None
        self._state, self._since = State.STOPPED, clock()
        self._restarts = 0
        self._last_exit = ""

    def status(self) -> GethStatus:
        pid = self._process.pid if self._process is not None else None
        dog = self._watchdog
        return GethStatus(self._state, pid, self._since, self._restarts, self._last_exit, dog.frozen, dog.restarts)

    async def reconfigure(self, *, peering: Peering | None = None, period: int | None = None) -> None:
        """Go on with another peering or block period, which geth takes at a start only: one restart without a pause.

        Raises:
            ChainFault: geth did not come up again in time.
        """
        if peering is not None:
            self.config = replace(self.config, peering=peering)
        if period is not None:
            self._genesis = with_period(self._genesis, period)
        self._up.clear()
        self._changed.set()
        await self.until_up()

    async def until_up(self, seconds_max: float = INIT_SECONDS_MAX + START_SECONDS_MAX) -> None:
        """Wait until geth answers; give it :meth:`run` in a task of its own.

        Raises:
            ChainFault: it did not come up in time; says how it ended last.
        """
        try:
            async with asyncio.timeout(seconds_max):
                await self._up.wait()
        except TimeoutError:
            raise ChainFault(
                f"geth did not come up within {seconds_max:.0f} s; last exit: {self._last_exit or 'none'}; "
                f"last lines: {' | '.join(list(self.lines)[-3:])}"
            ) from None

    async def run(self) -> None:
        """Keep geth running until cancelled; then stop it cleanly.

        Raises:
            OperatorFault: the binary or the folder is unusable, or holds another chain.
        """
        try:
            await self._end_leftover()
            await self._init()
            attempt = 0
            while True:
                if self._changed.is_set():
                    self._changed.clear()
                    await self._init()
                started = self._clock()
                try:
                    await self._once()
                finally:
                    self._up.clear()
                if self._changed.is_set():
                    continue
                if self._clock() - started >= STEADY_SECONDS:
                    attempt = 0
                pause = RESTART_SECONDS[min(attempt, len(RESTART_SECONDS) - 1)]
                _log.warning("geth ended (%s); restart in %s s", self._last_exit, pause)
                attempt, self._restarts = attempt + 1, self._restarts + 1
                self._enter(State.WAITING)
                await self._sleep(pause)
        finally:
            await self.rpc.aclose()
            self._enter(State.STOPPED)

    async def _once(self) -> None:
        """One life of the process."""
        self._enter(State.STARTING)
        process = await self._spawn(run_command(self.config))
        self._process = process
        self._pid_file.write_text(str(process.pid))
        reading = asyncio.create_task(self._read(process), name="geth log")
        watching = asyncio.create_task(self._watch(), name="geth health")
        ended = asyncio.create_task(process.wait(), name="geth exit")
        changed = asyncio.create_task(self._changed.wait(), name="geth settings")
        try:
            await asyncio.wait({watching, ended, changed}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not ended.done():
                fault = watching.exception()
                _log.error("geth is stopped: %s", fault)
                if isinstance(fault, OperatorFault):
                    raise fault
        finally:
            watching.cancel()
            await self._stop(process)
            ended.cancel()
            changed.cancel()
            await asyncio.gather(reading, watching, ended, changed, return_exceptions=True)
            self._last_exit = _exit_text(process.returncode)
            self._process = None
            self._pid_file.unlink(missing_ok=True)
            await self.rpc.aclose()

    async def _watch(self) -> None:
        """Wait until geth answers, then until it stops answering.

        Raises:
            ChainFault: it does not answer any more.
            OperatorFault: it serves another chain.
        """
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await self._answers():
                await self._sleep(0.05)
        chain_id = int(await self.rpc("eth_chainId", []), 16)
        if chain_id != self.config.chain_id:
            raise OperatorFault(f"geth in {self.config.folder} serves chain {chain_id}, not {self.config.chain_id}")
        if self.config.sealer is not None:
            async with asyncio.timeout(START_SECONDS_MAX):
                while not await self.admin.unlocked(self.config.sealer):
                    await self._sleep(0.02)
        if self._on_up is not None:
            await self._on_up(self.admin)
        self._enter(State.UP)
        self._up.set()
        misses = 0
        while misses < HEALTH_MISSES_MAX:
            await self._sleep(HEALTH_SECONDS)
            misses = 0 if await self._answers() else misses + 1
            if misses == 0:
                await self._watchdog.look()
        raise ChainFault(f"no answer to {misses} health checks in a row")

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self.rpc("eth_blockNumber", [])
        except (ChainFault, TimeoutError):
            return False
        return True

    async def _init(self) -> None:
        config = self.config
        try:
            config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = json.dumps(self._genesis, indent=1)
            kept = config.genesis_file.read_text() if config.genesis_file.exists() else None
            if kept is not None and not same_chain(json.loads(kept), json.loads(text)):
                raise OperatorFault(
                    f"{config.genesis_file} is the genesis of another chain; use its settings, or another state folder"
                )
            if kept != text:
                beside = config.genesis_file.with_suffix(".new")
                beside.write_text(text)
                beside.rename(config.genesis_file)
            config.toml.write_text(toml_text(config))
        except OSError as error:
            raise OperatorFault(f"geth's folder {config.folder} cannot be used: {error}") from error
        process = await self._spawn(init_command(config))
        try:
            async with asyncio.timeout(INIT_SECONDS_MAX):
                await asyncio.gather(self._read(process), process.wait())
        except TimeoutError:
            raise LocalFault(f"geth init took more than {INIT_SECONDS_MAX} s") from None
        finally:
            await self._stop(process)
        if process.returncode != 0:
            raise OperatorFault(
                f"geth init refused the genesis ({_exit_text(process.returncode)}): {' | '.join(list(self.lines)[-2:])}"
            )

    async def _spawn(self, command: list[str]) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at a terminal reaches us, and we stop it in order
                preexec_fn=ends_with(os.getpid()),
            )
        except OSError as error:
            raise OperatorFault(f"cannot start {command[0]}: {error}; set SN_GETH_BIN to a geth 1.13.15") from error

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while piece := await process.stderr.read(65536):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                self._say(line)
            rest = rest[:LINE_BYTES_MAX]
        if rest:
            self._say(rest)

    def _say(self, raw: bytes) -> None:
        line = raw[:LINE_BYTES_MAX].decode("utf-8", "replace").rstrip()
        self.lines.append(line)
        self._on_line(line)

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM and patience: geth writes its state on the way out."""
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            _log.error("geth did not stop within %s s and is killed", STOP_SECONDS_MAX)
            process.kill()
            await process.wait()

    @property
    def _pid_file(self) -> Path:
        return self.config.folder / "geth.pid"

    async def _end_leftover(self) -> None:
        """A supervisor that was killed leaves its geth behind, which holds the folder: end that one first."""
        pid = self._leftover()
        if pid is None:
            return
        _log.warning("geth %d of an earlier run still holds %s; stopping it", pid, self.config.folder)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    while _alive(pid):
                        await self._sleep(0.1)
                return
            except ProcessLookupError:
                return
            except TimeoutError:
                continue

    def _leftover(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(str(self.config.folder)) in command else None

    def _enter(self, state: State) -> None:
        self._state, self._since = state, self._clock()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _exit_text(code: int | None) -> str:
    if code is None:
        return "still running"
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
