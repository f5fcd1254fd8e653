"""Says where ``from swarm import SwarmCallback``, of the first versions' programs, is to be found today.

Only the wheel has this file. It gives way to every other package of this name, such as the nodes' own (which says the
same) or one of the user's, wherever that stands on the path.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import swarmlearning

_HERE = Path(__file__).resolve().parent


def __getattr__(name: str) -> Any:
    if name in swarmlearning.FORMER:
        raise ImportError(f"{name} is not in swarm: write {swarmlearning.TODAY}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_other = PathFinder.find_spec(__name__, [one for one in sys.path if Path(one).resolve() != _HERE])
if _other is not None:
    _module = module_from_spec(_other)
    sys.modules[__name__] = _module
    if _other.loader is not None:  # a namespace package has none in Python 3.8
        _other.loader.exec_module(_module)
