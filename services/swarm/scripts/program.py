"""A program of bash that makes and starts containers: ``--dry-run`` prints what act.sh runs.

Names of functions (``need``, ``address_of_sn``, ...) are those of deploy/scripts/lib/act.sh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .bash import Word, line


@dataclass(frozen=True, slots=True)
class Container:
    """One container to make.

    Args:
        variable: name of the shell's variable that holds its id.
        words: behind ``container create``.
        asked: variables of the shell that the words need, and the functions that find their values.
    """

    variable: str
    words: Sequence[Word]
    detached: bool
    interactive: bool
    asked: Sequence[tuple[str, Sequence[Word]]] = ()


@dataclass(slots=True)
class Program:
    """What is to be there, what is asked of the host, and the containers in their order."""

    engine: tuple[str, ...]
    dry: bool
    notices: list[str] = field(default_factory=list)
    needs: list[Sequence[Word]] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)

    def need(self, kind: str, path: str, said: str) -> None:
        """``kind``: as of bash's test: e, f, d, S."""
        check = ["need", kind, path, said]
        if check not in self.needs:
            self.needs.append(check)

    def text(self) -> str:
        """All of it, for ``eval``."""
        return "\n".join(["set -euo pipefail", *(self._shown() if self.dry else self._done())]) + "\n"

    def commands(self) -> list[str]:
        """The docker commands, as one could type them."""
        lines: list[str] = []
        for one in self.containers:
            created = line([*self.engine, "container", "create", *one.words])
            lines += [*_asked(one), f"{one.variable}=$({created})"]
        starts, attached = self._started()
        return [*lines, *starts, *attached]

    def _started(self) -> tuple[list[str], list[str]]:
        """Commands that start the containers, and those that show the first one that is not detached."""
        docker, engine = line([*self.engine, "container"]), line(self.engine)
        shown = next((one for one in self.containers if not one.detached), None)
        starts = [f'{docker} start "${one.variable}"' for one in self.containers]
        if shown is None:
            return starts, []
        if len(self.containers) == 1:
            # At once: one that ends quickly, and is removed then, could not be attached to afterwards.
            keys = "--attach --interactive" if shown.interactive else "--attach"
            return [], [f'{docker} start {keys} "${shown.variable}"']
        return starts, [f'{engine} logs "${shown.variable}"', f'{engine} attach "${shown.variable}"']

    def _shown(self) -> list[str]:
        return [line(["printf", "%s\\n", one]) for one in self.commands()]

    def _done(self) -> list[str]:
        lines = [f"engine=({line(self.engine)})", *(line(["notice", one]) for one in self.notices)]
        lines += [line(words) for words in self.needs]
        for one in self.containers:
            created = line([*self.engine, "container", "create", *one.words])
            lines += [*_asked(one), f"{one.variable}=$({created}) || not_made", f'made "${one.variable}"']
        starts, attached = self._started()
        lines += [*(f"{one} || not_started" for one in starts), "keep", *attached[:-1]]
        return [*lines, *(f'{one} || ended $? "$main"' for one in attached[-1:])]


def _asked(one: Container) -> list[str]:
    return [f"{variable}=$({line(words)})" for variable, words in one.asked]
