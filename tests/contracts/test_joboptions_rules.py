"""JobOptions: one text a job, changed by operators between runs and by nobody else."""

from __future__ import annotations

import pytest
from support.evm import person
from support.twin import FAR, JOB, Twin, refused
from swarm.core.chain_view import Role
from swarm.core.ids import Digest, sha256

TEXT = '{"stop":{"max_rounds":5}}'


def test_options_are_replaced_and_counted() -> None:
    """The newest text holds, its version grows, and an event tells who changed what."""
    twin = Twin(0)
    options = twin.chain.options
    assert options.ask("get", JOB) == ("", 0)
    done = options.send(twin.admin, "set", JOB, TEXT)
    assert [(e.job, e.version, e.options, e.by) for e in done.events] == [(JOB, 1, TEXT, twin.admin)]
    options.send(twin.admin, "set", JOB, "")
    assert options.ask("get", JOB) == ("", 2)
    assert options.ask("training") == twin.chain.training.address


@pytest.mark.parametrize("role", [Role.SL, Role.SWCI, Role.SWOP, Role.SN])
def test_only_operators_change_them(role: Role) -> None:
    """SN, SWCI and SWOP may; an SL may not, nor somebody who is no member."""
    twin = Twin(0)
    who = person("somebody")
    with refused("MembershipNotActive", caller=who):
        twin.chain.options.send(who, "set", JOB, TEXT)
    twin.admit(who, role=role, expires=FAR)
    if role is Role.SL:
        with refused("MembershipNotAllowed", caller=who):
            twin.chain.options.send(who, "set", JOB, TEXT)
    else:
        twin.chain.options.send(who, "set", JOB, TEXT)


def test_they_stand_while_a_run_is_open() -> None:
    """From the first join on all members train under the same; after the run they may be changed."""
    twin = Twin(2)
    twin.join(twin.nodes[0], 2)
    with refused("OptionsRunOpen", job=JOB):
        twin.chain.options.send(twin.admin, "set", JOB, TEXT)
    twin.step("Training", twin.admin, "reset", JOB, True)
    twin.chain.options.send(twin.admin, "set", JOB, TEXT)


def test_they_are_bounded_and_of_a_known_job() -> None:
    """At most 2,048 bytes; a job that does not exist has none."""
    twin = Twin(0)
    twin.chain.options.send(twin.admin, "set", JOB, "x" * 2048)
    with refused("OptionsTooLong", bytesLength=2049, bytesMax=2048):
        twin.chain.options.send(twin.admin, "set", JOB, "x" * 2049)
    with refused("OptionsUnknownJob"):
        twin.chain.options.send(twin.admin, "set", Digest(sha256(b"no such job")), TEXT)
