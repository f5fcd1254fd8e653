"""What a job's options may say (contract JobOptions): read from the text on chain, the same for all nodes.

Owns names, bounds and the JSON form; what the options mean is their own modules' business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import OperatorFault
from ..merge.outer import Outer
from .stop import StopRule

TEXT_BYTES_MAX = 2048
"""What the contract takes."""
KNOWN = ("outer", "stop", "strict", "warmStart")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Args:
    stop: when a run has learnt enough; None: when all programs are done.
    strict: every member must be in every round, else the run fails at every node (as ``--strict`` does at one).
    outer: what is done with a round's merge before it is committed; None: nothing.
    warm_start: the run of this job whose final model the next one begins from; None: programs begin with their own.
    """

    stop: StopRule | None = None
    strict: bool = False
    outer: Outer | None = None
    warm_start: int | None = None

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
        strict = data.get("strict", False)
        if not isinstance(strict, bool):
            raise OperatorFault(f"options of the job: strict={strict!r}: expected true or false")
        stop = data.get("stop", {})
        if not isinstance(stop, Mapping):
            raise OperatorFault("options of the job: stop: expected an object")
        outer = data.get("outer", {})
        if not isinstance(outer, Mapping):
            raise OperatorFault("options of the job: outer: expected an object")
        return cls(StopRule.of(stop), strict, Outer.of(outer) if outer else None, _run_of(data.get("warmStart")))


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
