"""Merge methods by name: the built-in ones, those registered here, and a site's own by entry point.

A site adds one by an entry point in the group ``swarm.merge`` whose name is the method's and whose value is
an object (or a class without arguments) with the shape of :class:`~swarm.core.merge.method.Method`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from swarm.core.errors import OperatorFault

from .clipped import ClippedMean
from .geometric import GeometricMedian
from .mean import Mean
from .median import CoordinateMedian
from .method import Anchor, Measured, Method, shares, shares_fault

ENTRY_POINT_GROUP = "swarm.merge"
NAME_CHARACTERS_MAX = 32

_methods: dict[str, Method] = {}


def register(name: str, method: Method) -> None:
    """Make a method known under ``name`` (kept in lower case).

    Raises:
        OperatorFault: the name is not 1 to 32 printable ASCII characters, or is taken by another method.
    """
    key = name.lower()
    if not 1 <= len(key) <= NAME_CHARACTERS_MAX or not key.isascii() or not key.isprintable():
        raise OperatorFault(
            f"a merge method's name has 1 to {NAME_CHARACTERS_MAX} printable ASCII characters, not {name!r:.80}"
        )
    if _methods.get(key, method) is not method:
        raise OperatorFault(f"the merge method {key!r} is already registered; choose another name")
    _methods[key] = method


def get(name: str) -> Method:
    """The method of that name, in any case.

    Raises:
        OperatorFault: there is none; the text lists those that are.
    """
    key = name.lower()
    if key not in _methods:
        for point in entry_points(group=ENTRY_POINT_GROUP, name=key):
            register(key, _load(point))
    if key not in _methods:
        raise OperatorFault(f"no merge method {name!r:.80} on this node; known are {', '.join(known())}")
    return _methods[key]


def measured_fault(name: str, weights: Sequence[int], coefficients: Sequence[float]) -> str | None:
    """What is wrong with the shares of a method that finds them in the inputs, as far as the weights alone tell.

    A method that this node does not have must give shares as well: each within 0..1, in sum at most 1.
    """
    try:
        method = get(name)
    except OperatorFault:
        return shares_fault(coefficients, whole=False)
    anchor = method.anchor if isinstance(method, Measured) else None
    fault = shares_fault(coefficients, whole=anchor is Anchor.MEDIAN)
    if fault is None and isinstance(method, ClippedMean):
        pairs = zip(coefficients, shares(weights), strict=True)
        above = [i for i, (share, most) in enumerate(pairs) if share > most]
        fault = f"share {above[0]} is above that of its weight" if above else None
    return fault


def known() -> list[str]:
    """Names of all methods, sorted; entry points are listed without being loaded."""
    return sorted({*_methods, *(point.name.lower() for point in entry_points(group=ENTRY_POINT_GROUP))})


def _load(point: EntryPoint) -> Method:
    try:
        found = point.load()
        method = found() if isinstance(found, type) else found
    except Exception as error:  # a site's own code may fail in any way
        raise OperatorFault(
            f"the merge method {point.name} = {point.value} cannot be loaded: {type(error).__name__}: {error};"
            " mend its package, or remove it"
        ) from error
    missing = [part for part in ("coefficients", "merge_block") if not callable(getattr(method, part, None))]
    if missing:
        raise OperatorFault(
            f"the entry point {point.name} = {point.value} in {ENTRY_POINT_GROUP} is no merge method:"
            f" it lacks {' and '.join(missing)}"
        )
    loaded: Method = method
    return loaded


for _built_in in (Mean(), CoordinateMedian(), GeometricMedian(), ClippedMean()):
    register(_built_in.name, _built_in)
