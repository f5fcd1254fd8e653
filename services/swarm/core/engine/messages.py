"""What nodes say to each other: signed statements and the pulse that repeats them (docs/wire-formats.md, 4).

Owns the strict JSON form and signature checks of messages; whether a message changes anything is the
machine's business. A pulse carries everything its sender has to say about the open round, so that
nothing said once can be lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..bundle import Bundle, Contribution
from ..errors import PeerFault
from ..ids import Address, Digest, from_hex, to_hex
from ..limits import MEMBERS_JOINED_MAX
from ..statements import KINDS, Ack, CheckIn, Proposal, Result, Signature, Statement, Takeover, Verifier

S = TypeVar("S", bound=Statement)

STATEMENTS_MAX = 8 + MEMBERS_JOINED_MAX
"""Statements in one pulse: own ones, and refusals to every member at most."""
PHASE_CHARS_MAX = 32
EXIT_CODE_MAX = 255
EXCEPTION_CHARS_MAX = 64
_EXCEPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signed(Generic[S]):
    """A statement with its signature, checked or not."""

    statement: S
    signature: Signature

    def to_json(self) -> dict[str, Any]:
        return {"statement": self.statement.to_json(), "signature": self.signature.to_json()}

    def valid(self, domain: Digest, verifier: Verifier) -> bool:
        signer = verifier.recover(self.statement.digest(domain), self.signature)
        return signer is not None and signer == self.statement.signer


def signed_from_json(data: Any) -> Signed[Statement]:
    """Parse a signed statement of any kind.

    Raises:
        ValueError: not exactly the documented form.
    """
    if not isinstance(data, dict) or set(data) != {"statement", "signature"}:
        raise ValueError("a signed statement has exactly the fields statement and signature")
    body = data["statement"]
    kind = body.get("kind") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown kind of statement {kind!r:.40}")
    return Signed(KINDS[kind].from_json(body), Signature.from_json(data["signature"]))


def signed_of(kind: type[S], data: Any) -> Signed[S]:
    signed = signed_from_json(data)
    if not isinstance(signed.statement, kind):
        raise ValueError(f"expected a {kind.KIND}, got a {signed.statement.KIND}")
    return Signed(signed.statement, signed.signature)


@dataclass(frozen=True, slots=True)
class ProposalMessage:
    """A leader's proposal with all it was made from, and the takeovers that entitle an attempt above 0."""

    signed: Signed[Proposal]
    result: Result
    items: tuple[Contribution, ...]
    takeovers: tuple[Signed[Takeover], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "signed": self.signed.to_json(),
            "result": self.result.to_json(),
            "items": [item.to_json() for item in self.items],
            "takeovers": [t.to_json() for t in self.takeovers],
        }

    @classmethod
    def from_json(cls, data: Any) -> ProposalMessage:
        if not isinstance(data, dict) or set(data) != {"signed", "result", "items", "takeovers"}:
            raise ValueError("a proposal message has the fields signed, result, items, takeovers")
        return cls(
            signed=signed_of(Proposal, data["signed"]),
            result=Result.from_json(data["result"]),
            items=tuple(Contribution.from_json(i) for i in _bounded(data["items"], "items")),
            takeovers=tuple(signed_of(Takeover, t) for t in _bounded(data["takeovers"], "takeovers")),
        )


@dataclass(frozen=True, slots=True)
class Left:
    """How a node's ML program ended before its run was over; nothing of what it said. None: not known.

    ``exception`` is the name of a class, 64 ASCII characters at most; ``exit_code`` is 0 to 255.
    """

    exit_code: int | None = None
    exception: str | None = None

    def __post_init__(self) -> None:
        code, name = self.exit_code, self.exception
        if code is not None and (type(code) is not int or not 0 <= code <= EXIT_CODE_MAX):
            raise ValueError(f"exit_code: expected a whole number from 0 to {EXIT_CODE_MAX}, or null")
        if name is not None and (type(name) is not str or not _EXCEPTION.fullmatch(name)):
            raise ValueError(f"exception: expected the name of a class of at most {EXCEPTION_CHARS_MAX} characters")

    def __str__(self) -> str:
        how = f" with {self.exception}" if self.exception else ""
        return f"its ML program ended{how}" + ("" if self.exit_code is None else f", exit code {self.exit_code}")

    def to_json(self) -> dict[str, Any]:
        return {"exit_code": self.exit_code, "exception": self.exception}

    @classmethod
    def from_json(cls, data: Any) -> Left:
        if not isinstance(data, dict) or set(data) != {"exit_code", "exception"}:
            raise ValueError("left has exactly the fields exit_code and exception")
        return cls(data["exit_code"], data["exception"])


@dataclass(frozen=True, slots=True)
class Pulse:
    """One node's whole say about the open round; ``progress`` grows whenever the node gets on."""

    job: Digest
    run: int
    node: Address
    round: int
    epoch: int
    attempt: int
    phase: str
    progress: int
    statements: tuple[Signed[Statement], ...] = field(default=())
    proposal: ProposalMessage | None = None
    certificate: Bundle | None = None
    left: Left | None = None
    """Only in the pulse of a node whose program has failed."""

    def to_json(self) -> dict[str, Any]:
        said = {} if self.left is None else {"left": self.left.to_json()}
        return said | {
            "job": to_hex(self.job),
            "run": self.run,
            "node": to_hex(self.node),
            "round": self.round,
            "epoch": self.epoch,
            "attempt": self.attempt,
            "phase": self.phase,
            "progress": self.progress,
            "statements": [s.to_json() for s in self.statements],
            "proposal": self.proposal.to_json() if self.proposal else None,
            "certificate": self.certificate.to_json() if self.certificate else None,
        }

    @classmethod
    def from_json(cls, data: Any) -> Pulse:
        """Parse strictly.

        Raises:
            PeerFault: not exactly the documented form, or a bound is exceeded.
        """
        wanted = {"job", "run", "node", "round", "epoch", "attempt", "phase", "progress"}
        wanted |= {"statements", "proposal", "certificate"}
        try:
            if not isinstance(data, dict) or set(data) - {"left"} != wanted:
                raise ValueError(f"expected exactly the fields {sorted(wanted)}")
            numbers = {}
            for key, bits in {"run": 64, "round": 64, "epoch": 32, "attempt": 32, "progress": 64}.items():
                if type(data[key]) is not int or not 0 <= data[key] < 2**bits:
                    raise ValueError(f"{key}: expected an unsigned integer of {bits} bits")
                numbers[key] = data[key]
            phase = data["phase"]
            if not isinstance(phase, str) or len(phase) > PHASE_CHARS_MAX:
                raise ValueError(f"phase: expected at most {PHASE_CHARS_MAX} characters")
            proposal, certificate = data["proposal"], data["certificate"]
            return cls(
                job=Digest(from_hex(data["job"], 32)),
                node=Address(from_hex(data["node"], 20)),
                phase=phase,
                statements=tuple(signed_from_json(s) for s in _bounded(data["statements"], "statements")),
                proposal=None if proposal is None else ProposalMessage.from_json(proposal),
                certificate=None if certificate is None else Bundle.from_json(certificate),
                left=Left.from_json(data["left"]) if "left" in data else None,
                **numbers,
            )
        except ValueError as error:
            raise PeerFault(f"a pulse is not in the documented form: {error}") from None


def _bounded(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > STATEMENTS_MAX:
        raise ValueError(f"{what}: expected a list of at most {STATEMENTS_MAX} entries")
    return value


__all__ = ["Ack", "CheckIn", "Left", "ProposalMessage", "Pulse", "Signed", "signed_from_json", "signed_of"]
