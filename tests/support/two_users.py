"""SL and program as two users with umask 077: run as root, ``two_users.py FOLDER SL_USER PROGRAM_USER FORM``.

Both are forked from here when everything is imported, because another user may not be able to read the interpreter's
files. Prints what the program came to as its last line; the SL is the bridge and its handler with a real store.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support.fake_shell import Log
from support.original_client import OriginalClient
from swarm.core.engine.actions import AnswerProgram, LoadProgram
from swarm.core.engine.events import Event, ProgramLoaded, ProgramSync
from swarm.sl.bridge import FifoBridge
from swarm.sl.program import Program, Target
from swarm.sl.schemas import Schemas
from swarm.sl.timeline import Timeline
from swarm.store.blobs import BlobStore
from swarmlearning.plain import SwarmCallback

UMASK = 0o077
MODEL = {"w": np.arange(5.0)}


async def serve(folder: Path, own: Path) -> None:
    """An SL that gives each model back as the merged one, until it is ended."""
    seq = 0

    def deliver(event: Event) -> None:
        nonlocal seq
        if isinstance(event, ProgramSync):
            seq = event.seq
            program.wish(LoadProgram(0, event.blob))
        elif isinstance(event, ProgramLoaded):
            program.wish(AnswerProgram(seq, True, 1))

    target = Target(
        deliver, Timeline(), lambda: 0, lambda: 1, "ab" * 32, lambda: "", Schemas(list, None), lambda: False
    )

    async def take_part(job: str) -> Target:
        return target

    program = Program(BlobStore(own / "store"), take_part)
    await FifoBridge(
        folder / "channel" / "request", folder / "channel" / "response", folder / "exchange", own / "work", program,
        log=Log(),
    ).run()  # fmt: skip


def train(folder: Path, form: str) -> str:
    """One sync, in the form that a program's wheel uses."""
    channel = folder / "channel"
    os.environ |= {
        "SL_REQUEST_CHANNEL": str(channel / "request"),
        "SL_RESPONSE_CHANNEL": str(channel / "response"),
        "SWARM_EXCHANGE_DIR": str(folder / "exchange"),
        "SWARM_CHANNEL_WAIT_SECONDS": "10",
    }
    if form == "sdk":
        taken: list[np.ndarray] = []
        ours = SwarmCallback(
            1, 1, get_parameters=lambda: MODEL, set_parameters=lambda new: taken.append(np.array(new["w"]))
        )
        ours.on_train_begin()
        ours.on_train_end()
        return f"took {taken[-1].tolist()}"
    client = OriginalClient(form, channel / "request", channel / "response", folder / "exchange")
    client.open_pipes()
    client.open_session()
    client.sync({"w": np.arange(5, dtype=np.float32)}, kind=4)
    client.close_pipes()
    return "took it"


def as_user(user: int, act: Callable[[], object]) -> int:
    """Forks ``act`` under this user with umask 077; returns the process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os.umask(UMASK)
        act()
        code = 0
    except BaseException as fault:
        print(f"END {type(fault).__name__}: {fault}", flush=True)
    os._exit(code)


async def import_all(folder: Path, form: str) -> None:
    """Both sides once, as one user; no thread of it is left when it returns."""
    sl = asyncio.create_task(serve(folder, folder))
    await asyncio.to_thread(train, folder, form)
    sl.cancel()
    await asyncio.wait([sl])


def main(folder: Path, sl: int, program: int, form: str) -> int:
    warm = folder / "warm"
    warm.mkdir()
    asyncio.run(import_all(warm, form))
    own = folder / "own"
    own.mkdir()
    os.chown(own, sl, sl)
    place = folder / "place"
    place.mkdir(exist_ok=True)
    os.chown(place, sl, sl)
    node = as_user(sl, lambda: asyncio.run(serve(place / "shared" / "here", own)))
    try:
        _, status = os.waitpid(
            as_user(program, lambda: print("END", train(place / "shared" / "here", form), flush=True)), 0
        )
    finally:
        os.kill(node, 9)
        os.waitpid(node, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
