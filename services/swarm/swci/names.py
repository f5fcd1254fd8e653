"""The names that completion offers, read from the swarm of the context in use."""

from __future__ import annotations

from swarm.chain.taskrunners import Taskrunners
from swarm.chain.training import Training
from swarm.inspect.answers import check_signs

from .session import Session
from .table import Kind
from .tasking import tasks_of


async def learn(session: Session) -> None:
    """Read them anew, if a context is in use.

    Raises:
        SwarmFault: its swarm cannot be asked.
    """
    if not session.book.current:
        return
    member = await session.member()
    session.learn(Kind.TASK, [name for name, _ in await tasks_of(member.reader, member).names()])
    runners = Taskrunners(member.reader, member.swarm.contracts["Taskrunners"])
    session.learn(Kind.RUNNER, sorted((await runners.runners()).values()))
    jobs = await Training(member.reader, member.swarm.training).jobs()
    session.learn(Kind.CONTRACT, sorted(jobs.values()))
    signs = check_signs(await member.link.get("/v1/alive"))
    session.learn(Kind.NODE, [sign["node"] for sign in signs if sign["alive"] and sign["role"] != "swci"])
