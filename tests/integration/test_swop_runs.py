"""SWOPs that run tasks: the product's parts against a real SN and the operator's shell, over a runtime in memory."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import patience, swci
from support.certs import Authority
from support.fakeruntime import LOST, Program
from support.snprocess import SnProcess, running_sn
from support.swopnode import IMAGE, SwopNode, swop_node
from swarm.core.swop.containers import ContainerSpec, ContainerState
from swarm.core.swop.pairs import PART, Part
from swarm.core.swop.policy import Policy
from swarm.swop.hands import REVIVALS_MAX

pytestmark = pytest.mark.timeout(400)
TR = "defaulttaskbb.taskdb.sml.hpe"
BUILD = """Name : build
TaskType : MAKE_USER_CONTAINER
Author : Somebody
Prereq : ROOTTASK
Outcome : user-env
Body :
    BuildContext :
    BuildType : INLINE
    BuildSteps :
    - FROM base:1
    - RUN {step}
"""
RUN = """Name : train
TaskType : RUN_SWARM
Author : Somebody
Prereq : build
Outcome : train
Body :
    Command : train
    Entrypoint : python3
    WorkingDir : /tmp/test
    Envvars :
    PrivateContent :
    SharedContent :
"""
CONTENT = """Name : content
TaskType : MAKE_SWARM_USER_CONTENT
Author : Somebody
Prereq : ROOTTASK
Outcome : sets
Body :
    ContentType : SWARMCONTENT
    OpsList :
    - Operation : DOWNLOAD
      Target : {url}
      Options :
      - Out : raw
"""
RAISES = "Traceback (most recent call last):\n  File 'x', line 1\n    y\nValueError: no such column\n"


@dataclass
class World:
    """An SN, an operator with two final tasks."""

    ca: Authority
    sn: SnProcess
    here: swci.Operator
    folder: Path

    def assigns(self, *lines: str) -> str:
        """What the shell prints, after a reset and whatever ran before."""
        done = self.here.shell(f"RESET TASKRUNNER {TR} FORCE", *lines)
        return done.stdout


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ca = Authority()
    with running_sn(tmp_path_factory.mktemp("sn"), ca, "--task-lease", "10") as sn:
        here = swci.operator(tmp_path_factory.mktemp("operator"), sn, ca)
        alone = RUN.replace("Name : train", "Name : alone").replace("Envvars :", "Envvars : [SWARM_LOOPBACK: true]")
        for name, text in (("build", BUILD.format(step="true")), ("train", RUN), ("alone", alone)):
            (here.usr / f"{name}.yaml").write_text(text)
        made = here.shell(
            *here.enter(),
            "create task from build.yaml",
            "finalize task build",
            "create task from train.yaml",
            "finalize task train",
            "create task from alone.yaml",
            "finalize task alone",
        )
        assert made.returncode == 0, made.stdout
        yield World(ca, sn, here, tmp_path_factory.mktemp("swops"))


def until(holds: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + patience.seconds(seconds)
    while not holds():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.05)


def parts(node: SwopNode, part: Part, state: ContainerState) -> list[str]:
    return [
        name for name, box in list(node.runtime.boxes.items()) if box.state is state and box.spec.labels[PART] == part
    ]


@pytest.mark.row("L04")
def test_a_task_is_built_and_then_run_by_two_sites(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The image, then three pairs of two SWOPs: each program once, all results on chain, nothing left but states."""
    with (
        swop_node(world.sn, world.ca, world.folder, "b1", nodes=2) as one,
        swop_node(world.sn, world.ca, world.folder, "b2", nodes=1) as two,
    ):
        for node in (one, two):
            node.runtime.programs["train"] = Program(None)
        said = world.assigns(f"ASSIGN TASK build TO {TR} WITH ALL PEERS", f"WAIT FOR TASKRUNNER {TR}")
        assert "STATE : COMPLETE" in said, said
        assert capsys.readouterr().out.count("SWOPBuildTask: build task completed") == 2
        assert IMAGE in one.runtime.images
        assert IMAGE in two.runtime.images
        said = world.assigns(f"ASSIGN TASK train TO {TR} WITH ALL PEERS")
        until(lambda: len(parts(one, Part.ML, ContainerState.RUNNING)) == 2, "two programs at the first site")
        until(lambda: len(parts(two, Part.ML, ContainerState.RUNNING)) == 1, "one at the second")
        for node in (one, two):
            for name in parts(node, Part.ML, ContainerState.RUNNING):
                assert node.runtime.boxes[name].spec.image == node.runtime.images[IMAGE].id
                node.runtime.ends(name, 0)
            for name in parts(node, Part.SL, ContainerState.RUNNING):
                node.runtime.ends(name, 0)
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}", f"GET TASKRUNNER STATUS {TR}").stdout
        assert "STATE : COMPLETE" in said, said
        assert "TASK_STATE   : COMPLETE" in said
        for node in (one, two):
            until(lambda node=node: not node.runtime.boxes, "containers gone")
            until(lambda node=node: not [v for v in node.runtime.volumes if "swif" in v], "shared volumes gone")
        assert sorted(one.runtime.volumes) == ["swop-b1-state-0", "swop-b1-state-1"]


