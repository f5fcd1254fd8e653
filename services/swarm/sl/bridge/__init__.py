"""The FIFO bridge between an SL and the ML program at its side."""

from .api import BridgeState, Evaluate, Handler, LossReport, Merged, SessionOpen, SyncCall, SyncDone
from .bridge import FifoBridge

__all__ = [
    "BridgeState",
    "Evaluate",
    "FifoBridge",
    "Handler",
    "LossReport",
    "Merged",
    "SessionOpen",
    "SyncCall",
    "SyncDone",
]
