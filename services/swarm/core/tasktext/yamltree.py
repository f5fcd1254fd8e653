"""Bytes to a tree of YAML values that know their line and column, whatever the bytes are.

ruamel.yaml splits the text; what it means is decided here and in ``scalars``, because a bomb must be refused before it
is built and a message must name a place. Every problem of the text as YAML ends here in one finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from .bounds import DEPTH_MAX
from .findings import Findings, Weight, quoted
from .scalars import Scalar, resolved

_BRACKETS = re.compile(rf"[\[{{](?:\s*[\[{{]){{{DEPTH_MAX}}}")
"""ruamel looks ahead over such a run, in quadratic time, before the first of it is told."""
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_CURLY = "“”„‟«»‘’‚‛"


@dataclass(slots=True)
class Node:
    """One value. ``text`` is what is written, ``value`` what it means; both for scalars only.

    Args:
        pairs: of a map, in order, keys as nodes.
        size, height: of the whole tree below, aliases counted each time they are used.
    """

    kind: Literal["scalar", "list", "map"]
    line: int
    column: int
    text: str = ""
    value: Scalar = None
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    size: int = 1
    height: int = 0

    def get(self, key: str) -> Node | None:
        """A map's value; None if there is none, or this is no map."""
        return next((value for name, value in self.pairs if name.text == key), None)

    @property
    def shown(self) -> str:
        """What this is, for a sentence."""
        if self.kind != "scalar":
            return f"a {self.kind}"
        kinds = {bool: "the truth value", int: "the number", float: "the number", str: "the text"}
        return "empty" if self.value is None else f"{kinds[type(self.value)]} {quoted(self.text)}"


class Unreadable(Exception):
    """The text is no tree; the finding is already there."""


def decoded(raw: bytes | str, most: int, found: Findings) -> str:
    """UTF-8 with or without byte order mark, bounded.

    Raises:
        Unreadable: it is something else.
    """
    if isinstance(raw, bytes):
        if len(raw) > most:
            raise _refuse(found, 0, 0, f"the text has {len(raw):,} bytes, at most {most:,}")
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise _refuse(found, 0, 0, "the text is UTF-16: save it as UTF-8")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
            raise _refuse(
                found, line, column, f"the byte 0x{raw[error.start]:02x} is no UTF-8: save the text as UTF-8"
            ) from None
    else:
        text, size = raw, len(raw.encode("utf-8", "surrogatepass"))
        if size > most:
            raise _refuse(found, 0, 0, f"the text has {size:,} bytes, at most {most:,}")
    text = text.removeprefix("\ufeff")
    bad = _UNREADABLE.search(text)
    if bad:
        line, column = _place(text, bad.start())
        raise _refuse(found, line, column, f"the character U+{ord(bad.group()):04X} cannot be in a text: take it out")
    return text


def tree(text: str, values_max: int, found: Findings) -> Node:
    """The one document of the text.

    Raises:
        Unreadable: not YAML, nothing in it, several documents, a bomb.
    """
    if _BRACKETS.search(text):
        raise _refuse(found, 0, 0, f"lists and maps lie deeper than {DEPTH_MAX} within one another")
    try:
        return _Builder(values_max, found).built(YAML(typ="safe", pure=True).parse(_without_tabs_at_ends(text)))
    except MarkedYAMLError as error:
        mark = _mark(error)
        raise _refuse(
            found, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0, _sentence(error, text)
        ) from error
    except ReaderError as error:
        line, column = _place(text, error.position)
        raise _refuse(
            found, line, column, f"the character U+{ord(str(error.character)[0]):04X} is none of YAML's"
        ) from error
    except (YAMLError, ValueError, AttributeError, IndexError, AssertionError, TypeError, NotImplementedError) as error:
        # What ruamel raises for broken escapes and directives is not always its own kind of error.
        raise _refuse(found, 0, 0, f"the text is no YAML: {quoted(error)}") from error


