"""One SWOP process: its parts in the order in which they need each other, and its end.

Owns wiring and life cycle; decisions are :mod:`swarm.core.taskrun`'s and :mod:`swarm.core.swop`'s.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from swarm.chain.client import ChainClient
from swarm.chain.keys import LocalSigner
from swarm.chain.membership import Membership
from swarm.chain.wake import Waker
from swarm.core.alive import Alive, plain, waits_told
from swarm.core.chain_view import Member, Role
from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.ids import to_hex
from swarm.core.swop.pairs import Site
from swarm.core.swop.policy import Policy
from swarm.core.tasktext.profile import Profile
from swarm.net.server import serve
from swarm.net.tls import NodeContext
from swarm.node.dropping import taken_from
from swarm.node.identity import own_account, state_folder, tls_contexts
from swarm.node.joining import Swarm, check_pin, find_swarm, join_swarm
from swarm.node.lifesigns import last_word, tell
from swarm.node.outbox import JournalOutbox
from swarm.node.sharing import SharedLogs, no_operator
from swarm.node.sn_link import SnLink
from swarm.node.sn_list import SnList, sn_urls
from swarm.node.stopping import unless
from swarm.obs import log as obs_log
from swarm.obs import recent
from swarm.obs.metrics import Values, registry
from swarm.obs.ops import ops_app
from swarm.obs.recent import Recent
from swarm.obs.waits import Waits, tell_long_waits, timed
from swarm.store.journal import Journal

from .app import OperatorApp
from .assembly import Here, Parts, assembled
from .docker import DockerRuntime
from .files import policy_file, policy_of, profile_of, secrets_of, sl_image_of
from .settings import SwopSettings
from .telling import boxed, profile_lines

log = obs_log.get("swarm.SWOP")

LEAVING_SECONDS = 10.0
"""For the last words to the chain at the end; what runs goes on."""


async def run(settings: SwopSettings) -> int:
    """Follow the runner until SIGTERM; containers go on, and the next start finds them. The exit code.

    Raises:
        OperatorFault: settings, files, profile, ports or certificates that do not work; says which.
        ChainFault: the chain failed for good.
    """
    for notice in settings.notices:
        log.info(notice)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    assert settings.profile is not None  # the settings refuse that
    profile = profile_of(settings.inside(settings.profile), log.warning)
    urls = _sns(settings, profile)
    for line in profile_lines(profile, urls):
        log.info(line)
    server_tls, client_tls = tls_contexts(settings)
    account = await own_account(settings)
    waker = Waker()
    runtime = DockerRuntime(_engine(settings.docker))
    with recent.kept(settings.share_logs) as lines, Journal(state_folder(settings) / "journal.db") as journal:
        sns = SnList(urls, journal)
        link = SnLink(sns, client_tls, waker, partial(check_pin, journal))
        node = Node(settings, profile, journal, link, waker, LocalSigner(bytes(account.key)), client_tls, runtime)
        try:
            async with node.operators_served(server_tls, lines):
                return await node.serve(stop, account)
        finally:
            runtime.close()
            await link.aclose()


@dataclass
class Node:
    """The running SWOP."""

    settings: SwopSettings
    profile: Profile
    journal: Journal
    link: SnLink
    waker: Waker
    signer: LocalSigner
    client_tls: Any
    runtime: DockerRuntime

    def __post_init__(self) -> None:
        self._waits = Waits()
        self._stage = "starting"
        self._parts: Parts | None = None
        self._policy: Callable[[], Policy] | None = None
        self._membership: Membership | None = None
        self._client: ChainClient | None = None
        self._told_at = 0.0
        self._version = importlib.metadata.version("swarm-platform")

    @asynccontextmanager
    async def operators_served(self, tls: NodeContext, lines: Recent | None) -> AsyncIterator[None]:
        """While the block runs, operators of the swarm may read what this site shares; with ``--host-ip`` only."""
        if not self.settings.logs_url:
            yield
            return
        shared = SharedLogs(lines, self._record, no_operator)
        app = OperatorApp(
            shared,
            lambda: self._parts.texts if self._parts is not None else None,
            lambda: self._policy is not None and self._policy().share_logs,
        )
        async with serve(app, self.settings.listen, self.settings.logs_port, tls) as running:
            log.info("what this site shares", url=self.settings.logs_url, port=running.port)
            yield

    async def _record(self, spki: bytes) -> Member | None:
        """Who holds a certificate's key."""
        if self._membership is None:
            return None
        node = await self._membership.holder_of(spki)
        return None if node is None else await self._membership.member(node)

    async def serve(self, stop: asyncio.Event, account: Any) -> int:
        metrics = registry(role="swop", version=self._version, read=self.figures)
        ops = ops_app(waits=self.waits, registry=metrics, status=self.status, healthy=self.down)
        async with serve(ops, self.settings.ops_listen, self.settings.ops_port, None) as inner:
            log.info("operations port", address=f"{inner.host}:{inner.port}")
            if await unless(stop, self._enter(account)):
                await self._follow(stop)
        return 0

    async def _enter(self, account: Any) -> None:
        """Find the swarm, be admitted, and have all parts."""
        settings, link = self.settings, self.link
        self._stage = "looking for the SN"
        swarm = await find_swarm(link, self.journal, self._waits, wait_seconds=settings.sn_wait_seconds)
        self._stage = "asking for admission"
        await join_swarm(link, swarm, self.signer, self.client_tls.own, Role.SWOP, self._waits)
        client = ChainClient(
            link.rpc,
            account,
            JournalOutbox(self.journal),
            chain_id=swarm.chain_id,
            confirmations=swarm.settles_blocks,
        )
        client.waker = self.waker
        link.on_turn.append(client.resend)
        self._client = client
        self._membership = Membership(client, swarm.membership)
        self._parts = await assembled(client, swarm, self.journal, self._here(swarm), self._waits)
        for line in boxed(f"NODE UID :  {to_hex(self.signer.address)}"):
            log.info(line)

    def _here(self, swarm: Swarm) -> Here:
        settings, profile = self.settings, self.profile
        secrets = None if settings.secrets is None else settings.inside(settings.secrets)
        policy = policy_file(settings.policy, profile, settings.usr_dir)
        files = [settings.key, settings.cert, settings.state_dir, settings.key_password_file, secrets, policy]
        files += [self._profile_path(), *(Path(path) for path in taken_from(os.environ))]
        site = Site(
            self.signer.address,
            sl_image_of(settings.sl_image),
            settings.user,
            {"SN_API_SERVICE": settings.sn_api_service} if settings.sn_api_service else _sn_variables(settings),
            secrets_of(secrets),
        )
        self._policy = policy_of(settings.policy, profile, settings.usr_dir, log.warning)
        return Here(
            self.runtime,
            profile,
            site,
            self._policy,
            tuple(str(path.resolve()) for path in files if path is not None),
            self._turn,
            settings.usr_dir,
            settings.may_stay_alone,
            settings.keep_containers,
        )

    def _profile_path(self) -> Path | None:
        return None if self.settings.profile is None else self.settings.inside(self.settings.profile)

    async def _turn(self, why: str) -> None:
        log.warning("leaving the SN", why=why)
        await self.link.doubt()

    async def _follow(self, stop: asyncio.Event) -> None:
        parts = self._parts
        assert parts is not None
        assert self._client is not None
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.link.listen(), name="wake-ups"),
                group.create_task(self._client.keep(), name="outbox"),
                group.create_task(tell(self._alive, self._tell), name="signs of life"),
                group.create_task(tell_long_waits(self._wait_rows, log.info), name="long waits"),
            ]
            # An SN that is away must not keep this process from ending.
            await unless(stop, parts.runners.follow(parts.runner, max(1, len(self.profile.nodes))))
            tasks.append(group.create_task(parts.follower.run(), name="passes"))
            self._stage = "ready"
            log.info("SWOPExecutor : Ready for Task Execution!")
            await stop.wait()
            self._stage = "stopping"
            for task in tasks:
                task.cancel()
        await parts.hands.aclose()
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                await parts.runners.unfollow(parts.runner)
        except (SwarmFault, TimeoutError) as fault:
            log.info("the runner did not hear that this SWOP goes", why=str(fault) or "no answer in time")
        await last_word(replace(self._alive(), state="stopped"), self._tell, self._told_at)

    # ---- what is shown

    def down(self) -> str | None:
        """Why this node is not ready, or None."""
        if self._stage != "ready":
            return self._stage
        if self.link.trouble:
            return f"the SN: {self.link.trouble}"
        return self._parts.follower.trouble or None if self._parts is not None else None

    def status(self) -> Mapping[str, Any]:
        own = self.client_tls.own
        return {
            "role": "swop",
            "node_role": "swop",
            "version": self._version,
            "node": to_hex(self.signer.address),
            "name": own.spiffe.name if own.spiffe else own.common_name,
            "state": self._state(),
            "runner": self.profile.taskrunner,
            "group": self.profile.group,
            "pairs": len(self.profile.nodes),
            "sn": self.link.status(),
            "waits": self.waits(),
        }

    def _state(self) -> str:
        if self._stage != "ready" or self._parts is None:
            return self._stage
        return "running" if self._parts.follower.running else "listening"

    def waits(self) -> list[dict[str, Any]]:
        """Every wait of this process, longest first."""
        now = time.time()
        return [timed(row, now) for row in self._wait_rows()]

    def _wait_rows(self) -> list[dict[str, Any]]:
        return sorted(self._waits.told() + self.link.told(), key=lambda row: -float(row["since_seconds"]))

    def _alive(self) -> Alive:
        return Alive(state=plain(self._state()), waits=waits_told(self._wait_rows()), logs=self.settings.logs_url)

    async def _tell(self, said: dict[str, Any]) -> None:
        self._told_at = time.monotonic()
        await self.link.post("/v1/alive", said)

    def figures(self) -> Values:
        """What Prometheus reads; see :mod:`swarm.obs.metrics`."""
        rows = self._wait_rows()
        return {
            "swarm_healthy": float(self.down() is None),
            "swarm_waits": len(rows),
            "swarm_wait_longest_seconds": rows[0]["since_seconds"] if rows else 0.0,
            "swarm_transactions_waiting": len(self._client.pending(mined=False)) if self._client else 0,
        }


def _sns(settings: SwopSettings, profile: Profile) -> list[str]:
    """Where SNs are: what the profile says wins over the settings (row P05)."""
    api = profile.api
    port = settings.sn_api_port if api.port is None else api.port
    urls = sn_urls(api.host, api.service, port) if api.host or api.service else settings.sn_urls
    if not urls:
        raise OperatorFault(
            "say which SN to use: apisrv in the profile, --sn-ip (SN_NODE_IP) or --sn-api-service (SN_API_SERVICE)"
        )
    return urls


def _sn_variables(settings: SwopSettings) -> dict[str, str]:
    """What SLs are told of their SN where the profile says nothing."""
    return {"SN_NODE_IP": settings.sn_ip, "SN_API_SERVER_PORT": str(settings.sn_api_port)} if settings.sn_ip else {}


def _engine(named: str | None) -> str | None:
    """An address of an engine; a bare path is a socket."""
    return f"unix://{named}" if named is not None and named.startswith("/") else named
