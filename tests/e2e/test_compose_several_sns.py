"""Three SNs from the compose file, each with its geth: the sentinel's container stops, and the run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.compose import Project, project
from support.snfleet import until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1800)]

SNS = ("sn1", "sn2", "sn3")
SLS, PROGRAMS = ("sl1", "sl2"), ("ml1", "ml2")
JOB = "defaultbb.cqdb.sml.hpe"
STEP_SECONDS_MAX = 240.0
EPOCHS = 16
"""Rounds of a second or more: time enough for a stop in the middle."""


def asked(swarm: Project, sn: str, *command: str) -> Any:
    return json.loads(swarm.compose("exec", "-T", sn, "swarm", *command, "--json"))


def living(swarm: Project, sn: str) -> set[str]:
    return {row["name"] for row in asked(swarm, sn, "status")["nodes"] if row["alive"]}


def rounds(swarm: Project, sn: str) -> int:
    return int(asked(swarm, sn, "status")["jobs"][JOB]["round"])


def test_a_run_goes_on_when_the_sentinels_container_stops(tmp_path: Path) -> None:
    """All three are healthy and in one table; without the first the programs end with 0 and one model."""
    with project("swarmsns", tmp_path, (*SNS, *SLS), MIN_PEERS="2", EPOCHS=str(EPOCHS)) as swarm:
        until(lambda: {*SNS, *SLS} <= living(swarm, "sn3"), STEP_SECONDS_MAX, "all nodes in the table of the third SN")
        swarm.compose("up", "-d", "--no-deps", *PROGRAMS)
        until(lambda: rounds(swarm, "sn2") >= 3, STEP_SECONDS_MAX, "three rounds")
        swarm.compose("stop", "sn1")
        before = rounds(swarm, "sn2")
        assert asked(swarm, "sn2", "status")["jobs"][JOB]["phase"] == "open"
        swarm.compose("exec", "-T", "sn2", "swarm", "wait", JOB, "--timeout", "600")
        assert [swarm.exit_code(program) for program in PROGRAMS] == [0, 0]
        assert [swarm.exit_code(node) for node in SLS] == [0, 0]
        assert len(asked(swarm, "sn3", "audit", JOB)["rounds"]) > before
        assert len({swarm.sha256(program, "/home/swarm/out/model.safetensors") for program in PROGRAMS}) == 1
