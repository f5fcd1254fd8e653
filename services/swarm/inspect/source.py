"""Where a view reads from: an SN's API as a member, or the operations port of an SN on this host.

Owns the transport and which contracts are meant; what is read is the views' business. Nothing here can write:
the key that calls are made with is a throw-away one.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from swarm.chain.client import ChainClient, MemoryOutbox, Onlooker
from swarm.chain.membership import Membership
from swarm.chain.rpc import Rpc, RpcUnreachable, unwrap
from swarm.chain.training import Training
from swarm.core.errors import OperatorFault, PeerFault
from swarm.core.ids import Address, from_hex
from swarm.core.limits import SN_API_PORT
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Unreachable
from swarm.net.identity import anyone
from swarm.net.uri import bracketed, node_url
from swarm.node.rated import TOO_MANY, in_rate

from .answers import check_signs, check_status
from .ready import operations_port

if TYPE_CHECKING:  # a look at jobs needs none of it
    from swarm.chain.joboptions import JobOptions
    from swarm.chain.taskrunners import Taskrunners
    from swarm.chain.tasks import Tasks
    from swarm.net.tls import TlsFiles

ANSWER_BYTES_MAX = 32 * 1024 * 1024
REFUSED, SERVER_FAILED = 400, 500
"""From here on an HTTP status means that we are refused, or that who answers has failed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Args: url: ``https://host:port`` of an API, or ``http://host:port`` of an operations port; tls: for the API."""

    url: str
    tls: TlsFiles | None


