"""Joining the swarm: prove both keys to an SN, pin the swarm, wait visibly until the chain admits this node."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from eth_hash.auto import keccak

from swarm.chain.suite import ENTRIES, require_version
from swarm.core.chain_view import Role
from swarm.core.errors import ChainFault, OperatorFault, PeerFault
from swarm.core.ids import ZERO32, Address, from_hex, to_hex
from swarm.core.limits import JOIN_DEPTH_BLOCKS
from swarm.core.statements import MEMBERSHIP_DOMAIN, Join, Signer, domain_separator
from swarm.net.faults import BadAnswer, TlsRefused, Unreachable
from swarm.net.identity import PeerIdentity
from swarm.obs.waits import Waits

log = logging.getLogger("swarm.join")

PIN_KEY = "swarm/pin"
REQUEST_SECONDS = 300
"""A join request is good for this long (the SN accepts at most 10 minutes)."""
RETRY_SECONDS = 1.0
APPROVAL_RETRY_SECONDS = 3.0
BUSY = (429, 503)
"""Statuses of an SN that is asked too much at the moment: nobody's mistake."""
BUSY_RETRY_SECONDS = 3.0
LOG_EVERY_SECONDS = 10.0
KEY_IN_USE = "key_in_use"
KEY_IN_USE_SECONDS_MAX = 90.0
"""How long a node without its old state asks for its place: the old one's last sign of life must grow old first."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """What an SN says the swarm is; pinned at the first join."""

    chain_id: int
    genesis_hash: bytes
    directory: Address
    membership: Address
    training: Address
    chain: str
    can_reorganise: bool = False
    """Whether its chain may replace blocks: several SNs seal it by the clock."""
    contracts: Mapping[str, Address] = field(default_factory=dict)
    """All that the Directory names, libraries included."""

    @property
    def settles_blocks(self) -> int:
        """Blocks until what is in a block stays there; a geth can also lose its newest ones in a power cut."""
        return 0 if self.chain == "embedded" else JOIN_DEPTH_BLOCKS


class Kept(Protocol):
    """Where the pin is kept: a node's journal, or what else outlives the process."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes) -> None: ...


class Sn(Protocol):
    """What joining needs of the way to an SN; a single JsonClient will do, a SnLink turns to others."""

    @property
    def url(self) -> str: ...

    async def get(self, path: str) -> Any: ...

    async def post(self, path: str, body: Any) -> Any: ...


async def find_swarm(client: Sn, journal: Kept, waits: Waits, *, wait_seconds: float, mend: str = "--sn-ip") -> Swarm:
    """Ask the SN what swarm this is, waiting visibly until it answers; pins it at the first time.

    Args:
        mend: the setting that names the SN.

    Raises:
        OperatorFault: the SN refuses our certificate or we its, it does not answer within ``wait_seconds``, or it
            serves another swarm than the one pinned in this state folder.
    """
    deadline = time.monotonic() + wait_seconds
    logged = 0.0
    with waits.row(what="the SN's API", whom=client.url, deadline_seconds=wait_seconds, then="this node ends"):
        while True:
            try:
                answer = await client.get("/v1/swarm")
                break
            except (TlsRefused, PeerFault) as error:
                raise OperatorFault(str(error)) from error
            except Unreachable as error:
                if time.monotonic() >= deadline:
                    tried = f"no SN answers at {client.url} for {wait_seconds:.0f} s ({error.cause})"
                    raise OperatorFault(f"{tried}; start it, or mend {mend}") from error
                if time.monotonic() - logged >= LOG_EVERY_SECONDS:
                    logged = time.monotonic()
                    log.info("waiting for the SN at %s: %s", client.url, error.cause)
                await asyncio.sleep(RETRY_SECONDS)
    swarm = check_pin(journal, client.url, answer)
    if journal.get(PIN_KEY) is None:
        journal.put(PIN_KEY, _pin(swarm))
    return swarm