class _Builder:
    """Builds nodes from parser events with a stack of its own: no recursion, and every bound is checked on the way."""

    def __init__(self, values_max: int, found: Findings) -> None:
        self.values_max = values_max
        self.found = found
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[Node, str | None, list[Node]]] = []
        self.count = 0
        self.root: Node | None = None

    def built(self, events: Iterator[Any]) -> Node:
        documents = 0
        for event in events:
            name = type(event).__name__
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            if name == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise _refuse(
                        self.found, line, column, "a second document begins (---): one file is one, so split it"
                    )
            elif name == "ScalarEvent":
                self._scalar(event, line, column)
            elif name == "AliasEvent":
                self._alias(str(event.anchor), line, column)
            elif name in ("SequenceStartEvent", "MappingStartEvent"):
                self._start("list" if name.startswith("S") else "map", event, line, column)
            elif name in ("SequenceEndEvent", "MappingEndEvent"):
                self._end()
        if self.root is None or (self.root.kind == "scalar" and self.root.value is None):
            raise _refuse(self.found, 0, 0, "the text is empty: there is no value in it")
        return self.root

    def _scalar(self, event: Any, line: int, column: int) -> None:
        tag = None if event.tag is None else str(event.tag)
        node = Node("scalar", line, column, text=event.value)
        try:
            node.value = resolved(event.value, plain=event.style is None or event.style == "", tag=tag)
        except ValueError as error:
            self.found.add(Weight.ERROR, line, column, str(error))
            node.value = event.value
        self._place(node, event.anchor)

    def _alias(self, anchor: str, line: int, column: int) -> None:
        if anchor not in self.anchors:
            raise _refuse(
                self.found, line, column, f"*{quoted(anchor)} names no value above: if it is a text, put it in quotes"
            )
        self._place(self.anchors[anchor], None)

    def _start(self, kind: Literal["list", "map"], event: Any, line: int, column: int) -> None:
        tag = None if event.tag is None else str(event.tag)
        if tag not in (None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            self.found.add(
                Weight.ERROR, line, column, f"the tag {quoted(tag)} is not taken: write the value without it"
            )
        if len(self.open) >= DEPTH_MAX:
            raise _refuse(self.found, line, column, f"lists and maps lie deeper than {DEPTH_MAX} within one another")
        self.open.append((Node(kind, line, column, size=0), event.anchor, []))

    def _end(self) -> None:
        node, anchor, parts = self.open.pop()
        node.size = 1 + sum(part.size for part in parts)
        node.height = 1 + max((part.height for part in parts), default=0)
        if node.kind == "list":
            node.items = parts
        else:
            node.pairs = list(zip(parts[::2], parts[1::2], strict=True))
            _keys(node, self.found)
            _merge(node, self.found)
        # Its parts were counted as they came.
        self.count -= node.size - 1
        self._place(node, anchor)

    def _place(self, node: Node, anchor: Any) -> None:
        self.count += node.size
        if self.count > self.values_max:
            raise _refuse(self.found, node.line, node.column, f"the text has more than {self.values_max:,} values")
        if node.height + len(self.open) > DEPTH_MAX:
            raise _refuse(
                self.found, node.line, node.column, f"lists and maps lie deeper than {DEPTH_MAX} within one another"
            )
        if anchor is not None:
            self.anchors[str(anchor)] = node
        if self.open:
            self.open[-1][2].append(node)
        else:
            self.root = node


def _without_tabs_at_ends(text: str) -> str:
    """YAML allows them, nobody sees them, and ruamel (as the original's reader) stumbles over them."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        bare = line.rstrip(" \t\r")
        if "\t" in line[len(bare) :]:
            lines[at] = bare
    return "\n".join(lines)


def _keys(node: Node, found: Findings) -> None:
    """Keys are texts as they are written (`on` stays `on`), each once; the last of two would win without a word."""
    first: dict[str, Node] = {}
    kept = []
    for key, value in node.pairs:
        if key.kind != "scalar":
            found.add(Weight.ERROR, key.line, key.column, f"{key.shown} stands where a key must be a text")
            continue
        bare, curly = unquoted(key.text)
        if curly:
            found.add(
                Weight.WARNING, key.line, key.column,
                f"the key {quoted(key.text)} stands in curly quotes: it is taken as {quoted(bare)}",
            )  # fmt: skip
        key = Node("scalar", key.line, key.column, text=bare, value=bare)
        if bare in first and bare != "<<":
            found.add(
                Weight.ERROR, key.line, key.column,
                f"the key {quoted(bare)} stands twice, first in line {first[bare].line}: take one of them out",
            )  # fmt: skip
            continue
        first[bare] = key
        kept.append((key, value))
    node.pairs = kept


def _merge(node: Node, found: Findings) -> None:
    """``<<: *base`` puts the pairs of another map in, below the own ones (YAML 1.1, as the original's reader)."""
    if not any(key.kind == "scalar" and key.text == "<<" for key, _ in node.pairs):
        return
    own = [(key, value) for key, value in node.pairs if key.text != "<<"]
    taken = {key.text for key, _ in own}
    for key, value in node.pairs:
        if key.text != "<<":
            continue
        for base in value.items if value.kind == "list" else [value]:
            if base.kind != "map":
                found.add(Weight.ERROR, key.line, key.column, "<< takes a map, or a list of maps")
                continue
            own += [pair for pair in base.pairs if pair[0].text not in taken]
            taken |= {pair[0].text for pair in base.pairs}
    node.pairs = own


def unquoted(key: str) -> tuple[str, bool]:
    """A key without the curly quotes that a word processor put around it, and whether there were any."""
    if not any(c in _CURLY for c in key):
        return key, False
    bare = key.strip(_CURLY + "\"'")
    return (bare, True) if bare and bare != key else (key, False)


def in_curly_quotes(text: str) -> bool:
    return len(text) > 1 and text[0] in _CURLY and text[-1] in _CURLY + "\"'"


def _mark(error: MarkedYAMLError) -> Any:
    """Where the fault is: of a key without a colon that is the key, not the line after it."""
    if error.context_mark is not None and "expected ':'" in str(error.problem):
        return error.context_mark
    return error.problem_mark or error.context_mark


def _sentence(error: MarkedYAMLError, text: str) -> str:
    problem = str(error.problem or error.context or "")
    mark = _mark(error)
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    char = line[mark.column] if mark and mark.column < len(line) else ""
    if char == "\t" or ("\t" in line[: len(line) - len(line.lstrip())]):
        return "a tab stands where YAML indents: use blanks"
    if "\u00a0" in line:
        return "a blank that is none of YAML's (U+00A0, as from a web page) stands in this line: type it again"
    if "mapping values are not allowed" in problem:
        return "a second ': ' stands in this value: put the value in quotes"
    if "cannot start any token" in problem:
        return f"a value begins with {quoted(char)}: put the value in quotes"
    if "unexpected end of stream" in problem and "quoted" in str(error.context):
        return "a quote is opened here or above and never closed"
    if "could not find expected ':'" in problem:
        return "a line is neither KEY: VALUE nor a list's item: look at its indentation"
    if "expected <block end>" in problem or "did not find expected" in problem:
        return "the indentation does not fit the lines above"
    if error.context and "flow" in str(error.context):
        return f"a list or map in brackets is broken here: {quoted(problem)}"
    return f"the text is no YAML here: {quoted(problem)}"


def _place(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - (text.rfind("\n", 0, position) + 1) + 1


def _refuse(found: Findings, line: int, column: int, sentence: str) -> Unreadable:
    found.add(Weight.ERROR, line, column, sentence)
    return Unreadable(sentence)
