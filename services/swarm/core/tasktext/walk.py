"""A tree of YAML against a table of fields: plain values come out, and every problem at once, each at its place."""

from __future__ import annotations

from typing import Any

from .fields import (
    PLAIN,
    VARIABLE,
    Anything,
    Choice,
    Labels,
    Many,
    Maybe,
    Option,
    Pairs,
    Record,
    Spec,
    Text,
    TextOr,
    Whole,
    Without,
)
from .findings import Findings, Weight, meant, nearest, quoted
from .scalars import container_text, surprises
from .yamltree import Node, in_curly_quotes

BAD: Any = object()
"""In place of a value that was refused: its finding is there, what is around it is still read."""


class Walk:
    """Args:
    elsewhere: keys that belong to another map of the same text, with that map's name: for a wrong indentation.
    """

    def __init__(self, found: Findings, elsewhere: dict[str, str] | None = None) -> None:
        self.found = found
        self.elsewhere = elsewhere or {}

    def take(self, node: Node, spec: Spec, name: str, at: Node | None = None) -> Any:
        """The value, or BAD. Findings about a list or map stand at ``at``, its key."""
        at = at or node
        match spec:
            case Maybe():
                return None if _empty(node) else self.take(node, spec.of, name, at)
            case Text():
                return self._text(node, spec, name)
            case Choice():
                return self._choice(node, spec, name)
            case Whole():
                return self._whole(node, spec, name)
            case Anything():
                return self._anything(node, spec, name)
            case Option():
                return self._option(node, spec, name)
            case Many():
                return self._many(node, spec, name, at)
            case Pairs():
                return self._pairs(node, spec, name, at)
            case Labels():
                return self._labels(node, spec, name, at)
            case TextOr():
                if node.kind == "map":
                    return self._record(node, spec.record, at)
                return self._text(node, spec.text, name)
            case Record():
                return self._record(node, spec, at)

    def error(self, node: Node, text: str) -> Any:
        self.found.add(Weight.ERROR, node.line, node.column, text)
        return BAD

    def warn(self, node: Node, text: str, weight: Weight = Weight.WARNING) -> None:
        self.found.add(weight, node.line, node.column, text)

    def _text(self, node: Node, spec: Text, name: str) -> Any:
        if spec.empty_is_text and _empty(node):
            return ""
        if node.kind == "map" and len(node.pairs) == 1:
            return self.error(
                node, f"{name} is read as a pair because of the ': ' in it: put the whole value in quotes"
            )
        if node.kind != "scalar":
            return self.error(node, f"{name} is {node.shown}, not a text")
        if node.value is None:
            return self.error(node, f"{name} is empty: write a text of 1 to {spec.most} characters")
        if not isinstance(node.value, str):
            return self.error(node, f"{name} is {node.shown}: put it in quotes if it is a text")
        if node.value in spec.reserved:
            return self.error(node, f"{name} is {node.value}, which is built in: choose another one")
        return self._characters(node, node.value, spec.least, spec.most, spec.without, name, spec)

    def _characters(
        self, node: Node, text: str, least: int, most: int, without: Without, name: str, spec: Text | None = None
    ) -> Any:
        if not least <= len(text) <= most:
            size = "empty" if not text else f"{len(text)} characters long"
            return self.error(
                node, f"{name} is {size}, {f'at least {least}' if len(text) < least else f'at most {most}'}"
            )
        bad = without.found_in(text) or next((c for c in text if "\ud800" <= c <= "\udfff"), None)
        if bad is not None:
            shown = f"U+{ord(bad):04X}" if not bad.isprintable() or bad == " " else bad
            fix = ": one line a value, so make a list item of each" if bad in "\r\n" else ": take it out"
            return self.error(node, f"{name} holds {shown}; it may not hold {without.words}{fix}")
        if in_curly_quotes(text):
            self.warn(node, f"the curly quotes around {name} are part of its value: write straight ones, or none")
        advice = spec.advice(text) if spec is not None and spec.advice is not None else None
        if advice is not None:
            self.warn(node, f"{name} is {quoted(text)}: {advice}", Weight.DEFECT)
        return text

    def _choice(self, node: Node, spec: Choice, name: str) -> Any:
        known = ", ".join(spec.values)
        if node.kind != "scalar" or not isinstance(node.value, str):
            return self.error(node, f"{name} is {node.shown}: it is one of {known}")
        if node.value in spec.aliases:
            self.warn(node, f"{name} {node.value} is an old name of {spec.aliases[node.value]}, which is taken")
            return spec.aliases[node.value]
        if node.value not in spec.values:
            return self.error(node, f"{name} is {quoted(node.value)}{meant(node.value, spec.values)}")
        return node.value

    def _whole(self, node: Node, spec: Whole, name: str) -> Any:
        value = node.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if node.kind != "scalar" or isinstance(value, bool) or not isinstance(value, int):
            return self.error(node, f"{name} is {node.shown}: it is a whole number from {spec.least} to {spec.most}")
        if not spec.least <= value <= spec.most:
            return self.error(node, f"{name} is {quoted(value)}, it may be from {spec.least} to {spec.most}")
        return value

    def _anything(self, node: Node, spec: Anything, name: str) -> Any:
        if _empty(node):
            return None
        text = container_text(plain(node)) or ""
        named = name if node.kind == "scalar" else f"{name} as one text"
        if self._characters(node, text, 0, spec.most, PLAIN, named) is BAD:
            return BAD
        if node.kind != "scalar":
            self.warn(
                node, f"{name} is {node.shown} and arrives as the text {quoted(text)}: put it in quotes to say so"
            )
        elif not isinstance(node.value, str) and surprises(node.text, node.value):
            self.warn(
                node,
                f"{name} is written {quoted(node.text)} and arrives as {quoted(text)}: put it in quotes if not meant",
            )
        return text

    def _option(self, node: Node, spec: Option, name: str) -> Any:
        if node.kind == "map":
            return self.error(node, f"{name} is a map: it is a text, a number, a truth value, or a list of texts")
        if node.kind == "scalar":
            if isinstance(node.value, str):
                return self._characters(node, node.value, 0, spec.most, PLAIN, name)
            return node.value
        taken = [self.take(item, Text(0, spec.most), f"{name} {i}") for i, item in enumerate(node.items, 1)]
        return BAD if BAD in taken else tuple(taken)

    def _many(self, node: Node, spec: Many, name: str, at: Node) -> Any:
        if node.kind != "list":
            return self.error(at, f"{name} is {node.shown}: it is a list, so write each item behind a dash")
        count = len(node.items)
        if not spec.least <= count <= spec.most:
            bound = f"at most {spec.most}" if count > spec.most else f"at least {spec.least}"
            self.error(at, f"{name} has {count} items, {bound}")
            if count < spec.least:
                return BAD
        taken = [self.take(item, spec.item, f"item {i} of {name}") for i, item in enumerate(node.items, 1)]
        return BAD if count > spec.most or any(one is BAD for one in taken) else tuple(taken)

    def _pairs(self, node: Node, spec: Pairs, name: str, at: Node) -> Any:
        if node.kind == "map":
            return self.error(at, f"{name} is a map: it is a list, so write each as - NAME: value")
        if node.kind != "list":
            return self.error(at, f"{name} is {node.shown}: it is a list of - NAME: value")
        if len(node.items) > spec.most:
            return self.error(at, f"{name} has {len(node.items)} items, at most {spec.most}")
        taken: list[tuple[str, Any]] = []
        lines: dict[str, int] = {}
        good = True
        for item in node.items:
            if item.kind != "map" or len(item.pairs) != 1:
                what = item.shown
                if item.kind == "map":
                    names = ", ".join(quoted(key.text) for key, _ in item.pairs[:8])
                    what = f"a map of {len(item.pairs)} pairs ({names})"
                elif isinstance(item.value, str) and "=" in item.value:
                    what += " (write NAME: value, not NAME=value)"
                self.error(item, f"an item of {name} is {what}: each item is one NAME: value behind a dash of its own")
                good = False
                continue
            key, value = item.pairs[0]
            named = self._characters(key, key.text, 1, PAIR_NAME_CHARS_MAX, VARIABLE, f"a name in {name}")
            one = self.take(value, spec.value, f"{quoted(key.text)} in {name}")
            if named is BAD or one is BAD:
                good = False
                continue
            if spec.known and named not in spec.known:
                self.warn(key, f"{quoted(named)} is no option of {name}{meant(named, spec.known)}")
            if named in lines:
                self.warn(
                    key, f"{quoted(named)} stands in {name} again, first in line {lines[named]}: the last one counts",
                    Weight.DEFECT,
                )  # fmt: skip
            lines[named] = key.line
            taken.append((named, one))
        return tuple(taken) if good else BAD

    def _labels(self, node: Node, spec: Labels, name: str, at: Node) -> Any:
        if node.kind == "scalar":
            return self.error(at, f"{name} is {node.shown}: it is a map of NAME: value, or a list of names")
        found: list[tuple[str, str]] = []
        good = True
        if len(node.items) + len(node.pairs) > spec.most:
            return self.error(at, f"{name} has {len(node.items) + len(node.pairs)} labels, at most {spec.most}")
        for item in node.items:
            text = self.take(item, Text(1, PAIR_NAME_CHARS_MAX), f"a label of {name}")
            good &= text is not BAD
            found.append((text, ""))
        for key, value in node.pairs:
            named = self._characters(key, key.text, 1, PAIR_NAME_CHARS_MAX, PLAIN, f"a label of {name}")
            text = self.take(value, Anything(), f"{quoted(key.text)} of {name}")
            good &= named is not BAD and text is not BAD
            found.append((named, text or ""))
        return tuple(found) if good else BAD

    def _record(self, node: Node, spec: Record, at: Node) -> Any:
        if node.kind != "map":
            return self.error(
                at, f"{spec.what} is {node.shown}: it is a map of KEY: value with {_listed(spec.required)}"
            )
        taken: dict[str, Any] = {}
        given = {key.text for key, _ in node.pairs}
        excused: set[str] = set()
        good = True
        for key, value in node.pairs:
            inner = spec.fields.get(key.text)
            if inner is not None:
                taken[key.text] = self.take(value, inner, key.text, key if value.kind != "scalar" else value)
                good &= taken[key.text] is not BAD
                continue
            open_ = [one for one in spec.fields if one not in given]
            alike = nearest(key.text, open_)
            if alike is not None:
                excused.add(alike)
            hint = f"; did you mean {alike}?" if alike else f"; its keys are {', '.join(spec.fields)}"
            if key.text in self.elsewhere and self.elsewhere[key.text] != spec.what:
                hint = f"; it belongs to {self.elsewhere[key.text]}: look at its indentation"
            self.warn(key, f"{quoted(key.text)} is no key of {spec.what}{hint}", spec.extra)
            good &= spec.extra is not Weight.ERROR
        for missing in (one for one in spec.required if one not in given):
            good = False
            # A misspelt key was named above: that it is missing as well is the same problem.
            if missing not in excused or spec.extra is not Weight.ERROR:
                self.error(at, f"{spec.what} has no {missing}")
        return taken if good else BAD


PAIR_NAME_CHARS_MAX = 160


def plain(node: Node) -> Any:
    """The node as Python values."""
    if node.kind == "list":
        return [plain(item) for item in node.items]
    if node.kind == "map":
        return {key.text: plain(value) for key, value in node.pairs}
    return node.value


def _empty(node: Node) -> bool:
    return node.kind == "scalar" and node.value is None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
