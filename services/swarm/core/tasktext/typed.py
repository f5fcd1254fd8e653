"""A task of printed or typed lines (``CREATE TASK``, ``APPEND TASK BODY``): the documented layout, read.

Whatever ``layout`` prints is read back to the same values. Of a few values the layout itself cannot tell two apart:
in Envvars and Options a text of just two single quotes is read as the empty text, which is printed so; in
BuildContext, PrivateContent and Auth the text ``~`` is read as nothing, as people type it. Lines may be typed more
loosely than printed: any indentation, ``KEY: value``, keys in any order. Values are taken as they stand, to the end of
the line: no quotes, no comments, no types.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .bounds import SLOT_BYTES_MAX, SLOTS_MAX, TEXT_BYTES_MAX
from .fields import Many, Maybe, Pairs, Record, Spec
from .findings import Findings, Reading, TaskTextFault, Weight, meant, quoted
from .layout import EMPTY, FIRST
from .model import Header, Task
from .reading import task_of
from .scalars import resolved
from .taskfields import BODIES, HEAD
from .walk import Walk
from .written import to_text
from .yamltree import Node

_KEY = re.compile(r"\s*([A-Za-z]+)\s*:(?: (.*)|(.*))", re.DOTALL)
_ITEM = re.compile(r"(\s*)-(?: (.*))?", re.DOTALL)
_PAIR = re.compile(r"\s*([^:]*?)\s*:(?: (.*)|(.*))", re.DOTALL)
NOTHING = "~"


def from_lines(header: Header, lines: Sequence[str], *, plain_secrets: bool = False) -> Reading[Task]:
    """The task of these lines, ``---`` first (it may be left out). Findings name the line by its printed number.

    ``content`` of the result is the task as a file.
    """
    found = Findings()
    body = list(lines)
    if body and body[0].strip() == FIRST:
        body = body[1:]
    if len(body) + 1 > SLOTS_MAX:
        found.add(Weight.ERROR, 0, 0, f"the body has {len(body) + 1:,} lines, at most {SLOTS_MAX:,}")
        return Reading(None, found.sorted())
    top = _head(header)
    top.pairs.append((_text("Body", 0), _Lines(BODIES[header.type], found).read(body)))
    task = task_of(top, found, plain_secrets)
    content = b"" if task is None else to_text(task).encode()
    if len(content) > TEXT_BYTES_MAX:
        found.add(Weight.ERROR, 0, 0, f"the task has {len(content):,} bytes as a file, at most {TEXT_BYTES_MAX:,}")
    return Reading(None if found.refused else task, found.sorted(), content)


def checked(header: Header) -> Header:
    """The same, if a file could say it: what CREATE TASK takes.

    Raises:
        TaskTextFault: names every value that cannot be.
    """
    found = Findings()
    Walk(found).take(_head(header), Record("the task", HEAD, tuple(HEAD)), "the task")
    if found.refused:
        raise TaskTextFault(f"task {quoted(header.name)}", found.sorted())
    return header


def _head(header: Header) -> Node:
    values = (header.name, header.type.value, header.author, header.prereq, header.outcome)
    top = Node("map", 0, 0)
    top.pairs = [(_text(key, 0), _text(value, 0)) for key, value in zip(HEAD, values, strict=True)]
    return top


class _Lines:
    """Puts lines together to the tree that the same text as YAML would have."""

    def __init__(self, record: Record, found: Findings) -> None:
        self.record = record
        self.found = found
        self.top = Node("map", 0, 0)
        self.list_key = ""
        self.list_spec: Spec | None = None
        self.list: Node | None = None
        self.indent = 0
        self.open: Node | None = None
        self.options: Node | None = None

    def read(self, lines: Sequence[str]) -> Node:
        for number, line in enumerate(lines, 1):
            if len(line.encode("utf-8", "surrogatepass")) > SLOT_BYTES_MAX:
                size = len(line.encode("utf-8", "surrogatepass"))
                self.found.add(Weight.ERROR, number, 1, f"this line has {size} bytes, at most {SLOT_BYTES_MAX}")
            elif line.strip():
                self._line(number, line)
        return self.top

    def _line(self, number: int, line: str) -> None:
        item = _ITEM.fullmatch(line)
        if item is not None and self.list is not None:
            self._item(number, len(item.group(1)), item.group(2) or "")
            return
        match = _KEY.fullmatch(line)
        if match is None and item is not None:
            self.found.add(Weight.ERROR, number, 1, f"{quoted(line)} is an item of a list, and no list begins above it")
            return
        if match is None:
            self.found.add(
                Weight.ERROR, number, 1, f"{quoted(line)} is no KEY : value and no item of a list: mend the line"
            )
            return
        key, value = match.group(1), match.group(2) if match.group(2) is not None else match.group(3)
        inner = self._inner()
        if self.open is not None and inner is not None and key in inner.fields:
            self._into_open(number, key, value, inner.fields[key])
        elif key in self.record.fields:
            self._top(number, key, value)
        else:
            self.found.add(
                Weight.ERROR,
                number,
                1,
                f"{quoted(key)} is no key of {self.record.what}{meant(key, self.record.fields)}",
            )

    def _inner(self) -> Record | None:
        """What the items of the list under way are made of, if they are maps."""
        spec = self.list_spec
        if self.list_key == "Auth":
            return _login(self.record)
        return spec.item if isinstance(spec, Many) and isinstance(spec.item, Record) else None

    def _top(self, number: int, key: str, value: str) -> None:
        spec = self.record.fields[key]
        bare = spec.of if isinstance(spec, Maybe) else spec
        self.list = self.open = self.options = None
        self.list_key, self.list_spec = key, bare
        if isinstance(bare, Many | Pairs):
            if value.strip() not in ("", NOTHING):
                self.found.add(
                    Weight.ERROR, number, 1, f"{key} is a list: write its items behind dashes in lines below"
                )
            self.list = _nothing(number)
            self._put(self.top, number, key, self.list)
            return
        nothing = value == "" or (isinstance(spec, Maybe) and value.strip() == NOTHING)
        node = _nothing(number) if nothing else _text(value, number)
        if key == "Auth" and nothing:
            # What follows may be a user and a password.
            node = self.open = Node("scalar", number, 1)
        self._put(self.top, number, key, node)

    def _item(self, number: int, indent: int, rest: str) -> None:
        assert self.list is not None
        self.list.kind = "list"
        if self.list_key == "BuildSteps":
            self.list.items.append(_text(rest, number))
            return
        match = _PAIR.fullmatch(rest)
        if match is None:
            self.found.add(
                Weight.ERROR, number, 1, f"{quoted(rest)} is no NAME : value: each item of {self.list_key} is one"
            )
            return
        name, value = match.group(1), match.group(2) if match.group(2) is not None else match.group(3)
        inner = self._inner()
        if inner is None:
            self._pair(self.list, number, name, value)
            return
        if not self.list.items:
            self.indent = indent
        if self.options is not None and (indent > self.indent or name not in inner.fields):
            self._pair(self.options, number, name, value)
            return
        self.open, self.options = Node("map", number, 1), None
        self.list.items.append(self.open)
        self._into_open(number, name, value, inner.fields.get(name))

    def _into_open(self, number: int, key: str, value: str, spec: Spec | None) -> None:
        assert self.open is not None
        self.open.kind = "map"
        bare = spec.of if isinstance(spec, Maybe) else spec
        if isinstance(bare, Pairs):
            self.options = _nothing(number)
            if value.strip() not in ("", NOTHING):
                self.found.add(
                    Weight.ERROR, number, 1, f"{key} is a list: write its items behind dashes in lines below"
                )
            self._put(self.open, number, key, self.options)
            return
        self._put(self.open, number, key, _text(value, number))

    def _pair(self, into: Node, number: int, name: str, value: str) -> None:
        node = _nothing(number) if value == "" else _text("" if value == EMPTY else value, number)
        if node.value is not None and value in _WORDS:
            self.found.add(
                Weight.WARNING, number, 1,
                f"{quoted(name)} arrives as the text {quoted(value)}, as it is typed"
                + (": leave the value out if there is none" if resolved(value, plain=True) is None else ""),
            )  # fmt: skip
        pair = Node("map", number, 1)
        pair.pairs.append((_text(name, number), node))
        into.kind = "list"
        into.items.append(pair)

    def _put(self, into: Node, number: int, key: str, node: Node) -> None:
        if any(name.text == key for name, _ in into.pairs):
            self.found.add(Weight.ERROR, number, 1, f"{key} stands twice: take one of them out")
            return
        into.pairs.append((_text(key, number), node))


_WORDS = frozenset({"true", "false", "~", "null", "None"})


def _login(record: Record) -> Record | None:
    spec = record.fields.get("Auth")
    return getattr(getattr(spec, "of", None), "record", None)


def _text(value: str, line: int) -> Node:
    return Node("scalar", line, 1, text=value, value=value)


def _nothing(line: int) -> Node:
    return Node("scalar", line, 1)
