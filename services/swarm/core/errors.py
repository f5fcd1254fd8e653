"""The error tree: every error says whose fault it is; texts name the values and tell the fix.

SwarmFault
├── OperatorFault   a setting, file, port or certificate the operator must mend (exit code 2)
├── PeerFault       another node broke the protocol or sent something unusable
├── ChainFault      the chain (or the SN that relays it) refused or failed
│   └── Reverted    a contract said no: carries the custom error's name and values
├── ProgramFault    the ML program at this site did something it may not
└── LocalFault      this node's own bug or broken state
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "ChainFault",
    "LocalFault",
    "OperatorFault",
    "PeerFault",
    "ProgramFault",
    "Reverted",
    "SwarmFault",
]


class SwarmFault(Exception):
    """Base of all errors this platform raises on purpose."""

    exit_code = 1


class OperatorFault(SwarmFault):
    """A setting, file, port or certificate is wrong; the text names it and the fix."""

    exit_code = 2


class PeerFault(SwarmFault):
    """Another node broke the protocol, or is not who it must be."""


class ChainFault(SwarmFault):
    """The chain, or the SN that relays it, failed or refused."""


class Reverted(ChainFault):
    """A contract refused a call.

    Args:
        name: name of the custom error in the ABI, or "Error"/"Panic"/"Unknown".
        values: the error's arguments by name.
    """

    def __init__(self, name: str, values: Mapping[str, Any] | None = None, *, call: str = "") -> None:
        self.name = name
        self.values = dict(values or {})
        shown = ", ".join(f"{k}={_show(v)}" for k, v in self.values.items())
        super().__init__(f"the contract refused {call or 'the call'}: {name}({shown})")


class ProgramFault(SwarmFault):
    """The ML program at this site did something the pipe or the merge cannot accept."""


class LocalFault(SwarmFault):
    """This node's own state or code is broken."""


def _show(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
