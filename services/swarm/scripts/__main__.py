"""How the shells of deploy/scripts/bin call this package: ``swarm-script run-sn ...`` prints what bash is to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from swarm.core.errors import SwarmFault

from .facts import Facts
from .pages import help_of
from .plan import plan
from .table import RUN


def answer(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """The program of one script's call.

    Raises:
        SwarmFault: one sentence: what is wrong with the words, and the fix.
    """
    name, words = argv[0], argv[1:]
    before = words[: words.index("--")] if "--" in words else words
    if "--help" in before:
        return help_of(name)
    return plan(name.removeprefix("run-"), words, Facts.told(environ)).text()


def main() -> None:
    """Ends with SystemExit: 2 where the caller has to mend something."""
    argv = sys.argv[1:]
    if not argv or argv[0] not in RUN:
        sys.stderr.write("swarm-script is called by the scripts in deploy/scripts/bin: run one of those\n")
        sys.exit(2)
    try:
        sys.stdout.write(answer(argv, os.environ))
    except SwarmFault as fault:
        sys.stderr.write(f"{argv[0]}: {fault}\n")
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
