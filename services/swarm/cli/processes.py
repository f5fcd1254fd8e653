"""Processes with flags of their own, and words that are reserved."""

from __future__ import annotations

import click

from .building import Call


def sn(call: Call) -> int:
    from swarm.sn.__main__ import main

    return main(call.rest)


def sl(call: Call) -> int:
    from swarm.sl.__main__ import main

    return main(call.rest)


def swci(call: Call) -> int:
    from swarm.swci.__main__ import main

    return main(call.rest)


def swop(call: Call) -> int:
    from swarm.swop.__main__ import main

    return main(call.rest)


def demo(call: Call) -> int:
    from swarm.demo.__main__ import main

    return main(call.rest)


def reserved(call: Call) -> int:
    raise click.UsageError(f"swarm {call.typed} is not there yet: it {call.line.bare.removeprefix('it ')}")
