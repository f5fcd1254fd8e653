"""What may follow a line that is being typed: keywords and names, each with a few words of help. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .grammar import Refusal, narrowed, tokens_of
from .table import ARGUMENTS, Kind

CANDIDATES_MAX = 200
"""Offered at once."""

Names = Callable[[Kind], Iterable[str]]
"""The names that exist of a kind, as far as they are known without waiting."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Args: text: what is put in place of the last ``replaces`` characters; empty: only a hint, nothing to insert."""

    text: str
    replaces: int
    shown: str
    told: str


def complete(before: str, names: Names) -> list[Candidate]:
    """What may stand next, keywords first."""
    return list(_candidates(before, names))[:CANDIDATES_MAX]


def _candidates(before: str, names: Names) -> Iterator[Candidate]:
    if before.lstrip().startswith("#"):
        return
    tokens = tokens_of(before)
    if isinstance(tokens, Refusal):
        return
    begun = tokens.pop() if tokens and not before[-1:].isspace() else None
    left, known = narrowed(tokens)
    if known < len(tokens):
        return
    at, typed = len(tokens), begun.text if begun else ""
    length = begun.end - begun.start if begun else 0
    seen: set[str] = set()
    arguments: list[str] = []
    one_command = len({way.command.name for way in left}) == 1
    for way in left:
        if len(way.form) <= at:
            continue
        part, last = way.form[at], len(way.form) == at + 1
        for word in part.words:
            if word not in seen and word.startswith(typed.upper()) and not (begun and begun.quoted):
                seen.add(word)
                told = way.command.told if one_command or last else ""
                yield Candidate(word.lower() if typed.islower() else word, length, word, told)
        if part.name and part.name not in arguments:
            arguments.append(part.name)
    for name in arguments:
        argument = ARGUMENTS[name]
        found = False
        for one in names(argument.kind):
            if one.startswith(typed) and one not in seen:
                found = True
                seen.add(one)
                quoted = f'"{one}"' if any(c.isspace() for c in one) else one
                yield Candidate(quoted, length, one, argument.kind.value)
        if not found and not typed:
            yield Candidate("", 0, f"<{name}>", argument.told)
