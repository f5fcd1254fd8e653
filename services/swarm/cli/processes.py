"""Processes with flags of their own, the certificates' commands, and words that are reserved."""

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


def demo(call: Call) -> int:
    from swarm.demo.__main__ import main

    return main(call.rest)


def cert(call: Call) -> int:
    from swarm.net.probe import remote_time
    from swarm.net.rehearsal import rehearse
    from swarm.net.tls import TlsFiles
    from swarm.pki.cli import build

    # pki opens no connections: the clock of another node is read, and a handshake rehearsed, by net.
    pki = build(
        lambda host, port, *files: remote_time(host, port, TlsFiles(*files)), lambda *files: rehearse(TlsFiles(*files))
    )
    noun, verb = call.typed.split()
    pki([verb, *call.rest], prog_name=f"swarm {noun}")
    return 0


def reserved(call: Call) -> int:
    raise click.UsageError(f"swarm {call.typed} is not there yet: it {call.line.bare.removeprefix('it ')}")
