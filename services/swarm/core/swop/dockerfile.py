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


def _instructions(text: str) -> list[str]:
    """Lines with their continuations, without comments and empty lines."""
    escape, directives = "\\", True
    whole: list[str] = []
    unfinished = ""
    for line in text.splitlines():
        bare = line.strip()
        if directives and (said := _ESCAPE.match(bare)) is not None:
            escape = said[1]
        directives = directives and _DIRECTIVE.match(bare) is not None
        if not bare or bare.startswith("#"):
            continue  # also within a continued line
        if bare.endswith(escape):
            unfinished += bare[: -len(escape)] + " "
            continue
        whole.append(unfinished + bare)
        unfinished = ""
    if unfinished.strip():
        whole.append(unfinished)
    return [line for line in whole if line.strip()]
