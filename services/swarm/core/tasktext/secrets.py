"""Secrets in texts that everybody of the swarm can read: which values look like one, and how a site's own is named.

A task stands on chain for good. So a secret is named (``secret:<name>``), and each SWOP takes the value from its
site's file; what only looks like a secret is warned about, never refused, since only its writer can tell.
"""

from __future__ import annotations

import re

PREFIX = "secret:"
LOOKED_AT_CHARS = 1024
"""Of one value: more is refused anyway, and the search takes quadratic time at worst."""
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_NAME = re.compile(NAME_PATTERN)
FIX = "everybody in the swarm can read it: write secret:<name>, and put the value into each site's file of secrets"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ALWAYS = re.compile(
    "password|passwd|passwort|pwd|passphrase|secret|credentials?|apikey|accesskey|secretkey|privatekey"
)
_LAST = re.compile("token|pat|pass|pin")
"""A secret only at the end of a name: HF_TOKEN, but not TOKEN_LENGTH; GITHUB_PAT, but not PAT_FILTER."""
_BEFORE_KEY = re.compile("api|access|secret|private|encryption|signing|account|storage|wandb|kaggle|license|ssh")
_MEASURES = re.compile(
    "max|min|num|n|count|length|len|size|limit|per|total|new|pad|eos|bos|sep|cls|mask|unk|special|start|end|image"
)
"""Beside the last: a number, or a mark of a language model."""
_ABOUT = re.compile(
    "file|path|dir|folder|length|len|size|count|names?|field|column|policy|ttl|expiry|timeout|url|type|id|min|max"
    "|enabled|required"
)
"""At the end: something about a secret, not the secret."""
_SHAPES = (
    re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{30,})"),
    re.compile(r"\b(?:sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}|(?:AKIA|ASIA)[0-9A-Z]{16})"),
    re.compile(r"\b(?:npm_[A-Za-z0-9]{30,}|dckr_pat_[\w-]{20,}|pypi-[\w-]{50,})"),
    re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+"),
    re.compile(r"-----BEGIN [A-Z ]*PRIV" r"ATE KEY"),
    re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:(?!\$)[^\s/:@<$]+@"),
)
_BETWEEN = re.compile(r"[\s;&|]+")
_DECLARES = frozenset({"env", "arg", "export"})


def secret_name(value: str) -> str | None:
    """The name in ``secret:<name>``; None if the value is no such reference."""
    name = value.removeprefix(PREFIX)
    return name if name != value and _NAME.fullmatch(name) else None


def named_secrets(values: list[str]) -> list[str]:
    """Names of the secrets that these values refer to, each once, in order."""
    return list(dict.fromkeys(name for value in values if (name := secret_name(value)) is not None))


def broken_reference(value: str) -> bool:
    """Begins as a reference to a secret does, and is none."""
    return value.startswith(PREFIX) and secret_name(value) is None


def has_secret_shape(text: str) -> bool:
    """Holds what only tokens, keys and passwords look like. Hashes are hexadecimal, and so no such thing."""
    return any(shape.search(text, 0, LOOKED_AT_CHARS) for shape in _SHAPES)


def names_a_secret(name: str) -> bool:
    """Whether a variable of this name holds one: DB_PASSWORD, hfToken, WANDB_API_KEY; not MAX_TOKENS."""
    words = [word.casefold() for word in _WORDS.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if not words or _ABOUT.fullmatch(words[-1]):
        return False
    if any(_ALWAYS.fullmatch(word) for word in words):
        return True
    if words[-1] == "key":
        return any(_BEFORE_KEY.fullmatch(word) for word in words[:-1])
    return _LAST.fullmatch(words[-1]) is not None and not any(_MEASURES.fullmatch(word) for word in words[:-1])


def looks_secret(name: str, value: str | None) -> bool:
    """Whether a variable's value should be a ``secret:`` reference."""
    if not value or value.startswith((PREFIX, "<", "$", "/")) or value in ("True", "False"):
        return False
    return names_a_secret(name) or has_secret_shape(value)


def told_in(text: str) -> str | None:
    """In a command or a step of a Dockerfile: the name that is given a secret, or "" for a value that is one."""
    if has_secret_shape(text):
        return ""
    words = [word for word in _BETWEEN.split(text) if word]
    for at, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and (word.startswith("-") or (at and words[at - 1].casefold() in _DECLARES)):
            # --password VALUE, ENV PASSWORD VALUE
            value = words[at + 1] if at + 1 < len(words) and not words[at + 1].startswith("-") else ""
        # == is a package's version, not an assignment.
        if not value.startswith("=") and looks_secret(name.strip("\"'"), value.strip("\"'")):
            return name
    return None
