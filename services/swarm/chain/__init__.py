"""The chain room: the only one that speaks to a chain. Owns, for the process, how deep Python may recurse."""

from __future__ import annotations

import sys

# eth-account imports py_ecc, which raises the limit to 100,000 frames. At that depth json.loads overruns the C stack
# and ends the process, so any peer that sends a deep nest could end a node. Imported here first, it is tamed once.
import py_ecc  # noqa: F401

RECURSION_FRAMES_MAX = 10_240
"""What py-evm asks for: 1,024 nested calls."""

sys.setrecursionlimit(RECURSION_FRAMES_MAX)
