"""How the shells of deploy/scripts/bin call this package: ``swarm-script run-sn ...`` prints what bash is to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from swarm.core.errors import SwarmFault

from . import housekeeping
from .bash import line
from .facts import Facts
from .pages import help_of
from .plan import plan
from .table import RUN

SCRIPTS = (*RUN, "stop-swarm", "uninstall", "swarmLogCollector", "gen-cert")


def answer(argv: Sequence[str], facts: Facts) -> str:
    """The program of one script's call.

    Raises:
        SwarmFault: one sentence: what is wrong with the words, and the fix.
    """
    name, words = argv[0], argv[1:]
    if name in RUN:
        before = words[: words.index("--")] if "--" in words else words
        return help_of(name) if "--help" in before else plan(name.removeprefix("run-"), words, facts).text()
    if name == "gen-cert":
        return _certificates(words)
    usage, act = {
        "stop-swarm": (housekeeping.STOP_USAGE, housekeeping.stop),
        "uninstall": (housekeeping.UNINSTALL_USAGE, housekeeping.uninstall),
        "swarmLogCollector": (housekeeping.LOGS_USAGE, housekeeping.logs),
    }[name]
    return _said([usage]) if {"--help", "-h"} & set(words) else act(words, facts)


def _certificates(words: Sequence[str]) -> str:
    """Made here and now: their files are of the present folder, which is mounted where this runs in a container."""
    from . import gencert

    if {"--help", "-h"} & set(words):
        return _said([gencert.USAGE])
    return _said(gencert.make(gencert.read(words), Path.cwd()))


def _said(lines: Sequence[str]) -> str:
    return line(["printf", "%s\\n", *lines]) + "\n"


def main() -> None:
    """Ends with SystemExit: 2 where the caller has to mend something."""
    argv = sys.argv[1:]
    if not argv or argv[0] not in SCRIPTS:
        sys.stderr.write("swarm-script is called by the scripts in deploy/scripts/bin: run one of those\n")
        sys.exit(2)
    try:
        sys.stdout.write(answer(argv, Facts.told(os.environ)))
    except SwarmFault as fault:
        sys.stderr.write(f"{argv[0]}: {fault}\n")
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
