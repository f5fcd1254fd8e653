"""From a typed line to a command and its arguments, or to a refusal that names the nearest right one. Pure.

Keywords count in any letter case, arguments stay as typed. Where a keyword may stand, it is one: an argument of that
name stands in quotes. An argument that *begins* with a quote ends with the same one and is taken without them;
elsewhere in a word a quote is a character like any other, and the rest of a line (``<line...>``) is never unquoted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from .table import ARGUMENTS, COMMANDS, Command, Kind

LINE_CHARS_MAX = 4096
"""One command; a longer line is refused unread."""
NUMBER_DIGITS_MAX = 9
LIKE_TOKENS, LIKE_CHARS = 12, 40
"""How much of a line the search for the nearest command looks at: its time is quadratic."""
SYNTAX_SHOWN_MAX = 3
"""Forms that a refusal writes out."""
LIKE_RATIO = 0.6
"""Lines less alike than this name no nearest command."""
_PART = re.compile(r"<(\w+)(\.\.\.)?>|\[([^\]]+)\]|(\S+)")
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_-]*>")


@dataclass(frozen=True, slots=True)
class Part:
    """One word of a form: a keyword (``words`` has one or more, in capitals), or an argument (``name``)."""

    words: tuple[str, ...] = ()
    name: str = ""
    rest: bool = False

    @property
    def shown(self) -> str:
        return "|".join(self.words) if self.words else f"<{self.name}>"


Form = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to write a command, without what was left out. Args: optional: the keywords that could have been."""

    form: Form
    command: Command
    syntax: str
    optional: frozenset[Part]

    @property
    def open_end(self) -> bool:
        return bool(self.form) and self.form[-1].rest


@dataclass(frozen=True, slots=True)
class Typed:
    """A command with its arguments by name; keywords that may be left out stand under their first word."""

    command: Command
    values: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int) -> int:
        return int(self.values[name]) if name in self.values else default


@dataclass(frozen=True, slots=True)
class Refusal:
    """Args: told: one sentence with the values and the fix; nearest: a line that would be right, or "" if none is."""

    told: str
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A blank line or a comment."""


@dataclass(frozen=True, slots=True)
class Token:
    """Args: text: without quotes; start, end: where it stands in the line, quotes included."""

    text: str
    start: int
    end: int
    quoted: bool = False

    def is_one_of(self, words: Sequence[str]) -> bool:
        return not self.quoted and self.text.isascii() and self.text.upper() in words


def parse(line: str) -> Typed | Refusal | Nothing:
    """What ``line`` asks for; the line break at its end, if there is one, and blanks there are nothing."""
    text = line.rstrip()
    if not text or text.lstrip().startswith("#"):
        return Nothing()
    if len(text) > LINE_CHARS_MAX:
        return Refusal(f"the line has {len(text)} characters, a command at most {LINE_CHARS_MAX}")
    odd = next((c for c in text if not c.isprintable() and not c.isspace()), None)
    if odd is not None:
        what = "a byte that is no UTF-8" if "\ud800" <= odd <= "\udfff" else f"the character U+{ord(odd):04X}"
        return Refusal(f"the line holds {what} at place {text.index(odd) + 1}, which cannot be seen: type it again")
    tokens = tokens_of(text)
    if isinstance(tokens, Refusal):
        return tokens
    return _match(text, tokens)


def tokens_of(text: str) -> list[Token] | Refusal:
    """The words of a line."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] in "\"'":
            close = next(
                (i for i in range(at + 1, len(text)) if text[i] == text[at] and text[i + 1 : i + 2].strip() == ""), None
            )
            if close is None:
                return Refusal(
                    f"the quote {text[at]} at place {at + 1} is not closed: put one at the end of the argument"
                )
            found.append(Token(text[at + 1 : close], at, close + 1, quoted=True))
            at = close + 1
            continue
        end = next((i for i in range(at, len(text)) if text[i].isspace()), len(text))
        found.append(Token(text[at:end], at, end))
        at = end
    return found


@cache
def ways() -> tuple[Way, ...]:
    """Every way to write each command, with what may be left out there or not; in the table's order."""
    return tuple(
        Way(form, command, syntax, frozenset(part for part, optional in _parts(syntax) if optional and part.words))
        for command in COMMANDS
        for syntax in command.syntax
        for form in _expand(_parts(syntax))
    )


def _parts(syntax: str) -> list[tuple[Part, bool]]:
    """The words of a syntax, and whether each may be left out."""
    found = []
    for name, rest, optional, keyword in _PART.findall(syntax):
        if name:
            found.append((Part(name=name, rest=bool(rest)), False))
        elif optional and optional.isupper():
            found.append((Part(words=tuple(optional.split("|"))), True))
        elif optional:
            found.append((Part(name=optional.removesuffix("..."), rest=optional.endswith("...")), True))
        else:
            found.append((Part(words=(keyword.upper(),)), False))
    return found


def _expand(parts: Sequence[tuple[Part, bool]]) -> Iterator[Form]:
    """Who leaves an argument out leaves out all later ones that may be."""
    if not parts:
        yield ()
        return
    (head, optional), rest = parts[0], parts[1:]
    for tail in _expand(rest):
        yield (head, *tail)
    if optional:
        yield tuple(part for part, other in rest if not other)


