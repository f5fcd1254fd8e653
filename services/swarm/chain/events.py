"""Every event of our contracts as a value, and the decoder from logs. Says what happened; decides nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.chain_view import Phase, Role, Stats
from swarm.core.errors import ChainFault
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.roster import Roster
from swarm.core.statements import Result, coefficient_from_bits
from swarm.core.taskview import ItemKind, Outcome

from . import taskevents
from .contract import artifact, decode_event
from .logs import Log
from .names import snake
from .taskcodec import read_fault, read_order, read_report


@dataclass(frozen=True, slots=True)
class EntrySet:
    name: bytes
    target: Address
    version: int


@dataclass(frozen=True, slots=True)
class OwnershipTransferStarted:
    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class OwnershipTransferred:
    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class MemberAdmitted:
    node: Address
    role: Role
    spki: bytes
    site: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class MemberSuspended:
    node: Address
    by: Address


@dataclass(frozen=True, slots=True)
class MemberResumed:
    node: Address
    by: Address


@dataclass(frozen=True, slots=True)
class MemberRevoked:
    node: Address
    by: Address


@dataclass(frozen=True, slots=True)
class MemberExtended:
    node: Address
    expires: int


@dataclass(frozen=True, slots=True)
class MemberRebound:
    node: Address
    spki: bytes
    old_key_until: int


@dataclass(frozen=True, slots=True)
class MemberSucceeded:
    """``heir`` came back under the certificate of ``old``, whose key is lost and which is revoked."""

    old: Address
    heir: Address


@dataclass(frozen=True, slots=True)
class Announced:
    """Where an SN is found; the latest of a node holds, and only while it is an active member of role SN."""

    node: Address
    uri: str
    enode: str
    sealer: Address


@dataclass(frozen=True, slots=True)
class AdmitterSet:
    who: Address
    allowed: bool


@dataclass(frozen=True, slots=True)
class JobCreated:
    job: Digest
    name: str
    by: Address


@dataclass(frozen=True, slots=True)
class Joined:
    job: Digest
    run: int
    node: Address
    uri: str
    min_peers: int
    eligible: bool


@dataclass(frozen=True, slots=True)
class Left:
    job: Digest
    run: int
    node: Address


@dataclass(frozen=True, slots=True)
class RoundOpened:
    job: Digest
    run: int
    round: int
    epoch: int
    prev: BlobId
    min_peers: int
    roster: Roster


@dataclass(frozen=True, slots=True)
class RoundMerged:
    """``Merged`` in the ABI."""

    job: Digest
    run: int
    round: int
    epoch: int
    attempt: int
    leader: Address
    result: Result
    contributors: int
    acks: int


@dataclass(frozen=True, slots=True)
class Contributed:
    job: Digest
    run: int
    node: Address
    round: int
    version: int
    blob: BlobId
    size: int
    stats: Stats
    coefficient: float


@dataclass(frozen=True, slots=True)
class RunCompleted:
    job: Digest
    run: int
    rounds: int
    merged: BlobId


@dataclass(frozen=True, slots=True)
class RunFailed:
    job: Digest
    run: int
    by: Address
    reason: str


@dataclass(frozen=True, slots=True)
class RunReset:
    job: Digest
    run: int
    by: Address
    forced: bool


@dataclass(frozen=True, slots=True)
class Called:
    job: Digest
    run: int
    call_id: int
    by: Address


@dataclass(frozen=True, slots=True)
class Answered:
    job: Digest
    run: int
    call_id: int
    node: Address
    done: bool


@dataclass(frozen=True, slots=True)
class CallVoided:
    job: Digest
    run: int
    call_id: int
    answers: int


@dataclass(frozen=True, slots=True)
class CallLapsed:
    job: Digest
    run: int
    call_id: int


@dataclass(frozen=True, slots=True)
class Reformed:
    job: Digest
    run: int
    call_id: int
    epoch: int
    dropped: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    job: Digest
    run: int
    node: Address
    loss: int
    metric: int


@dataclass(frozen=True, slots=True)
class JobCarried:
    """A job of the chain with genesis ``origin`` goes on here with this run."""

    job: Digest
    run: int
    origin: Digest


@dataclass(frozen=True, slots=True)
class RoundsCarried:
    """Rounds of a carried run from ``first`` on; ``words``: for each the merged blob, then its size."""

    job: Digest
    run: int
    first: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunCarried:
    """How a run stood on the chain with genesis ``origin``; ``members``: words of who joined, bit 160 if merged."""

    job: Digest
    run: int
    origin: Digest
    phase: Phase
    rounds: int
    began: int
    ended: int
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OptionsSet:
    job: Digest
    version: int
    options: str
    by: Address


_OWNED: dict[str, type] = {
    "OwnershipTransferStarted": OwnershipTransferStarted,
    "OwnershipTransferred": OwnershipTransferred,
}
EVENTS: Mapping[str, Mapping[str, type]] = {
    "Directory": {"EntrySet": EntrySet, **_OWNED},
    "Membership": {
        c.__name__: c
        for c in (
            MemberAdmitted,
            MemberSuspended,
            MemberResumed,
            MemberRevoked,
            MemberExtended,
            MemberRebound,
            MemberSucceeded,
            Announced,
            AdmitterSet,
        )
    }
    | _OWNED,
    "Training": {
        c.__name__: c
        for c in (
            JobCreated,
            Joined,
            Left,
            RoundOpened,
            Contributed,
            RunCompleted,
            RunFailed,
            RunReset,
            Called,
            Answered,
            CallVoided,
            CallLapsed,
            Reformed,
            Closed,
            JobCarried,
            RoundsCarried,
            RunCarried,
        )
    }
    | {"Merged": RoundMerged},
    "JobOptions": {"OptionsSet": OptionsSet},
    "Tasks": {c.__name__: c for c in taskevents.TASKS},
    "Taskrunners": {c.__name__: c for c in taskevents.TASKRUNNERS},
    "TrainingCalls": {},
    "TrainingCarried": {},
    "TaskrunnersPeers": {},
}
"""By contract and ABI name; a test holds it complete."""

_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "roster": Roster.from_words,
    "role": Role,
    "result": lambda v: Result(**_snake(v)),
    "stats": lambda v: Stats(**_snake(v)),
    "coefficient": coefficient_from_bits,
    "dropped": tuple,
    "words": tuple,
    "members": tuple,
    "phase": Phase,
    "kind": ItemKind,
    "items": tuple,
    "order": read_order,
    "outcome": Outcome,
    "report": read_report,
    "reports": lambda v: tuple(map(read_report, v)),
    "fault": read_fault,
    "swops": tuple,
    "given": tuple,
}


class EventDecoder:
    """Turns logs of the given contracts into events.

    Args:
        contracts: address by contract name, as in :mod:`swarm.chain.suite`.
    """

    def __init__(self, contracts: Mapping[str, Address]) -> None:
        self._known = {
            (address, signature.hash): (EVENTS[contract][name], signature)
            for contract, address in contracts.items()
            for name, signature in artifact(contract).events.items()
            if name in EVENTS[contract]
        }

    def __call__(self, log: Log) -> Any | None:
        """The event, or None if it is none of ours.

        Raises:
            ChainFault: it claims to be ours but does not decode.
        """
        found = self._known.get((log.address, log.topics[0])) if log.topics else None
        if found is None:
            return None
        kind, signature = found
        values = _snake(decode_event(signature, log.topics, log.data))
        try:
            return kind(
                **{
                    f.name: _CONVERT[f.name](values[f.name]) if f.name in _CONVERT else values[f.name]
                    for f in dataclasses.fields(kind)
                }
            )
        except (KeyError, ValueError) as error:
            raise ChainFault(f"a log of {signature.text} does not fit {kind.__name__}: {error}") from error


def _snake(values: Mapping[str, Any]) -> dict[str, Any]:
    return {snake(key): value for key, value in values.items()}
