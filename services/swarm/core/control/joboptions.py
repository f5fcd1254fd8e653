"""What a job's options may say (contract JobOptions): read from the text on chain, the same for all nodes.

Owns names, bounds and the JSON form; what the options mean is their own modules' business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import OperatorFault
from .staleness import Staleness
from .stop import StopRule
from .weights import PLAIN, Weighing

if TYPE_CHECKING:  # it brings numpy, and few jobs have one
    from ..merge.outer import Outer

TEXT_BYTES_MAX = 2048
"""What the contract takes."""
KNOWN = ("equalWeights", "maxWeight", "mergeMethods", "outer", "staleness", "stop", "strict", "warmStart")
WEIGHT_MAX = 2**32 - 1
"""What a check-in can carry."""
METHODS_MAX = 16


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Args:
    stop: when a run has learnt enough; None: when all programs are done.
    strict: every member must be in every round, else the run fails at every node (as ``--strict`` does at one).
    outer: what is done with a round's merge before it is committed; None: nothing.
    warm_start: the run of this job whose final model the next one begins from; None: programs begin with their own.
    weighing: what the contributors' own weights count for, and models from older rounds.
    """

    stop: StopRule | None = None
    strict: bool = False
    outer: Outer | None = None
    warm_start: int | None = None
    weighing: Weighing = PLAIN
    methods: tuple[str, ...] = ()
    """Merge methods that a leader may use, in lower case; none named: any."""

    @classmethod
    def from_text(cls, text: str) -> JobOptions:
        """Read the text on chain; "" means none.

        Raises:
            OperatorFault: it is not such an object, or holds an option this version does not know: to go on without
                it would train another model than was asked for.
        """
        if not text:
            return cls()
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise OperatorFault(f"options of the job: more than {TEXT_BYTES_MAX} bytes")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OperatorFault(f"options of the job: not JSON: {error}") from error
        if not isinstance(data, Mapping):
            raise OperatorFault("options of the job: expected a JSON object")
        for name in data:
            if name not in KNOWN:
                raise OperatorFault(
                    f"options of the job: {str(name)[:40]!r} is not known to this version; known are {', '.join(KNOWN)}"
                )
        strict = _flag(data, "strict")
        stop = data.get("stop", {})
        if not isinstance(stop, Mapping):
            raise OperatorFault("options of the job: stop: expected an object")
        outer = data.get("outer", {})
        if not isinstance(outer, Mapping):
            raise OperatorFault("options of the job: outer: expected an object")
        return cls(
            StopRule.of(stop),
            strict,
            _outer_of(outer) if outer else None,
            _run_of(data.get("warmStart")),
            _weighing_of(data),
            _methods_of(data.get("mergeMethods")),
        )


def weighing_of(text: str) -> Weighing:
    """What contributions counted for in a run with these options, for who reads its record."""
    try:
        return JobOptions.from_text(text).weighing
    except OperatorFault:  # of another version: no node of this one trained under them
        return PLAIN


def _flag(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        raise OperatorFault(f"options of the job: {name}={value!r:.80}: expected true or false")
    return value


def _weighing_of(data: Mapping[str, Any]) -> Weighing:
    equal, most = _flag(data, "equalWeights"), data.get("maxWeight")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= WEIGHT_MAX):
        raise OperatorFault(
            f"options of the job: maxWeight={most!r:.80}: expected a whole number from 1 to {WEIGHT_MAX}"
        )
    if equal and most is not None:
        raise OperatorFault("options of the job: maxWeight has no meaning beside equalWeights: name one of the two")
    staleness = data.get("staleness", {})
    if not isinstance(staleness, Mapping):
        raise OperatorFault("options of the job: staleness: expected an object")
    return Weighing(most, equal, Staleness.of(staleness) if staleness else None)


def _methods_of(names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    named = isinstance(names, list) and 1 <= len(names) <= METHODS_MAX and all(isinstance(n, str) and n for n in names)
    if not named:
        raise OperatorFault(
            f"options of the job: mergeMethods={names!r:.80}: expected a list of 1 to {METHODS_MAX} names of methods"
        )
    return tuple(name.lower() for name in names)


def _outer_of(outer: Mapping[str, Any]) -> Outer:
    from ..merge.outer import Outer

    return Outer.of(outer)


def _run_of(start: Any) -> int | None:
    if start is None:
        return None
    run = start.get("run") if isinstance(start, Mapping) and set(start) == {"run"} else None
    if isinstance(run, bool) or not isinstance(run, int) or not 1 <= run < 2**64:
        raise OperatorFault(
            f'options of the job: warmStart={start!r:.80}: expected {{"run": n}}, an earlier run of this job'
        )
    return run


def canonical(options: Mapping[str, Any]) -> str:
    """The text that goes on chain, checked.

    Raises:
        OperatorFault: an option that cannot be; names it.
    """
    text = json.dumps(options, sort_keys=True, separators=(",", ":")) if options else ""
    JobOptions.from_text(text)
    return text