class Asked(Protocol):
    """An SN that is asked: by one connection, or by a link that turns to another SN."""

    @property
    def url(self) -> str: ...

    async def get(self, path: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Rated:
    """One connection's calls, within what the SN answers in a second: a loop of commands in a script waits a little."""

    line: JsonClient

    @property
    def url(self) -> str:
        return self.line.url

    async def get(self, path: str) -> Any:
        return await in_rate(lambda: self.line.get(path))

    async def post(self, path: str, body: Any) -> Any:
        return await in_rate(lambda: self.line.post(path, body))


@dataclass(frozen=True, slots=True)
class Contracts:
    """A swarm's contracts, as one client asks them.

    Raises:
        OperatorFault: (any property) the swarm has no such contract; it is of another version.
    """

    client: ChainClient
    there: Mapping[str, Address]

    @property
    def training(self) -> Training:
        return Training(self.client, self._at("Training"))

    @property
    def options(self) -> JobOptions:
        from swarm.chain.joboptions import JobOptions

        return JobOptions(self.client, self._at("JobOptions"))

    @property
    def tasks(self) -> Tasks:
        from swarm.chain.tasks import Tasks

        return Tasks(self.client, self._at("Tasks"))

    @property
    def runners(self) -> Taskrunners:
        from swarm.chain.taskrunners import Taskrunners

        return Taskrunners(self.client, self._at("Taskrunners"))

    def _at(self, name: str) -> Address:
        if name not in self.there:
            raise OperatorFault(f"this swarm names no contract {name}: it is of another version")
        return self.there[name]


@dataclass(frozen=True, slots=True)
class View:
    """An open source. ``status`` is the SN's own ``/v1/status``, ``signs`` its ``/v1/alive``."""

    rpc: Any
    training: Training
    membership: Membership
    status: dict[str, Any]
    signs: list[dict[str, Any]]
    options: Address | None = None
    """The contract of the jobs' options; None in a swarm that has none."""
    contracts: Mapping[str, Address] = field(default_factory=dict)

    @property
    def on(self) -> Contracts:
        return Contracts(self.training.client, self.contracts)


def source(
    *,
    sn: str | None,
    ops: str | None,
    cert: Path | None,
    key: Path | None,
    cacert: Path | None,
    capath: Path | None,
    environ: Mapping[str, str],
) -> Source:
    """The source that the options mean; neither ``sn`` nor ``ops``: this host's SN, by the variables it goes by.

    Raises:
        OperatorFault: ``--sn`` without certificate, or an address that is none.
    """
    if sn is None:
        host, port = operations_port("sn", ops, environ)
        return Source(f"http://{bracketed(host)}:{port}", None)
    try:
        url = node_url("--sn", sn, SN_API_PORT)
    except ValueError as error:
        raise OperatorFault(str(error)) from None
    if cert is None or key is None or (cacert is None and capath is None):
        raise OperatorFault("--sn asks as a member of the swarm: give --cert, --key and --cacert or --capath too")
    from swarm.net.tls import TlsFiles

    return Source(url, TlsFiles(cert, key, cacert, capath))


@asynccontextmanager
async def open_view(where: Source) -> AsyncIterator[View]:
    """Connect and find the contracts.

    Raises:
        OperatorFault: nobody answers there, or we are refused.
        PeerFault: an SN is there and failed.
    """
    context, expect = None, anyone
    if where.tls is not None:
        from swarm.net.tls import client_context
        from swarm.node.sn_link import expect_sn

        context, expect = client_context(where.tls), expect_sn
    async with JsonClient(where.url, context, expect, answer_bytes_max=ANSWER_BYTES_MAX) as line:
        client = _Rated(line)
        numbers = itertools.count(1)

        async def rpc(method: str, params: list[Any]) -> Any:
            call = {"jsonrpc": "2.0", "id": next(numbers), "method": method, "params": params}
            try:
                return unwrap(await client.post("/v1/rpc", call), method)
            except (Unreachable, PeerFault) as error:
                raise RpcUnreachable(f"{method}: {error}") from error

        status = await _status(client)
        reader = ChainClient(rpc, Onlooker(), MemoryOutbox(), chain_id=status["swarm"]["chain_id"])
        yield await _view(client, rpc, reader, status)


async def read_view(sn: Asked, rpc: Rpc, reader: ChainClient) -> View:
    """The view of a member that has its own way to an SN.

    Raises:
        OperatorFault: nobody answers there, or we are refused.
        PeerFault: an SN is there and failed.
    """
    return await _view(sn, rpc, reader, await _status(sn))


async def _status(sn: Asked) -> dict[str, Any]:
    with _explained(sn, first=True):
        return check_status(await sn.get("/v1/status"))


async def _view(sn: Asked, rpc: Rpc, reader: ChainClient, status: dict[str, Any]) -> View:
    with _explained(sn, first=False):
        signs = check_signs(await sn.get("/v1/alive"))
        contracts = {name: Address(from_hex(text, 20)) for name, text in status["swarm"]["contracts"].items()}
        return View(
            rpc,
            Training(reader, contracts["Training"]),
            Membership(reader, contracts["Membership"]),
            status,
            signs,
            contracts.get("JobOptions"),
            contracts,
        )


@contextmanager
def _explained(sn: Asked, *, first: bool) -> Iterator[None]:
    """What went wrong, and whose fault it is: of who runs the command if nobody is there, or refuses us; the SN's if
    it is there and fails.

    Args:
        first: nothing shows yet that an SN is there.
    """
    try:
        yield
    except BadAnswer as error:
        if error.status == TOO_MANY or error.status >= SERVER_FAILED:
            raise PeerFault(f"the SN failed: {error}; ask again, or ask another SN") from error
        if not first and error.status < REFUSED:
            raise PeerFault(f"the SN's answer cannot be read: {error}") from error
        raise OperatorFault(f"{sn.url} refused: {error.message}") from error
    except Unreachable as error:
        if not first:
            raise PeerFault(f"the SN answers no more: {error}; ask again, or ask another SN") from error
        raise OperatorFault(
            f"no SN answers: {error}; is it running? (--ops names its operations port, --sn its API)"
        ) from error
    except PeerFault as error:
        if not first:
            raise
        raise OperatorFault(f"{sn.url} is not an SN's port: {error}") from error
    except KeyError as error:
        raise OperatorFault(f"the SN at {sn.url} names no contract {error}: it is of another version") from error
