"""``swarm wait``: follows a run to its end, telling each step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from swarm.chain.rpc import RpcError, RpcUnreachable
from swarm.core.chain_view import Phase
from swarm.core.errors import ChainFault, SwarmFault

from .reading import job_of, read_run, told
from .shapes_host import Step
from .source import Source, View, open_view

POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
NO_ANSWER = (RpcUnreachable, RpcError)
"""A record that does not fit together would fit no better if it were read again."""
T = TypeVar("T")
Say = Callable[[str], object]
SayStep = Callable[[Step, str], object]
"""A step, and the same as a line of text."""


class WaitOver(SwarmFault):
    """The time that a wait was given is over."""

    exit_code = 3


async def wait(where: Source, job: str, run: int | None, timeout: float | None, say_step: SayStep) -> bool:
    """Wait for the end of a run; whether it failed.

    Raises:
        WaitOver: it has not ended within ``timeout`` seconds.
        OperatorFault: no such job; nobody answers at the beginning.
    """
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if text != said:
            said = text
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            say_step({"job": job, "run": wanted, "told": text}, f"{stamp}  {job}: {text}")

    wanted = run
    try:
        async with asyncio.timeout(timeout), open_view(where) as view:
            number = await _borne(partial(job_of, view.training, job), say)
            while True:
                state = await _borne(partial(view.training.state, number), say)
                wanted = state.run if wanted is None or (wanted == 0 and run is None) else wanted
                if state.run > wanted:
                    return await _failed_in_the_past(view, job, wanted, say)
                if state.run == wanted:
                    say(f"run {wanted}: {told(state)}")
                    if state.phase is Phase.COMPLETE:
                        return False
                    if state.phase is Phase.FAILED:
                        record = await _borne(partial(read_run, view, job, wanted), say, NO_ANSWER)
                        say(f"run {wanted} failed: {record.reason}")
                        return True
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise WaitOver(f"{job} has not ended within {timeout:g} s; last: {said or 'no answer'}") from None


async def _borne(ask: Callable[[], Awaitable[T]], say: Say, faults: tuple[type[ChainFault], ...] = (ChainFault,)) -> T:
    """An answer, however often it takes: a wait outlives an SN that is away. The wait's own limit ends it."""
    while True:
        try:
            return await ask()
        except faults as error:
            say(f"the SN does not answer ({error}); asking again")
            await asyncio.sleep(RETRY_SECONDS)


async def _failed_in_the_past(view: View, job: str, run: int, say: Say) -> bool:
    """A run that is not the current one any more ended one way or the other."""
    record = await _borne(partial(read_run, view, job, run), say, NO_ANSWER)
    if record.phase == "complete":
        say(f"run {run}: complete after {len(record.rounds)} rounds")
        return False
    say(f"run {run}: {record.phase}, and a reset began the next run")
    return True
