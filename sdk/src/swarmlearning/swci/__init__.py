"""The Python client of SWCI: every command of the shell as a method, over the REST face of a SWCI (port 30306).

``Swci`` is the client, ``swci`` its other name, ``AsyncSwci`` its twin for asyncio. Needs nothing beside Python.
"""

from __future__ import annotations

from .answers import Answer
from .client import Swci
from .errors import SwciError
from .later import AsyncSwci
from .topology import Picture

swci = Swci

__all__ = ["Answer", "AsyncSwci", "Picture", "Swci", "SwciError", "swci"]