def test_a_mount_that_a_link_leads_elsewhere_is_refused(world: World) -> None:
    """An earlier program left a link in a folder that it could write: the next one does not get what it leads to."""
    shared = "SharedContent :\n    - Src : /srv/shared/model\n      Tgt : /model\n      MType : BIND\n"
    text = RUN.replace("Name : train", "Name : linked").replace("SharedContent :\n", shared)
    (world.here.usr / "linked.yaml").write_text(text)
    world.here.shell("create task from linked.yaml", "finalize task linked")
    with swop_node(world.sn, world.ca, world.folder, "l1", nodes=1) as node:
        node.has_image()
        node.runtime.links = {"/srv/shared/model"}
        said = world.assigns(f"ASSIGN TASK linked TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}")
        assert re.search(r"pair 0: FAILED, exit code -?\d+, MountIsALink", said), said
        assert not node.runtime.boxes


def test_attack_a_link_that_a_program_left_is_seen_when_it_is_started_again(world: World) -> None:
    """The engine follows a path anew at each start: who changed it and went down does not get what is there."""
    shared = "SharedContent :\n    - Src : /srv/shared/model\n      Tgt : /model\n      MType : BIND\n"
    text = RUN.replace("Name : train", "Name : turns").replace("SharedContent :\n", shared)
    (world.here.usr / "turns.yaml").write_text(text)
    world.here.shell("create task from turns.yaml", "finalize task turns")
    with swop_node(world.sn, world.ca, world.folder, "l2", nodes=1) as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        world.assigns(f"ASSIGN TASK turns TO {TR} WITH 1 PEERS")
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "a program")
        node.runtime.links = {"/srv/shared/model"}
        node.runtime.power_cut()
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert re.search(r"pair 0: FAILED, exit code -?\d+, MountIsALink", said), said
        until(lambda: not node.runtime.boxes, "nothing left")


def test_a_volume_that_is_not_there_is_not_made_empty(world: World) -> None:
    """The engine would make it; a program would train on nothing and end well."""
    shared = "SharedContent :\n    - Src : no-such-volume\n      Tgt : /data\n      MType : VOLUME\n"
    text = RUN.replace("Name : train", "Name : nowhere").replace("SharedContent :\n", shared)
    (world.here.usr / "nowhere.yaml").write_text(text)
    world.here.shell("create task from nowhere.yaml", "finalize task nowhere")
    with swop_node(world.sn, world.ca, world.folder, "v1", nodes=1) as node:
        node.has_image()
        said = world.assigns(f"ASSIGN TASK nowhere TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}")
        assert re.search(r"pair 0: FAILED, exit code -?\d+, VolumeMissing", said), said
        assert not node.runtime.boxes
        assert "no-such-volume" not in node.runtime.volumes


