"""Beside the examples for SWCI and SWOP: init scripts, task files, profiles of one host and two, a policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from support.tools import ROOT
from swarm.core.ids import Address, Digest
from swarm.core.swop.asked import Asked
from swarm.core.swop.containers import Mount, MountKind
from swarm.core.swop.dockerfile import images_of
from swarm.core.swop.pairs import Site, Terms, pair
from swarm.core.swop.policy import Granted, decide, read_policy
from swarm.core.taskrun.work import Key
from swarm.core.tasktext.model import BuildBody, RunBody, Task, TaskType, image_of
from swarm.core.tasktext.profile import Profile, read_profile
from swarm.core.tasktext.reading import read
from swarm.swci.grammar import Typed, parse

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*/train_*.py"))
FOLDERS = sorted({p.parent / "swarm" for p in PROGRAMS})
WHO = Address(b"w" * 20)
COMMENT = ("#",)


def name_of(program: Path) -> str:
    return f"{program.parent.name.replace('-', '_')}_{program.stem.removeprefix('train_')}"


def task(program: Path, step: str) -> Task:
    found = read((program.parent / "swarm" / "taskdefs" / f"{step}_{name_of(program)}.yaml").read_bytes())
    assert found.findings == ()
    assert found.value is not None
    return found.value


def profiles(folder: Path) -> list[Profile]:
    """Of one host, and of each of two."""
    made = []
    for name in ("swop_profile.yaml", "swop1_profile.yaml", "swop2_profile.yaml"):
        found = read_profile((folder / name).read_bytes())
        assert found.findings == (), name
        assert found.value is not None
        made.append(found.value)
    return made


def by_name(program: Path) -> str:
    return f"{program.parent.name}/{program.stem}"


@pytest.mark.parametrize("program", PROGRAMS, ids=by_name)
def test_each_program_has_its_tasks(program: Path) -> None:
    """One builds an image that holds it, one runs it there; the second needs the first."""
    build, run = task(program, "build"), task(program, "train")
    assert (build.header.type, run.header.type) == (TaskType.MAKE_USER_CONTAINER, TaskType.RUN_SWARM)
    assert isinstance(build.body, BuildBody)
    assert isinstance(run.body, RunBody)
    assert (build.header.prereq, run.header.prereq) == ("ROOTTASK", build.header.name)
    assert run.body.command == program.name
    assert f"COPY {program.parent.name}/*.py {run.body.working_dir}/" in build.body.dockerfile
    pinned = re.findall(r"[a-z-]+==[\d.]+", build.body.dockerfile)
    locks = "".join(p.read_text() for p in (ROOT / "requirements").glob("*.txt"))
    assert len(pinned) >= 3
    assert [one for one in pinned if f"{one} " not in locks] == [], "what the project itself is tested with"


@pytest.mark.parametrize("program", PROGRAMS, ids=by_name)
def test_each_init_script_is_typed_as_the_shell_reads_it(program: Path) -> None:
    """Every line is a command; it makes, ends, assigns and waits for the two tasks of its program."""
    script = program.parent / "swarm" / f"swci-init-{program.stem.removeprefix('train_')}"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith(COMMENT)]
    read_as = [parse(line) for line in lines]
    assert [line for line, one in zip(lines, read_as, strict=True) if not isinstance(one, Typed)] == []
    text = "\n".join(lines)
    for step in ("build", "train"):
        name = f"{step}_{name_of(program)}"
        path = f"taskdefs/{name}.yaml"
        assert (script.parent / path).is_file()
        where = [text.index(w) for w in (f"CREATE TASK FROM {path}", f"FINALIZE TASK {name}", f"ASSIGN TASK {name} TO")]
        assert where == sorted(where)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.parent.name)
def test_profiles_of_one_host_and_of_two(folder: Path) -> None:
    """Two pairs on one host by names of its network; one pair on each of two, with a port that the others reach."""
    one, first, second = profiles(folder)
    assert [len(p.nodes) for p in (one, first, second)] == [2, 1, 1]
    assert len({one.group, first.group, second.group}) == 3
    assert all(node.host_ip == node.host_name for node in one.nodes)
    assert [(p.nodes[0].host_ip, p.nodes[0].port) for p in (first, second)] == [("site1", 30305), ("site2", 30305)]
    assert all(p.policy_uri == "policy.yaml" for p in (one, first, second))
    private = [node.private.source for p in (one, first, second) for node in p.nodes if node.private]
    assert private == ["/srv/swarm/site1", "/srv/swarm/site2"] * 2


@pytest.mark.parametrize("program", PROGRAMS, ids=by_name)
def test_the_policy_takes_these_tasks_and_not_more(program: Path) -> None:
    """A build from one image with network for its steps; a run on the site's own data, confined, without network."""
    folder = program.parent / "swarm"
    policy = read_policy(yaml.safe_load((folder / "policy.yaml").read_text()), "policy.yaml")
    build, run = task(program, "build"), task(program, "train")
    assert isinstance(build.body, BuildBody)
    context = Mount(MountKind.VOLUME, build.body.context or "", "/")
    granted = decide(policy, Asked(build, WHO, images_of(build.body.dockerfile), (context,)))
    assert isinstance(granted, Granted)
    assert granted.build_network
    for profile in profiles(folder):
        mounts: list[Mount] = []
        for number, node in enumerate(profile.nodes):
            made = pair(Site(WHO, "sl:1"), profile, node, run, "sha256:x", Key(Digest(bytes(32)), number, 1), Terms())
            mounts += made.ml.mounts[1:]
        granted = decide(policy, Asked(run, WHO, (), tuple(mounts)))
        assert isinstance(granted, Granted)
        assert granted.terms == Terms()
    for other in (
        Asked(build, WHO, ("python:3.12-slim",), (context,)),
        Asked(run, WHO, (image_of("somebody-elses"),)),
        Asked(run, WHO, (), (Mount(MountKind.BIND, "/srv", "/data"),)),
    ):
        assert isinstance(decide(policy, other), str)