def narrowed(tokens: Sequence[Token]) -> tuple[list[Way], int]:
    """The ways that these words can begin, and how many words that holds for; a keyword wins over an argument."""
    left = list(ways())
    for i, token in enumerate(tokens):
        here = [way for way in left if len(way.form) > i]
        keywords = [way for way in here if way.form[i].words and token.is_one_of(way.form[i].words)]
        rests = [way for way in left if way.open_end and len(way.form) <= i]
        following = keywords or [way for way in here if way.form[i].name] or rests
        if not following:
            return left, i
        left = following
    return left, len(tokens)


def _match(text: str, tokens: Sequence[Token]) -> Typed | Refusal:
    left, known = narrowed(tokens)
    if known < len(tokens):
        return _unknown(left, tokens, known)
    whole = [w for w in left if len(w.form) == len(tokens) or (w.open_end and len(w.form) <= len(tokens))]
    if not whole:
        return _incomplete(left, tokens)
    way = whole[0]
    values: dict[str, str] = {}
    for i, part in enumerate(way.form):
        token = tokens[i]
        if part.rest:
            values[part.name] = text[tokens[i - 1].end + 1 :]
        elif part.name:
            values[part.name] = token.text
            refusal = _unfit(part.name, token, way)
            if refusal is not None:
                return refusal
        elif part in way.optional:
            values[part.words[0].lower()] = token.text.upper()
    return Typed(way.command, values)


def _unfit(name: str, token: Token, way: Way) -> Refusal | None:
    argument, text = ARGUMENTS[name], token.text
    what = f"{way.command.name}: <{name}>"
    if not text:
        return Refusal(f"{what} is empty: give {argument.told}", way.syntax)
    if argument.kind in (Kind.NUMBER, Kind.HOST) and _PLACEHOLDER.fullmatch(text):
        return Refusal(f"{what}: {text:.60} is a placeholder that was left in: put in its place {argument.told}")
    if argument.kind is Kind.NUMBER and not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        digits = f"a whole number of at most {NUMBER_DIGITS_MAX} digits"
        return Refusal(f"{what} is {text!r:.60}, expected {digits} ({argument.told})", way.syntax)
    return None


def _unknown(left: Sequence[Way], tokens: Sequence[Token], at: int) -> Refusal:
    word = tokens[at].text
    near = nearest(tokens, left if at else ())
    mend = f"did you mean: {near}" if near else "HELP lists the commands"
    if at == 0:
        return Refusal(f"there is no command {word!r:.60}; {mend}", near)
    done = " ".join(token.text for token in tokens[:at])
    expected = list(dict.fromkeys(way.form[at].shown for way in left if len(way.form) > at))
    if not expected:
        return Refusal(f"{done:.200} takes nothing more, and {word!r:.60} follows; {mend}", near)
    return Refusal(f"after {done:.200} comes {_or(expected)}, not {word!r:.60}; {mend}", near)


def _incomplete(left: Sequence[Way], tokens: Sequence[Token]) -> Refusal:
    done = " ".join(token.text for token in tokens)
    nexts = list(dict.fromkeys(way.form[len(tokens)].shown for way in left if len(way.form) > len(tokens)))
    syntax = list(dict.fromkeys(way.syntax for way in left))
    more = f", or {len(syntax) - SYNTAX_SHOWN_MAX} more (HELP {done:.200})" if len(syntax) > SYNTAX_SHOWN_MAX else ""
    whole = " or ".join(syntax[:SYNTAX_SHOWN_MAX]) + more
    return Refusal(f"{done:.200} is not complete, {_or(nexts)} is missing: {whole}", syntax[0])


def _or(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def nearest(tokens: Sequence[Token], first: Sequence[Way] = ()) -> str:
    """The line most like these words that is a command, with the user's arguments where it has some; "" if none is.

    Args:
        first: ways that win where others are just as near.
    """
    typed = [token.text[:LIKE_CHARS] for token in tokens[:LIKE_TOKENS]]
    best, most = "", LIKE_RATIO
    for way in (*first, *ways()):
        words = [
            _as_written(part, way) if part.words else (typed[i] if i < len(typed) else part.shown)
            for i, part in enumerate(way.form)
        ]
        ratio = _alike(typed, words, way.form)
        if ratio > most:
            best, most = " ".join(words), ratio
    return best


def _as_written(part: Part, way: Way) -> str:
    """As the table writes it: cd, pwd and ls are small."""
    first = way.syntax.split()[0]
    return first if part.words == (first.upper(),) else part.shown


def _alike(typed: Sequence[str], words: Sequence[str], form: Form) -> float:
    """How like the keywords are; arguments, which any word fits, count for little."""
    keywords = [part.words[0] for part in form if part.words]
    said = [word.upper() for word, part in zip(typed, form, strict=False) if part.words]
    own = difflib.SequenceMatcher(None, " ".join(said), " ".join(keywords), autojunk=False).ratio()
    whole = difflib.SequenceMatcher(None, " ".join(typed).upper(), " ".join(words).upper(), autojunk=False).ratio()
    return 0.8 * own + 0.2 * whole


def help_for(text: str) -> list[str] | Refusal:
    """What HELP prints: for no words all commands, else each that begins with these, its forms and its sentence."""
    if not text.strip():
        return [syntax for command in COMMANDS for syntax in command.syntax]
    tokens = tokens_of(text)
    if isinstance(tokens, Refusal):
        return tokens
    left, known = narrowed(tokens)
    if known < len(tokens):
        return _unknown(left, tokens, known)
    found: dict[str, list[Way]] = {}
    for way in left:
        found.setdefault(way.command.name, []).append(way)
    return [
        line
        for ways_of in found.values()
        for line in (*dict.fromkeys(way.syntax for way in ways_of), f"  {ways_of[0].command.told}")
    ]