@pytest.mark.row("L04")
def test_a_program_that_raises_is_told_and_a_reset_leaves_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code and class while the other pair runs on; RESET FORCE stops that one by SIGTERM, and removes both.

    On the way the log has the lines that users' scripts wait for.
    """
    with swop_node(world.sn, world.ca, world.folder, "r1", nodes=2) as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        world.assigns(f"ASSIGN TASK train TO {TR} WITH 2 PEERS")
        until(lambda: len(parts(node, Part.ML, ContainerState.RUNNING)) == 2, "two programs")
        bad, good = sorted(parts(node, Part.ML, ContainerState.RUNNING), key=lambda name: name.split("-u-")[1])
        key = node.key(bad)
        node.runtime.says(bad, RAISES)
        node.runtime.ends(bad, 1)
        began = time.monotonic()
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert time.monotonic() - began < 30 * patience.crowd()
        assert f"SWOP {node.uid} pair 0: FAILED, exit code 1, ValueError" in said, said
        assert good in parts(node, Part.ML, ContainerState.RUNNING)
        world.here.shell(f"RESET TASKRUNNER {TR} FORCE")
        until(lambda: not node.runtime.boxes, "nothing left", 60)
        assert node.parts is not None
        assert node.parts.texts.lines(key) == RAISES.splitlines()
        until(lambda: node.parts is not None and node.parts.follower._current is None, "the reset seen")
    said = capsys.readouterr().out
    op = re.findall(r"ENROLL TO Task : train , opId : (\d+) - Begins", said)
    assert len(op) == 1
    assert f"ENROLL TO Task : train , opId : {op[0]} - Ends" in said
    assert said.count("SWOPRunTask: Started containers successfully") == 2
    assert said.split("Started containers", 1)[1].count("TASKRUNNER WAS RESET") == 1


def test_a_program_that_never_joined_is_a_failure(world: World) -> None:
    """Exit code 0 and no session: said so on the chain, and its SL does not go on for ever."""
    with swop_node(world.sn, world.ca, world.folder, "n1", joins=False) as node:
        node.has_image()
        node.runtime.programs["train"] = Program(0)
        said = world.assigns(f"ASSIGN TASK train TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}")
        assert f"SWOP {node.uid} pair 0: FAILED, exit code 0, NeverJoined" in said, said
        until(lambda: not node.runtime.boxes, "nothing left")


@pytest.mark.parametrize("crash", [True, False])
def test_a_swop_that_comes_back_adopts_what_runs(world: World, crash: bool) -> None:
    """Killed or restarted in mid-run: the program goes on, is started once, and its end is told by the next process."""
    name = f"a{int(crash)}"
    with swop_node(world.sn, world.ca, world.folder, name) as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        world.assigns(f"ASSIGN TASK train TO {TR} WITH 1 PEERS")
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "a program")
        [program] = parts(node, Part.ML, ContainerState.RUNNING)
        node.stop(crash=True)
        if crash:
            node.runtime.ends(program, 0)  # while nobody looked
        node.start()
        if not crash:
            node.runtime.ends(program, 0)
        for sl in parts(node, Part.SL, ContainerState.RUNNING):
            node.runtime.ends(sl, 0)
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert "STATE : COMPLETE" in said, said
        until(lambda: not node.runtime.boxes, "nothing left")


@pytest.mark.parametrize("lost", ["host", "engine"])
def test_a_pair_goes_on_after_a_power_cut(world: World, lost: str) -> None:
    """Both containers down, with this SWOP (the host) or under it (its engine): started again, once, as they were."""
    with swop_node(world.sn, world.ca, world.folder, f"p{lost}") as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        world.assigns(f"ASSIGN TASK train TO {TR} WITH 1 PEERS")
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "a program")
        before = sorted(node.runtime.boxes)
        if lost == "host":
            node.stop(crash=True)
            node.runtime.power_cut()
            node.start()
        else:
            node.runtime.power_cut()
        until(lambda: parts(node, Part.SL, ContainerState.RUNNING), "its SL again")
        assert sorted(node.runtime.boxes) == before
        for part in (Part.ML, Part.SL):
            [name] = parts(node, part, ContainerState.RUNNING)
            node.runtime.ends(name, 0)
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert "STATE : COMPLETE" in said, said
        until(lambda: not node.runtime.boxes, "nothing left")


def test_a_pair_that_is_ended_from_outside_again_and_again_has_failed(world: World) -> None:
    """It goes on so many times, and then it is told what its program ended with; nothing is left."""
    with swop_node(world.sn, world.ca, world.folder, "again") as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        starts: Counter[str] = Counter()

        def goes_down(spec: ContainerSpec) -> None:
            starts[spec.labels[PART]] += 1
            node.runtime.boxes[spec.name].program = Program(LOST)

        node.runtime.on_start = goes_down
        said = world.assigns(f"ASSIGN TASK train TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}")
        assert f"SWOP {node.uid} pair 0: FAILED, exit code {LOST}, exit {LOST}" in said, said
        assert starts == {Part.SL: 1 + REVIVALS_MAX, Part.ML: 1 + REVIVALS_MAX}
        until(lambda: not node.runtime.boxes, "nothing left")


@pytest.mark.row("T08")
def test_a_program_that_trains_alone_is_a_success_also_when_nobody_looked(world: World) -> None:
    """It says so by SWARM_LOOPBACK in its task (row T08), which the next process reads again."""
    with swop_node(world.sn, world.ca, world.folder, "l1", joins=False) as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        world.assigns(f"ASSIGN TASK alone TO {TR} WITH 1 PEERS")
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "a program")
        [program] = parts(node, Part.ML, ContainerState.RUNNING)
        node.stop(crash=True)
        node.runtime.ends(program, 0)
        node.start()
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert "STATE : COMPLETE" in said, said


@pytest.mark.row("T07")
def test_a_tasks_life_from_its_first_line_to_its_second_run(world: World) -> None:
    """Typed, final, then frozen; a SWOP has one task at a time, and runs the same one again once that has ended."""
    with swop_node(world.sn, world.ca, world.folder, "life", joins=False) as node:
        node.has_image()
        node.runtime.programs["later"] = Program(None)
        body = ("---", "Command : later", "Entrypoint : python3", "WorkingDir : /tmp/test", "PrivateContent :",
                "SharedContent :", "Envvars :", "  - SWARM_LOOPBACK : true")  # fmt: skip
        said = world.assigns(
            "CREATE TASK RUN_SWARM lived Somebody build lived",
            *(f"APPEND TASK BODY lived {number} {line}" for number, line in enumerate(body) if number),
            f"ASSIGN TASK lived TO {TR} WITH 1 PEERS",
            "FINALIZE TASK lived",
            "APPEND TASK BODY lived 1 Command : other",
            f"ASSIGN TASK lived TO {TR} WITH 1 PEERS",
        )
        assert "ERROR task lived is a draft" in said, said
        assert "ERROR task lived is final" in said, said
        assert said.count("Task assigned to TaskRunner") == 1, said
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "a program")
        [first] = parts(node, Part.ML, ContainerState.RUNNING)
        said = world.here.shell(f"ASSIGN TASK alone TO {TR} WITH 1 PEERS").stdout
        assert f"ERROR task runner {TR} is busy: task lived" in said, said
        assert parts(node, Part.ML, ContainerState.RUNNING) == [first]
        node.runtime.ends(first, 0)
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}", f"ASSIGN TASK lived TO {TR} WITH 1 PEERS").stdout
        assert "STATE : COMPLETE" in said, said
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "the program again")
        [second] = parts(node, Part.ML, ContainerState.RUNNING)
        assert second != first
        node.runtime.ends(second, 0)
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert "STATE : COMPLETE" in said, said


@pytest.mark.row("E12")
def test_containers_stay_where_the_site_wants_that(world: World) -> None:
    """SWOP_KEEP_CONTAINERS: they are not taken for something that runs, and the next task is done beside them."""
    with swop_node(world.sn, world.ca, world.folder, "k1", keep=True) as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        seen: set[str] = set()
        for _ in range(2):
            world.assigns(f"ASSIGN TASK train TO {TR} WITH 1 PEERS")
            until(lambda seen=seen: set(parts(node, Part.ML, ContainerState.RUNNING)) - seen, "a program")
            for name in list(node.runtime.boxes):
                node.runtime.ends(name, 0)
            said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
            assert "STATE : COMPLETE" in said, said
            seen = set(node.runtime.boxes)
        assert len(seen) == 4


@pytest.mark.row("D15")
@pytest.mark.parametrize(
    ("task", "fault", "change"),
    [
        ("build", "PolicyRefused", {"policy": Policy()}),
        ("train", "PrereqMissing", {}),
    ],
)
def test_a_site_that_does_not_take_a_task_says_why(world: World, task: str, fault: str, change: dict) -> None:
    """By a class on the chain; the sentence stays at the site."""
    with swop_node(world.sn, world.ca, world.folder, f"d-{task}", **change) as node:
        said = world.assigns(f"ASSIGN TASK {task} TO {TR} TARGET {node.uid}", f"WAIT FOR TASKRUNNER {TR}", f"WHY {TR}")
        assert fault in said, said
        assert not node.runtime.boxes
        assert node.parts is not None
        [judged] = node.parts.follower._judged.values()
        very_text = "swarm policy allow .* --text 0x[0-9a-f]{64} --image"
        assert re.search(f"{very_text}|is not on this host: run the task build here first", judged.text)


@pytest.mark.row("T06")
def test_content_is_a_volume_for_each_node(world: World) -> None:
    """Fetched once, put into a volume of each node; a policy without the address refuses it by name."""
    with swop_node(world.sn, world.ca, world.folder, "c1", nodes=2) as node:
        url = f"{node.sn.ops}/healthz"  # something that is served here
        (world.here.usr / "content.yaml").write_text(CONTENT.format(url=url))
        said = world.assigns(
            "create task from content.yaml",
            "finalize task content",
            f"ASSIGN TASK content TO {TR} WITH 1 PEERS",
            f"WAIT FOR TASKRUNNER {TR}",
        )
        assert "STATE : COMPLETE" in said, said
        assert sorted(node.runtime.files) == ["sets-0", "sets-1"]
        assert list(node.runtime.files["sets-1"]) == ["raw/healthz"]
        assert b'"healthy": true' in node.runtime.files["sets-1"]["raw/healthz"]


def test_an_engine_that_goes_away_is_waited_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """For less than a lease nothing is lost: the program that went on ends well. Its end is said once."""
    with swop_node(world.sn, world.ca, world.folder, "g1") as node:
        node.has_image()
        node.runtime.programs["train"] = Program(None)
        world.assigns(f"ASSIGN TASK train TO {TR} WITH 1 PEERS")
        until(lambda: parts(node, Part.ML, ContainerState.RUNNING), "a program")
        capsys.readouterr()
        node.runtime.gone = True
        time.sleep(3)
        assert "goes on" not in capsys.readouterr().out
        [program] = parts(node, Part.ML, ContainerState.RUNNING)
        for name in list(node.runtime.boxes):
            node.runtime.ends(name, 0)
        node.runtime.gone = False
        said = world.here.shell(f"WAIT FOR TASKRUNNER {TR}").stdout
        assert "STATE : COMPLETE" in said, said
        assert program not in parts(node, Part.ML, ContainerState.RUNNING)
    assert capsys.readouterr().out.count("goes on") == 1
