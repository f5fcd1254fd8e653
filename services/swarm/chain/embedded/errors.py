"""Owns the error that the embedded chain answers a JSON-RPC call with; phrases and codes are geth's."""

from __future__ import annotations

from swarm.core.errors import ChainFault

__all__ = ["INTERNAL", "INVALID_PARAMS", "LIMIT", "METHOD_MISSING", "REVERTED", "SERVER", "RpcError"]

REVERTED = 3
SERVER = -32000
LIMIT = -32005
METHOD_MISSING = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603


class RpcError(ChainFault):
    """The answer ``{"error": {"code", "message", "data"}}`` of a JSON-RPC call.

    Args:
        code: JSON-RPC error code; 3 is "execution reverted".
        message: text as geth phrases it.
        data: for code 3 the revert data as 0x hex, else None.
    """

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(message)

    def as_json(self) -> dict[str, object]:
        """The ``error`` member of a JSON-RPC response."""
        shown: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            shown["data"] = self.data
        return shown
