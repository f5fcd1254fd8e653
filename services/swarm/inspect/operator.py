"""A short-lived node of role SWCI: joins the swarm like any other and sends an operator's transactions.

Owns its settings and its way to the chain; what is sent is the commands' business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from swarm.chain.client import ChainClient
from swarm.chain.keys import LocalSigner
from swarm.chain.training import Training
from swarm.chain.wake import Waker
from swarm.core.chain_view import Role
from swarm.core.ids import DEFAULT_JOB
from swarm.core.options import Opt
from swarm.node.identity import own_account, state_folder, tls_contexts
from swarm.node.joining import Swarm, check_pin, find_swarm, join_swarm
from swarm.node.outbox import JournalOutbox
from swarm.node.settings import ThroughSn
from swarm.node.sn_link import SnLink
from swarm.node.sn_list import SnList
from swarm.obs.waits import Waits
from swarm.store.journal import Journal


class OperatorSettings(ThroughSn):
    """What every operator's command needs: an SN, a certificate of role swci, a state folder for its key."""

    role = "swci"
    prefixes: ClassVar[tuple[str, ...]] = ("SWCI_",)

    job: Annotated[str, Opt("JOB")] = Field(DEFAULT_JOB, description="name of the job (training contract)")


@dataclass(frozen=True, slots=True)
class Operator:
    """A member of role SWCI with an open way to the chain."""

    link: SnLink
    client: ChainClient
    swarm: Swarm

    @property
    def training(self) -> Training:
        return Training(self.client, self.swarm.training)


@asynccontextmanager
async def operator(settings: OperatorSettings) -> AsyncIterator[Operator]:
    """Join, and be one while the block runs.

    Raises:
        OperatorFault: settings or certificates that do not work; no SN; not admitted.
        ChainFault: the chain did not answer.
    """
    _, context = tls_contexts(settings)
    own = context.own
    assert own is not None  # read with the certificate
    account = await own_account(settings)
    waits = Waits()
    with Journal(state_folder(settings) / "journal.db") as journal:
        link = SnLink(SnList(settings.sn_urls, journal), context, Waker(), partial(check_pin, journal))
        try:
            swarm = await find_swarm(link, journal, waits, wait_seconds=settings.sn_wait_seconds)
            await join_swarm(link, swarm, LocalSigner(bytes(account.key)), own, Role.SWCI, waits)
            client = ChainClient(link.rpc, account, JournalOutbox(journal), chain_id=swarm.chain_id)
            await client.tend()
            yield Operator(link, client, swarm)
        finally:
            await link.aclose()
