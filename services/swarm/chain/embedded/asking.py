"""Owns py-evm's London rules for calls, with one question answered beside: to whom does it matter who asks?

To everybody where code reads the caller or the origin. Else only to those whose own account it looks at or calls:
a first look at the asker's account costs less gas than one at a stranger's, and code can read what gas is left.
"""

from __future__ import annotations

from typing import Any, cast

from eth.abc import ComputationAPI, OpcodeAPI
from eth.vm.forks.london.computation import LondonComputation
from eth.vm.forks.london.opcodes import LONDON_OPCODES
from eth.vm.forks.london.state import LondonState

__all__ = ["NAMED_MAX", "AskedState"]

NAMED_MAX = 64
"""Accounts that are noted in one call; code that looks at more is taken to care who asks."""
_ORIGIN, _CALLER = 0x32, 0x33
_ADDRESS_AT = {0x31: 1, 0x3B: 1, 0x3C: 1, 0x3F: 1, 0xFF: 1, 0xF1: 2, 0xF2: 2, 0xF4: 2, 0xFA: 2}
"""Opcodes that name an account, and how deep on the stack: BALANCE, EXTCODE..., SELFDESTRUCT; the four CALLs."""


class _Watched:
    """An opcode that tells the state what it is about."""

    def __init__(self, code: int, opcode: OpcodeAPI) -> None:
        self._code, self._opcode = code, opcode
        self.mnemonic = opcode.mnemonic

    def __call__(self, computation: ComputationAPI) -> None:
        state = cast(AskedState, computation.state)
        if self._code == _ORIGIN:
            state.own = True
        elif self._code == _CALLER:
            # Further in, the caller is a contract: the same for all.
            state.own = state.own or computation.msg.sender == computation.transaction_context.origin
        else:
            values = cast(Any, computation)._stack.values[-_ADDRESS_AT[self._code] :]
            if len(values) == _ADDRESS_AT[self._code]:  # else the opcode fails, whoever asks
                state.names(values[0])
        self._opcode(computation=computation)


class _Computation(LondonComputation):
    opcodes = LONDON_OPCODES | {
        code: cast(OpcodeAPI, _Watched(code, LONDON_OPCODES[code])) for code in (_ORIGIN, _CALLER, *_ADDRESS_AT)
    }


class AskedState(LondonState):
    """A state for one call."""

    computation_class = _Computation

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.named: set[bytes] = set()
        """Accounts that code looked at or called."""
        self.own = False
        """Whether code read who asks."""

    def names(self, account: int | bytes) -> None:
        number = account if isinstance(account, int) else int.from_bytes(account, "big")
        self.named.add((number % (1 << 160)).to_bytes(20, "big"))
        self.own = self.own or len(self.named) > NAMED_MAX
