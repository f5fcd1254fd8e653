"""One SN whose geth seals on demand, and a SWOP: what it waits for to be deep gets its blocks at once."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
from support import patience, swci, tools
from support.certs import Authority
from support.snprocess import running_sn
from support.swopnode import SwopNode, swop_node
from swarm.core.limits import JOIN_DEPTH_BLOCKS
from swarm.core.swop.containers import ContainerSpec
from swarm.sn.service import SETTLE_SECONDS

TR = "defaulttaskbb.taskdb.sml.hpe"
TASK_SECONDS = 60.0
"""A task of one build; with a block each 10 s it would take four times as long."""


def ends(node: SwopNode, spec: ContainerSpec) -> None:
    box = node.runtime.boxes[spec.name]
    box.program = replace(box.program, ends=0)


@pytest.mark.geth
@pytest.mark.timeout(400)
def test_a_task_on_one_geth_that_seals_on_demand_takes_seconds(tmp_path: Path) -> None:
    """And when nothing happens no blocks come."""
    ca = Authority()
    build = swci.BUILD.replace("    BuildContext : sl-cli-lib\n", "    BuildContext :\n").replace(
        "tensorflow/tensorflow:2.7.0", "base:1"
    )
    with running_sn(tmp_path / "sn", ca, "--chain", "geth", "--geth-bin", str(tools.geth())) as sn:
        here = swci.operator(tmp_path / "operator", sn, ca)
        (here.usr / "build.yaml").write_text(build)
        made = here.shell(*here.enter(), "create task from build.yaml", "finalize task user_env_task")
        assert made.returncode == 0, made.stdout
        with swop_node(sn, ca, tmp_path / "swops", "g1") as node:
            node.runtime.on_start = partial(ends, node)
            began = time.monotonic()
            said = here.shell(
                f"ASSIGN TASK user_env_task TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}", seconds=300
            ).stdout
            took = time.monotonic() - began
            assert "STATE : COMPLETE" in said, said
            assert took < TASK_SECONDS * patience.crowd(), f"{took:.0f} s"
        time.sleep(JOIN_DEPTH_BLOCKS * SETTLE_SECONDS + 3)
        still = height(sn.ops)
        time.sleep(3)
        assert height(sn.ops) <= still + 1


def height(ops: str) -> int:
    """The newest block, by the SN's own status."""
    with urlopen(f"{ops}/v1/status", timeout=30) as answer:
        return int(json.load(answer)["head"]["number"])
