"""An example's own init script, task files, profiles of two hosts and policy, through the shell and two SWOPs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from support import swci
from support.certs import Authority
from support.fakeruntime import Program
from support.snprocess import running_sn
from support.swopnode import SwopNode
from support.tools import ROOT
from swarm.core.swop.containers import ContainerSpec, Image, MountKind
from swarm.core.swop.pairs import PART, Part
from swarm.core.swop.policy import read_policy

pytestmark = pytest.mark.timeout(300)
SWARM = ROOT / "examples" / "breast-cancer" / "swarm"


def starts(
    node: SwopNode, joins: Callable[[ContainerSpec], None], ran: list[ContainerSpec], spec: ContainerSpec
) -> None:
    """A program is noted and ends well; so does the SL beside it, once it has joined."""
    joins(spec)
    box = node.runtime.boxes[spec.name]
    box.program = replace(box.program, ends=0)
    if spec.labels[PART] == Part.ML:
        ran.append(spec)


def test_an_examples_files_run_from_the_script_to_the_end(tmp_path: Path) -> None:
    """Only the SN's address is another one: each site builds the image, and runs one pair on its own data."""
    ca = Authority()
    policy = read_policy(yaml.safe_load((SWARM / "policy.yaml").read_text()), "policy.yaml")
    with running_sn(tmp_path / "sn", ca, "--task-lease", "10") as sn:
        nodes: list[SwopNode] = []
        ran: list[ContainerSpec] = []
        for number in (1, 2):
            name = f"swop-{number}"
            files = ca.node(tmp_path / "certs", name, uri=f"spiffe://test/site-{number}/swop/{name}")
            profile = (SWARM / f"swop{number}_profile.yaml").read_text()
            node = SwopNode(sn, files, tmp_path / name, profile, {"train_plain.py": Program(0)}, policy)
            node.folder.mkdir()
            node.runtime.on_start = partial(starts, node, node.runtime.on_start, ran)
            node.runtime.images["python:3.11-slim"] = node.runtime.images["sha256:p"] = Image("sha256:p")
            node.runtime.volumes["swarm-examples"] = {}
            nodes.append(node)
        here = swci.operator(tmp_path / "operator", sn, ca)
        shutil.copytree(SWARM / "taskdefs", here.usr / "taskdefs")
        script = (SWARM / "swci-init-plain").read_text().replace(" IP sn1", f" IP {sn.place.host} {sn.port}")
        try:
            for node in nodes:
                node.start()
            done = here.script(script, seconds=60)
        finally:
            for node in nodes:
                node.stop()
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("TASKRUNNER FINISHED") == 2, done.stdout
        assert done.stdout.count("STATE : COMPLETE") == 2, done.stdout
        assert all("breast-cancer-plain:latest" in node.runtime.images for node in nodes)
        data = [next(m for m in spec.mounts if m.target == "/data") for spec in ran]
        assert {(m.kind, m.source) for m in data} == {(MountKind.BIND, f"/srv/swarm/site{n}") for n in (1, 2)}
        assert [spec.environment["DATA"] for spec in ran] == ["/data/share.npz"] * 2
        assert not any("http_proxy" in spec.environment for spec in ran)
