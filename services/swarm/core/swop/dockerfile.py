"""Which images a Dockerfile takes from elsewhere: what a site's policy is asked about before a build begins.

Owns a careful reading of the few words that name one (``FROM``, ``--from=``); what it cannot tell is given as it is
written, so that no rule but one for everything fits it. The engine reads the file for itself.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"^#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_DIRECTIVE = re.compile(r"^#\s*\w+\s*=")
_FROM = re.compile(r"--(?:from|mount)=(\S+)", re.IGNORECASE)
SCRATCH = "scratch"
BLANK = " \t\r\v\f"


def images_of(text: str) -> tuple[str, ...]:
    """Names of base images and of images that files are copied from, each once; stages of the file itself are none."""
    found: list[str] = []
    stages: set[str] = set()
    count = 0
    for line in _instructions(text):
        words = line.split()
        keyword = words[0].upper()
        if keyword == "ONBUILD" and len(words) > 1:
            words = words[1:]
            keyword = words[0].upper()
        if keyword == "FROM":
            named = [word for word in words[1:] if not word.startswith("--")]
            if named and named[0].lower() not in stages and named[0] != SCRATCH:
                found.append(named[0])
            count += 1
            if len(named) >= 3 and named[1].upper() == "AS":
                stages.add(named[2].lower())
        elif keyword in ("COPY", "ADD", "RUN"):
            for given in _FROM.findall(line):
                name = _mounted(given)
                if name is not None and name.lower() not in stages and not (name.isdecimal() and int(name) < count):
                    found.append(name)
    return tuple(dict.fromkeys(found))


def _mounted(given: str) -> str | None:
    """The image in ``--from=IMAGE`` or ``--mount=type=bind,from=IMAGE,...``; None for a mount of something else."""
    if "=" not in given and "," not in given:
        return given
    for part in given.split(","):
        name, _, value = part.partition("=")
        if name.lower() == "from":
            return value
    return None


def addresses_of(text: str) -> tuple[str, ...]:
    """What ``ADD`` fetches from elsewhere, each once: the engine does that, whatever network the steps have.

    A word with a variable may become an address, and counts as it is written.
    """
    found: list[str] = []
    for line in _instructions(text):
        words = line.split()
        if words[0].upper() == "ONBUILD":
            words = words[1:]
        if words and words[0].upper() == "ADD":
            plain = [word.strip('[]",') for word in words[1:] if not word.startswith("--")]
            found += [word for word in plain if "://" in word or word.startswith("git@") or "$" in word]
    return tuple(dict.fromkeys(found))


def _instructions(text: str) -> list[str]:
    """Lines with their continuations, without comments and empty lines, as the engine's builder reads them.

    A line goes on only if an escape stands at its end, alone or after something that is no escape.
    """
    escape, directives = "\\", True
    whole: list[str] = []
    unfinished = ""
    for line in text.split("\n"):
        bare = line.strip(BLANK)
        if directives and (said := _ESCAPE.match(bare)) is not None:
            escape = said[1]
        directives = directives and _DIRECTIVE.match(bare) is not None
        if not bare or bare.startswith("#"):
            continue  # also within a continued line
        if bare.endswith(escape) and not bare[: -len(escape)].endswith(escape):
            unfinished += bare[: -len(escape)] + " "
            continue
        whole.append(unfinished + bare)
        unfinished = ""
    if unfinished.strip(BLANK):
        whole.append(unfinished)
    return [line for line in whole if line.split()]
