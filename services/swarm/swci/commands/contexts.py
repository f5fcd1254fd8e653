"""Commands about contexts, and waiting until an SN answers."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.ids import to_hex
from swarm.swci.contexts import Context, service_url, sn_url
from swarm.swci.grammar import Typed
from swarm.swci.say import Say
from swarm.swci.session import Handler, Session, TimedOut

TRIES_DEFAULT = 360
PAUSE_SECONDS = 5.0
UP = "API Server is UP!"


async def wait_for_ip(session: Session, typed: Typed, say: Say) -> None:
    await _wait(session, _url(typed), typed.number("retries", TRIES_DEFAULT), say)


async def wait_for_service(session: Session, typed: Typed, say: Say) -> None:
    await _wait(session, service_url(typed.values["service"]), typed.number("retries", TRIES_DEFAULT), say)


async def _wait(session: Session, url: str, tries: int, say: Say) -> None:
    why = ""
    for number in range(1, max(1, tries) + 1):
        why = await session.access.why_down(url)
        if not why:
            say.line(UP)
            return
        if number == 1 and tries > 1:
            say.line(f"no SN answers at {url} yet ({why}); {tries} tries, one in {PAUSE_SECONDS:.0f} s")
        if number < tries:
            say.mark()
            await session.sleep(PAUSE_SECONDS)
    raise TimedOut(f"no SN answers at {url} after {max(1, tries)} tries: {why}; start it, or mend the address")


async def create(session: Session, typed: Typed, say: Say) -> None:
    name, url = typed.values["context"], _url(typed)
    why = await session.access.why_down(url)
    if why:
        raise OperatorFault(f"no SN answers at {url}: {why}; start it, or mend the address (WAIT FOR IP waits for it)")
    say.line(UP)
    session.book.create(name, url)
    if name == session.book.current:  # it may mean another swarm from now on
        session.forget()
    say.line(f"CONTEXT CREATED : {name}")


def _url(typed: Typed) -> str:
    if "service" in typed.values:
        return service_url(typed.values["service"])
    return sn_url(typed.values["ip"], typed.number("port", 0) if "port" in typed.values else None)


async def switch(session: Session, typed: Typed, say: Say) -> None:
    session.book.switch(typed.values["context"])
    session.forget()
    say.line(f"DEFAULT CONTEXT SET TO : {typed.values['context']}")


async def list_(session: Session, typed: Typed, say: Say) -> None:
    say.lines(session.book.names)


async def info(session: Session, typed: Typed, say: Say) -> None:
    context = session.book.get(typed.values.get("context", ""))
    say.fact("NAME", context.name)
    say.fact("API SERVER", context.url)
    say.fact("IN USE", context.name == session.book.current)
    try:
        why = await session.access.why_down(context.url)
        say.fact("STATE", f"DOWN: {why}" if why else "UP")
        if why:
            return
        member = await session.member(context.name)
    except SwarmFault as fault:  # a context can be looked at also when its swarm cannot be entered
        say.fact("STATE", f"NOT USABLE: {fault}")
        return
    swarm = member.swarm
    say.fact("CHAIN", f"{swarm.chain}, id {swarm.chain_id}, genesis {to_hex(swarm.genesis_hash)}")
    say.fact("DIRECTORY", to_hex(swarm.directory))
    say.fact("SN IN USE", member.link.url)
    say.fact("THIS NODE", member.who.account.address.lower())


async def version(session: Session, typed: Typed, say: Say) -> None:
    member = await session.member()
    told = await member.link.get("/v1/swarm")
    say.fact("API SERVER", "v1")
    say.fact("CONTRACTS", told.get("contracts_version", 1))


async def list_env(session: Session, typed: Typed, say: Say) -> None:
    context = session.book.get(typed.values.get("context", ""))
    say.lines([f"{name} : {value}" for name, value in sorted(context.env.items())])


async def get_env(session: Session, typed: Typed, say: Say) -> None:
    context, name = session.book.get(typed.values.get("context", "")), typed.values["env"]
    if name not in context.env:
        there = ", ".join(sorted(context.env)) or "none"
        raise OperatorFault(f"the context {context.name} has no variable {name!r:.200}; it has: {there}")
    say.line(f"{name} : {context.env[name]}")


async def set_env(session: Session, typed: Typed, say: Say) -> None:
    context: Context = session.book.get(typed.values.get("context", ""))
    session.book.set(context, typed.values["env"], typed.values["value"])
    say.line(f"{typed.values['env']} : {typed.values['value']}")


HANDLERS: Mapping[str, Handler] = {
    "WAIT FOR IP": wait_for_ip,
    "WAIT FOR SERVICE": wait_for_service,
    "CREATE CONTEXT": create,
    "SWITCH CONTEXT": switch,
    "LIST CONTEXTS": list_,
    "GET CONTEXT INFO": info,
    "GET CONTEXT VERSION": version,
    "LIST CONTEXT ENV": list_env,
    "GET CONTEXT ENV": get_env,
    "SET CONTEXT ENV": set_env,
}
