"""What a SWCI answers: lines of text, and what they say as values.

Owns the reading of answers, which come from another process and may be anything; transport is :mod:`.transport`'s.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Optional, Tuple

from .errors import SwciError

LINES_MAX = 100_000
NODE_FIELDS = ("NodeType", "HostIP", "Port", "ContainerName", "UUID", "ParentUUID", "i-am-alive")
"""Of each line of LIST NODES, in this order (row C28)."""

NO_SUCH_PEER = "numbered from 0"
"""In the refusal of a peer's number that is above the last one."""
LASTING = tuple(
    "ERROR " + begin for begin in ("there is no ", "no context is in use", "the certificate ", "task runner ", "after ")
)
"""Beginnings of refusals that the same question meets again: a wrong name, no right. Others: an SN may be away."""


class Answer(List[str]):
    """The lines of an answer without the blanks around them: a list of str, as the original's client gives it."""

    def as_dict(self) -> Dict[str, str]:
        """The lines of the form ``KEY : VALUE``; of a key that comes twice the first. Other lines are left out."""
        found: Dict[str, str] = {}
        for line in self:
            key, colon, value = line.partition(":")
            if colon and key.strip():
                found.setdefault(key.strip(), value.strip())
        return found

    def value(self, key: str) -> Optional[str]:
        """What stands behind this key, in any letter case; None if no line has it."""
        return next((v for k, v in self.as_dict().items() if k.casefold() == key.casefold()), None)


def parse(body: bytes) -> Tuple[Answer, Optional[str]]:
    """The lines of an answer of ``/exec``, and its error, of which there is one or none (rows R01-R03).

    An item that starts with ``ERROR `` at its first column is an error; so is an answer without any line.

    Raises:
        SwciError: this is no answer of a SWCI.
    """
    try:
        found = json.loads(body)
    except ValueError:
        raise SwciError(f"the server's answer is no JSON: {_shown(body)}. Is a SWCI at this address?", True) from None
    items = found.get("CONTENT") if isinstance(found, dict) else None
    if found and not (isinstance(items, list) and all(isinstance(item, str) for item in items)):
        raise SwciError(f"the server's answer has no CONTENT: {_shown(body)}. Is a SWCI at this address?", True)
    lines = Answer()
    for item in items or []:
        if item.startswith("ERROR "):
            return Answer(), item
        lines.extend(line.strip() for line in item.splitlines())
        if len(lines) > LINES_MAX:
            raise SwciError(f"the server's answer has more than {LINES_MAX} lines")
    if not any(lines):
        return Answer(), "ERROR : Command did not produce output"
    return lines, None


def nodes(lines: Iterable[str]) -> List[Dict[str, str]]:
    """The rows of LIST NODES behind its header, by field.

    Raises:
        SwciError: a row has another number of fields.
    """
    rows = []
    for line in list(lines)[1:]:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(NODE_FIELDS):
            raise SwciError(f"a line of LIST NODES has {len(fields)} fields, {len(NODE_FIELDS)} are expected: {line}")
        rows.append(dict(zip(NODE_FIELDS, fields)))  # noqa: B905 (Python 3.8 has no strict=)
    return rows


def _shown(body: bytes, most: int = 80) -> str:
    return repr(body[:most])[1:] + ("..." if len(body) > most else "")


def one_line(what: str, value: Any) -> str:
    """A value as one word group of a command: a line end in it would begin another command.

    Raises:
        SwciError: it has one, or says nothing.
    """
    text = str(value)
    if not text.strip() or any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise SwciError(f"{what} is {text!r}: it must be some text without line ends and control characters")
    return text
