"""From what a user typed to one thing that exists: its whole name, or a beginning that only one has. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from swarm.core.errors import OperatorFault
from swarm.core.shown import shown

NAMED_MAX = 20
"""Names in one refusal; the others are counted."""
PREFIX_CHARS_MIN = 3
"""A shorter beginning is no name: it would mean another thing tomorrow."""
NEAR_RATIO = 0.6


def pick(what: str, typed: str, there: Sequence[str], *, whole: bool = False) -> str:
    """The one that ``typed`` means.

    Args:
        whole: no beginning will do: something is changed or ended by that name, and whoever answers which names there
            are could hide the right one.

    Raises:
        OperatorFault: none is called so, or several begin so; names the nearest, or those that are there.
    """
    if typed in there:
        return typed
    begun = [name for name in there if name.lower().startswith(typed.lower())]
    if len(begun) == 1 and len(typed) >= PREFIX_CHARS_MIN:
        if whole:
            raise OperatorFault(
                f"there is no {what} {shown(typed)!r}; did you mean {shown(begun[0])}? Type the whole name: "
                "something is changed by it"
            )
        return begun[0]
    if len(begun) > 1:
        raise OperatorFault(f"{what} {shown(typed)!r} is the beginning of {named(begun)}: type more of it")
    near = difflib.get_close_matches(typed, there, n=1, cutoff=NEAR_RATIO)
    mend = f"did you mean {shown(near[0])}? " if near else ""
    placeholder = "; what stands in <> is a placeholder that was left in" if "<" in typed and ">" in typed else ""
    raise OperatorFault(f"there is no {what} {shown(typed)!r}{placeholder}; {mend}there are: {named(there)}")


def named(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MAX
    return (", ".join(map(shown, names[:NAMED_MAX])) or "none") + (f" and {more} more" if more > 0 else "")
