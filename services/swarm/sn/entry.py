"""How a further SN comes in: finds the swarm at the sentinel (or any SN), is admitted, is told the chain's beginning.

Every step can be repeated; what it learnt is in the journal before anything builds on it:
pin of the swarm, then chain settings with the genesis and the peers. From then on a start needs nobody else.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from swarm.chain.geth.config import GethConfig
from swarm.chain.geth.genesis import PERIOD_SECONDS_MAX
from swarm.chain.geth.peers import Enode
from swarm.chain.geth.sealer import ensure_keys, node_id
from swarm.chain.keys import LocalSigner
from swarm.core.chain_view import Role
from swarm.core.errors import OperatorFault, PeerFault
from swarm.core.ids import address, to_hex
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Unreachable
from swarm.net.tls import NodeContext
from swarm.node.joining import Swarm, find_swarm, join_swarm
from swarm.node.sn_link import expect_sn
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .fleet import SNS_MAX
from .gethhost import CHAIN_KEY, PEERS_KEY
from .settings import SnSettings

log = logging.getLogger(__name__)

SENTINEL_WAIT_SECONDS = 600.0
"""How long a first start waits for the SN that it was told of."""
RETRY_SECONDS = 2.0


class Door:
    """The SN that this one comes in by, and what it needs from there.

    Args:
        folder: of the geth to come; its keys are made here, since others must know them first.
        context: TLS as a client.
    """

    def __init__(
        self,
        settings: SnSettings,
        folder: Path,
        context: NodeContext,
        journal: Journal,
        account: LocalAccount,
        waits: Waits,
    ) -> None:
        assert context.own is not None
        self.client = JsonClient(settings.sentinel_url, context, expect_sn)
        self._settings, self._journal, self._waits = settings, journal, waits
        self._own = context.own
        self._signer = LocalSigner(bytes(account.key))
        self._keys = GethConfig(Path("geth"), folder, chain_id=0)

    async def enter(self) -> None:
        """Everything before geth can start; nothing at later starts, which need nobody else.

        Raises:
            OperatorFault: no SN answers, it refuses this one, or its chain is not for several SNs; says what to do.
            ChainFault: the admission failed.
            PeerFault: it answers in another form.
        """
        if self._journal.get(CHAIN_KEY) is not None:
            return
        swarm = await self.join()
        url = self.client.url
        await asyncio.to_thread(ensure_keys, self._keys, sealing=True)
        with self._waits.row(what="genesis and peers of the chain", whom=url, then="geth starts"):
            chain = _chain(await _asked(self.client, "GET", None), swarm, url)
            told = {"enode": str(Enode(node_id(self._keys), *_reached_at(self._settings)))}
            peers = _peers(await _asked(self.client, "POST", told), url)
        self._journal.batch({CHAIN_KEY: json.dumps(chain).encode(), PEERS_KEY: json.dumps(peers).encode()})
        log.info("the chain's genesis and %d peers are known; geth can start", len(peers))

    async def join(self) -> Swarm:
        """Be a member of role SN, with the certificate of now. Raises as :meth:`enter`."""
        client = self.client
        swarm = await find_swarm(
            client,
            self._journal,
            self._waits,
            wait_seconds=SENTINEL_WAIT_SECONDS,
            mend="--sentinel-ip and --sentinel-api-port",
        )
        if swarm.chain != "geth":
            raise OperatorFault(
                f"the swarm of {client.url} has its chain embedded in its one SN: begin a swarm with --chain geth "
                "there (SWARM_CHAIN=geth, a new state folder), and start this SN again"
            )
        await join_swarm(client, swarm, self._signer, self._own, Role.SN, self._waits)
        return swarm


async def _asked(client: JsonClient, method: str, body: Any) -> Any:
    """Ask until it is answered; an SN that restarts its geth for others is busy for some seconds."""
    path = "/v1/chain" if method == "GET" else "/v1/chain/peers"
    while True:
        try:
            return await client.request(method, path, body=body)
        except BadAnswer as error:
            if error.status < 500:
                raise OperatorFault(f"{client.url} refuses this SN: {error.message}") from error
            log.info("%s; again in %s s", error, RETRY_SECONDS)
        except Unreachable as error:
            log.info("%s; again in %s s", error, RETRY_SECONDS)
        await asyncio.sleep(RETRY_SECONDS)


def _chain(answer: Any, swarm: Swarm, url: str) -> dict[str, Any]:
    """The journal's chain settings out of an answer to ``/v1/chain``; the genesis hash is checked once geth has it."""
    try:
        genesis = answer["genesis"]
        period = int(genesis["config"]["clique"]["period"])
        if int(genesis["config"]["chainId"]) != swarm.chain_id or not 0 <= period <= PERIOD_SECONDS_MAX:
            raise ValueError("chainId or period are not this swarm's")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PeerFault(f"{url} answers /v1/chain in another form than this version knows: {error}") from error
    return {
        "kind": "geth",
        "chain_id": swarm.chain_id,
        "period": period,
        "period_now": period,
        "synced": False,
        "genesis": genesis,
        "genesis_hash": to_hex(swarm.genesis_hash),
    }


def _peers(answer: Any, url: str) -> dict[str, str]:
    try:
        found = {to_hex(address(node)): str(Enode.parse(enode)) for node, enode in answer["peers"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PeerFault(f"{url} answers /v1/chain/peers in another form than this version knows: {error}") from error
    if not 1 <= len(found) <= SNS_MAX:
        raise PeerFault(f"{url} names {len(found)} chain peers; expected 1 to {SNS_MAX}")
    return found


def _reached_at(settings: SnSettings) -> tuple[str, int]:
    if settings.own_p2p is None:  # settings refuse this before
        raise OperatorFault("--host-ip is missing in the settings")
    return settings.own_p2p
