"""Commands of the shell itself: help, folder, sleep, the end."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.core.errors import OperatorFault
from swarm.swci.explained import explain
from swarm.swci.grammar import Refusal, Typed, help_for
from swarm.swci.say import Say
from swarm.swci.session import Handler, Session

SLEEP_SLICE_SECONDS = 60.0
"""A long sleep is cut in such parts: a clock that was set forward does not lengthen it."""


async def help_(session: Session, typed: Typed, say: Say) -> None:
    found = help_for(typed.values.get("command", ""))
    if isinstance(found, Refusal):
        raise OperatorFault(found.told)
    for line in found:
        say.line(line)


async def sleep(session: Session, typed: Typed, say: Say) -> None:
    seconds = typed.number("seconds", 0)
    left = float(seconds)
    while left > 0:
        part = min(left, SLEEP_SLICE_SECONDS)
        await session.sleep(part)
        left -= part
    say.on_prompt(f"Completed SLEEP for: {seconds} secs")


async def change_folder(session: Session, typed: Typed, say: Say) -> None:
    say.on_prompt(f"Current Directory : {session.folder.change(typed.values.get('folder', ''))}")


async def print_folder(session: Session, typed: Typed, say: Say) -> None:
    say.line(f"Current Directory : {session.folder.here}")


async def list_folder(session: Session, typed: Typed, say: Say) -> None:
    say.lines(session.folder.listing(typed.values.get("options", "")))


async def exit_on_failure(session: Session, typed: Typed, say: Say) -> None:
    session.exit_on_failure = typed.values.get("on", "ON") == "ON"
    say.on_prompt(f"EXIT ON FAILURE IS TURNED {'ON' if session.exit_on_failure else 'OFF'}")


async def leave(session: Session, typed: Typed, say: Say) -> None:
    session.leaving = True
    say.on_prompt("EXITING")


async def tell(session: Session, typed: Typed, say: Say) -> None:
    for line in explain(typed.values["error"]):
        say.line(line)


HANDLERS: Mapping[str, Handler] = {
    "HELP": help_,
    "SLEEP": sleep,
    "CD": change_folder,
    "PWD": print_folder,
    "LS": list_folder,
    "EXIT ON FAILURE": exit_on_failure,
    "EXIT": leave,
    "EXPLAIN": tell,
}
