"""The command line of an operator's commands (swarm reset, swarm job)."""

from __future__ import annotations

import pytest
from swarm.core.errors import OperatorFault
from swarm.core.ids import DEFAULT_JOB
from swarm.inspect.job import JobSettings
from swarm.inspect.reset import ResetSettings
from swarm.node.settings import load_node_settings

NODE = ["--sn-ip", "sn1", "--cert", "c.pem", "--key", "k.pem", "--cacert", "ca.pem"]


@pytest.mark.parametrize(
    "argv", [["my.job", "--force", *NODE], ["--force", "my.job", *NODE], [*NODE, "--force", "my.job"]]
)
def test_the_job_may_stand_anywhere(argv: list[str]) -> None:
    """Before, between and after the flags the job is the same one."""
    found = load_node_settings(ResetSettings, argv, {})
    assert (found.job, found.force) == ("my.job", True)


def test_without_a_job_it_is_the_one_that_every_swarm_has() -> None:
    """Left out, and with options whose value looks like a name."""
    found = load_node_settings(JobSettings, [*NODE, "--options", "{}"], {})
    assert (found.job, found.options) == (DEFAULT_JOB, "{}")


def test_a_second_job_is_refused_by_name() -> None:
    """One command acts on one job; what is too much is named, with the help to ask for."""
    with pytest.raises(OperatorFault, match=r"unrecognized arguments: two; see: swarm reset --help"):
        load_node_settings(ResetSettings, ["one", "two", *NODE], {})
