"""A node of role SWCI: joins the swarm like any other, reads its record, and sends an operator's transactions.

Owns its settings, its membership and its way to the chain; what is read and sent is the commands' business. A command
is such a node for as long as it runs (:func:`operator`), a shell for as long as it has a context (:func:`joined`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from swarm.chain.client import ChainClient, MemoryOutbox, Onlooker
from swarm.chain.keys import LocalSigner
from swarm.chain.training import Training
from swarm.chain.wake import Waker
from swarm.core.chain_view import Role
from swarm.core.ids import DEFAULT_JOB
from swarm.core.options import Opt
from swarm.net.tls import NodeContext
from swarm.node.identity import own_account, state_folder, tls_contexts
from swarm.node.joining import Kept, Swarm, check_pin, find_swarm, join_swarm
from swarm.node.outbox import JournalOutbox
from swarm.node.settings import NodeSettings, ThroughSn
from swarm.node.sn_link import SnLink
from swarm.node.sn_list import SnList
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .at_head import AtHead
from .looks import Looks
from .nodes import Places
from .source import Contracts, View, read_view

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

JOURNAL = "journal.db"
"""In the state folder."""


class OperatorSettings(ThroughSn):
    """What every operator's command needs: an SN, a certificate of role swci, a state folder for its key."""

    role = "swci"
    prefixes: ClassVar[tuple[str, ...]] = ("SWCI_",)

    job: Annotated[str, Opt("JOB")] = Field(DEFAULT_JOB, description="name of the job (training contract)")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an operator is: TLS for calling, and a chain account."""

    context: NodeContext
    account: LocalAccount


async def identity(settings: NodeSettings) -> Identity:
    """Read certificate and key, and the account, which is made at the first time.

    Raises:
        OperatorFault: one of the files does not work; says which.
    """
    _, context = tls_contexts(settings)
    return Identity(context, await own_account(settings))


@dataclass(frozen=True, slots=True)
class Member:
    """A member of role SWCI with an open way to an SN. It reads; who writes opens :meth:`writing`."""

    who: Identity
    link: SnLink
    swarm: Swarm
    reader: ChainClient
    """Asks with a throw-away key."""
    looks: Looks
    at_head: AtHead
    places: Places

    @classmethod
    def of(cls, who: Identity, link: SnLink, swarm: Swarm, waker: Waker) -> Member:
        """One whose reads share what was said of the newest block, until a block, an own receipt or another SN."""
        at_head = AtHead(link.rpc, waker)
        link.on_turn.append(at_head.forget)
        reader = ChainClient(at_head, Onlooker(), MemoryOutbox(), chain_id=swarm.chain_id)
        reader.waker = waker
        return cls(who, link, swarm, reader, Looks(link), at_head, Places(at_head, swarm.contracts))

    @property
    def on(self) -> Contracts:
        return Contracts(self.reader, self.swarm.contracts)

    async def view(self) -> View:
        """The swarm as the SN tells it, at most half a second ago; as the commands read it.

        Raises:
            OperatorFault, PeerFault, ChainFault: the SN does not answer, or with something else.
        """
        return await read_view(self.looks, self.at_head, self.reader)

    def writing(self, journal: Journal) -> ChainClient:
        """This account's transactions; ``journal`` keeps them until they are final. Call ``tend()`` first."""
        client = ChainClient(
            self.at_head.writing, self.who.account, JournalOutbox(journal), chain_id=self.swarm.chain_id
        )
        client.waker = self.reader.waker
        return client


@asynccontextmanager
async def joined(
    who: Identity, urls: Sequence[str], kept: Kept, waits: Waits, *, wait_seconds: float, mend: str = "--sn-ip"
) -> AsyncIterator[Member]:
    """Join through one of these SNs, and be a member while the block runs.

    Args:
        kept: where the swarm's pin is; it must be the same swarm ever after.
        mend: the setting that names the SN.

    Raises:
        OperatorFault: no SN; it serves another swarm; not admitted.
        ChainFault: the chain did not answer.
    """
    own = who.context.own
    assert own is not None  # read with the certificate
    waker = Waker()
    sns = SnList(urls, kept if isinstance(kept, Journal) else None)
    link = SnLink(sns, who.context, waker, partial(check_pin, kept))
    try:
        swarm = await find_swarm(link, kept, waits, wait_seconds=wait_seconds, mend=mend)
        await join_swarm(link, swarm, LocalSigner(bytes(who.account.key)), own, Role.SWCI, waits)
        yield Member.of(who, link, swarm, waker)
    finally:
        await link.aclose()


@dataclass(frozen=True, slots=True)
class Operator:
    """A member of role SWCI that sends transactions."""

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
    who = await identity(settings)
    with Journal(state_folder(settings) / JOURNAL) as journal:
        async with joined(who, settings.sn_urls, journal, Waits(), wait_seconds=settings.sn_wait_seconds) as member:
            client = member.writing(journal)
            await client.tend()
            yield Operator(member.link, client, member.swarm)