def check_pin(journal: Kept, url: str, answer: Any) -> Swarm:
    """What the SN at ``url`` says the swarm is; it must be the one pinned in this state folder, if one is.

    Raises:
        OperatorFault: it is another one, or its contracts are of another version.
        PeerFault: the answer has another form.
    """
    swarm = _parse(answer, url)
    known, pin = journal.get(PIN_KEY), _pin(swarm)
    if known is not None and known != pin:
        raise OperatorFault(
            f"{url} serves another swarm ({pin.decode()}) than "
            f"the one this state folder belongs to ({known.decode()}); use the right SN, or a new state folder"
        )
    return swarm


def _pin(swarm: Swarm) -> bytes:
    """What makes a swarm this one."""
    return json.dumps(
        {
            "chain_id": swarm.chain_id,
            "genesis": to_hex(swarm.genesis_hash),
            "contracts": [to_hex(a) for a in (swarm.directory, *swarm.contracts.values())],
        }
    ).encode()


def _parse(answer: Any, url: str) -> Swarm:
    try:
        require_version(int(answer.get("contracts_version", 1)), f"the swarm at {url}")
        contracts = {part.name: Address(from_hex(answer["contracts"][part.name], 20)) for part in ENTRIES}
        return Swarm(
            chain_id=int(answer["chain_id"]),
            genesis_hash=from_hex(answer["genesis_hash"], 32),
            directory=Address(from_hex(answer["directory"], 20)),
            membership=contracts["Membership"],
            training=contracts["Training"],
            chain=str(answer["chain"]),
            can_reorganise=answer.get("can_reorganise", False) is True,
            contracts=contracts,
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise PeerFault(f"{url} answers /v1/swarm in another form than this version knows: {error}") from error


def name_and_site(own: PeerIdentity) -> tuple[bytes, bytes]:
    """Hashes of a certificate's name (zeros if it carries none of ours) and of its site, as the chain keeps them."""
    if own.spiffe is None:
        return ZERO32, keccak(own.common_name.encode())
    return keccak(str(own.spiffe).encode()), keccak(own.spiffe.site.encode())


async def join_swarm(
    client: Sn,
    swarm: Swarm,
    signer: Signer,
    own: PeerIdentity,
    role: Role,
    waits: Waits,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Be a member: asks the SN, which proves both keys and submits the admission; waits for an approval if needed.

    Raises:
        OperatorFault: the SN refuses, with its reason; one of the two certificates is not accepted any more.
        ChainFault: it failed.
        PeerFault: it answers in another form.
    """
    spiffe, site = name_and_site(own)
    domain = domain_separator(MEMBERSHIP_DOMAIN, swarm.chain_id, swarm.membership)
    with waits.row(what="admission to the swarm", whom=client.url, then="this node takes part") as row:
        held_since: float | None = None
        while True:
            join = Join(
                spki=own.spki,
                spiffe=spiffe,
                site=site,
                node=signer.address,
                role=int(role),
                nonce=secrets.token_bytes(32),
                expires=int(clock()) + REQUEST_SECONDS,
            )
            body = {"join": join.to_json(), "signature": signer.sign(join.digest(domain)).to_json()}
            try:
                answer = await client.post("/v1/join", body)
            except TlsRefused as error:  # it ran out, or the SN's did, while this node waited
                raise OperatorFault(str(error)) from error
            except BadAnswer as error:
                if error.code == KEY_IN_USE:
                    held_since = monotonic() if held_since is None else held_since
                    if monotonic() - held_since > KEY_IN_USE_SECONDS_MAX:
                        raise OperatorFault(str(error)) from error
                if error.status not in BUSY:
                    raise (ChainFault if error.status >= 500 else OperatorFault)(str(error)) from error
                log.info("joining: %s; trying again", error)
                await asyncio.sleep(BUSY_RETRY_SECONDS)
                continue
            except Unreachable as error:
                log.info("joining: %s; trying again", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not isinstance(answer, dict):
                raise PeerFault(f"{client.url} answers /v1/join with {answer!r:.80}, which is no answer to it")
            if answer.get("admitted"):
                return
            if row.what != "approval by an operator":
                row.what = "approval by an operator"
                log.info("waiting until an operator approves this node 0x%s", signer.address.hex())
            await asyncio.sleep(APPROVAL_RETRY_SECONDS)
