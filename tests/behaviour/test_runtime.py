"""Every container runtime keeps one contract: the fake one that unit tests use, and a real Docker engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import images
from support.chains import free_port
from support.fakeruntime import FakeRuntime, Program
from support.images import BASE
from swarm.core.swop.containers import (
    BuildSpec,
    ContainerSpec,
    ContainerState,
    Devices,
    Gpus,
    Image,
    Mount,
    MountKind,
    memory_of,
)
from swarm.swop.docker import DockerRuntime
from swarm.swop.runtime import FILE_BYTES_MAX, ContainerRuntime, RuntimeFault, Trouble

ENDS_SECONDS = 20.0
PROGRAMS = {
    "exit 3": Program(3),
    "exec sleep 600": Program(None),
    "trap '' TERM; while :; do sleep 1; done": Program(None, obeys=False),
    "for i in 1 2 3 4; do echo line $i; done; printf '\\377\\n'": Program(
        output="".join(f"line {i}\n" for i in (1, 2, 3, 4)) + "\ufffd\n"
    ),
    "echo kept > /out; head -c 70000 /dev/zero > /large; mkdir /d; touch /d/x": Program(
        files={"/out": b"kept\n", "/large": bytes(70_000), "/d/x": b""}
    ),
}
EXITS, SLEEPS, DEAF, SPEAKS, WRITES = PROGRAMS
BROKEN_STEP = "RUN echo nearly; echo oh no >&2; exit 7"


@dataclass
class Place:
    """A runtime, and labels that only this test's things carry."""

    runtime: Any
    labels: dict[str, str]
    names: int = 0

    def spec(self, script: str, **more: Any) -> ContainerSpec:
        self.names += 1
        name = f"{self.labels['swarm-test']}-{self.names}"
        return ContainerSpec(
            **{"name": name, "image": BASE, "command": ("sh", "-c", script), "labels": self.labels, **more}
        )

    async def only(self) -> Any:
        [found] = await self.runtime.find(self.labels)
        return found

    async def ended(self) -> Any:
        async with asyncio.timeout(ENDS_SECONDS):
            while True:
                found = await self.only()
                if found.state is ContainerState.EXITED:
                    return found
                await asyncio.sleep(0.05)


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def make_content(folder: Path) -> None:
    (folder / "set").mkdir()
    (folder / "set" / "a.csv").write_text("1,2\n")
    (folder / "set" / "a.csv").chmod(0o600)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o700)


def fake() -> FakeRuntime:
    made = FakeRuntime(PROGRAMS, {BROKEN_STEP: "nearly\noh no"})
    made.images[BASE] = Image("sha256:base")
    made.images["sha256:base"] = made.images[BASE]
    return made


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """One runtime; whatever the test left there goes, by its label."""
    runtime: ContainerRuntime = fake() if request.param == "fake" else DockerRuntime()
    if request.param == "docker":
        await asyncio.to_thread(images.base)
    made = Place(runtime, {"swarm-test": f"runtime-{secrets.token_hex(4)}"})
    yield made
    for found in await runtime.find(made.labels):
        await runtime.remove(found.name)
    for name in (made.labels["swarm-test"], f"{made.labels['swarm-test']}:latest"):
        await runtime.remove_volume(name) if ":" not in name else await runtime.remove_image(name)
    if isinstance(runtime, DockerRuntime):
        runtime.close()


async def test_what_is_created_waits_for_its_start(place: Place) -> None:
    """Made and not started; making the same again is nothing; another's name is refused."""
    spec = place.spec(EXITS)
    await place.runtime.create(spec)
    await place.runtime.create(spec)
    assert (await place.only()).state is ContainerState.CREATED
    assert await place.runtime.find({**place.labels, "other": "x"}) == []
    with pytest.raises(RuntimeFault, match="is there already") as refused:
        await place.runtime.create(ContainerSpec(spec.name, BASE, labels={**place.labels, "swarm-test-part": "other"}))
    assert refused.value.trouble is Trouble.NAME_TAKEN


async def test_an_exit_code_stays_and_nothing_starts_twice(place: Place) -> None:
    """What has ended is not started again by a second start, unless just that is asked for."""
    spec = place.spec(EXITS)
    await place.runtime.create(spec)
    await place.runtime.start(spec.name)
    found = await place.ended()
    assert (found.exit_code, found.labels["swarm-test"]) == (3, place.labels["swarm-test"])
    await place.runtime.start(spec.name)
    assert (await place.only()).state is ContainerState.EXITED
    await place.runtime.start(spec.name, again=True)
    assert (await place.ended()).exit_code == 3


@pytest.mark.parametrize(("script", "code"), [(SLEEPS, 143), (DEAF, 137)])
async def test_a_stop_gives_its_grace(place: Place, script: str, code: int) -> None:
    """SIGTERM, and only to who does not obey SIGKILL; stopping twice, or what is gone, counts."""
    spec = place.spec(script)
    await place.runtime.create(spec)
    await place.runtime.start(spec.name)
    await place.runtime.start(spec.name)
    assert (await place.only()).state is ContainerState.RUNNING
    await asyncio.sleep(0.3)  # the shell sets its trap
    await place.runtime.stop(spec.name, 2)
    found = await place.only()
    assert (found.state, found.exit_code) == (ContainerState.EXITED, code)
    await place.runtime.stop(spec.name, 1)
    await place.runtime.remove(spec.name)
    await place.runtime.remove(spec.name)
    await place.runtime.stop(spec.name, 1)
    assert await place.runtime.find(place.labels) == []


async def test_output_is_the_end_of_it(place: Place) -> None:
    """Of both streams, what is no UTF-8 replaced; nothing before the start."""
    spec = place.spec(SPEAKS)
    await place.runtime.create(spec)
    assert await place.runtime.output(spec.name, 10) == ""
    await place.runtime.start(spec.name)
    await place.ended()
    assert await place.runtime.output(spec.name, 2) == "line 4\n\ufffd\n"


async def test_files_are_read_out_of_what_has_ended(place: Place) -> None:
    """A regular file up to a bound; no file is None; anything else is refused by name."""
    spec = place.spec(WRITES)
    await place.runtime.create(spec)
    await place.runtime.start(spec.name)
    await place.ended()
    assert await place.runtime.read_file(spec.name, "/out") == b"kept\n"
    assert await place.runtime.read_file(spec.name, "/nothing") is None
    with pytest.raises(RuntimeFault, match=str(FILE_BYTES_MAX)):
        await place.runtime.read_file(spec.name, "/large")
    with pytest.raises(RuntimeFault, match="no regular file"):
        await place.runtime.read_file(spec.name, "/d")


async def test_what_is_missing_is_named(place: Place) -> None:
    """Image, network, program, container: each its own word for the chain."""
    runtime = place.runtime
    with pytest.raises(RuntimeFault, match="no-such-image") as refused:
        await runtime.create(place.spec(EXITS, image="no-such-image:1"))
    assert refused.value.trouble is Trouble.NO_IMAGE
    spec = place.spec(EXITS, network="no-such-network")
    await runtime.create(spec)
    with pytest.raises(RuntimeFault) as refused:
        await runtime.start(spec.name)
    assert refused.value.trouble is Trouble.NO_NETWORK
    with pytest.raises(RuntimeFault) as refused:
        await runtime.start("no-such-container")
    assert refused.value.trouble is Trouble.NO_CONTAINER
    with pytest.raises(RuntimeFault) as refused:
        await runtime.output("no-such-container", 1)
    assert refused.value.trouble is Trouble.NO_CONTAINER
    assert await runtime.image("no-such-image:1") is None
    assert not await runtime.network("no-such-network")
    assert await runtime.network("bridge")


async def test_a_program_that_is_not_there_has_had_its_start(place: Place) -> None:
    """So it is an exit with a code, and no container that waits for ever."""
    spec = place.spec("", entrypoint=("no-such-program",), command=("no-such-program",))
    await place.runtime.create(spec)
    with contextlib.suppress(RuntimeFault):  # Docker's own init starts, and cannot start it
        await place.runtime.start(spec.name)
    assert (await place.ended()).exit_code == 127


async def test_a_port_is_published_once(place: Place) -> None:
    """The second is refused with the word that stands on chain."""
    port = free_port()
    first, second = (place.spec(SLEEPS, ports={80: port}) for _ in range(2))
    for spec in (first, second):
        await place.runtime.create(spec)
    await place.runtime.start(first.name)
    with pytest.raises(RuntimeFault) as refused:
        await place.runtime.start(second.name)
    assert refused.value.trouble is Trouble.PORT_TAKEN


async def test_images_are_built_or_not(place: Place) -> None:
    """A good build moves the tag and carries labels; a bad one names its step and last lines, and moves nothing."""
    tag = f"{place.labels['swarm-test']}:latest"
    good = BuildSpec(tag, f"FROM {BASE}\n# a comment\nENV A=1 \\\n    B=2\n", labels=place.labels)
    built = await place.runtime.build(good)
    assert built.id.startswith("sha256:")
    assert built.labels["swarm-test"] == place.labels["swarm-test"]
    with pytest.raises(RuntimeFault, match="step 2 of 2") as refused:
        await place.runtime.build(BuildSpec(tag, f"FROM {BASE}\n{BROKEN_STEP}\n"))
    assert refused.value.trouble is Trouble.BUILD_FAILED
    assert "nearly" in refused.value.log
    assert "oh no" in str(refused.value)
    there = await place.runtime.image(tag)
    assert there is not None
    assert there.id == built.id
    with pytest.raises(RuntimeFault) as refused:
        await place.runtime.build(BuildSpec(tag, "FROM no-such-image:1\n"))
    assert refused.value.trouble in (Trouble.NO_IMAGE, Trouble.BUILD_FAILED)
    with pytest.raises(RuntimeFault, match="no-such-volume") as refused:
        await place.runtime.build(BuildSpec(tag, f"FROM {BASE}\n", context="no-such-volume"))
    assert refused.value.trouble is Trouble.NO_VOLUME


async def test_volumes_are_kept_while_somebody_has_them(place: Place) -> None:
    """Made once, refused while a container has it, and gone afterwards."""
    name, runtime = place.labels["swarm-test"], place.runtime
    assert not await runtime.volume(name)
    await runtime.make_volume(name, place.labels)
    await runtime.make_volume(name, place.labels)
    assert await runtime.volume(name)
    spec = place.spec(EXITS, mounts=(Mount(MountKind.VOLUME, name, "/data"),))
    await runtime.create(spec)
    with pytest.raises(RuntimeFault, match=name):
        await runtime.remove_volume(name)
    await runtime.remove(spec.name)
    await runtime.remove_volume(name)
    await runtime.remove_volume(name)
    assert not await runtime.volume(name)


async def test_a_containers_mounts_are_told_by_their_names_on_the_host(place: Place, tmp_path: Path) -> None:
    """Folders by path, volumes by name, each with its place inside; a container that is not there is no fault."""
    name, runtime = place.labels["swarm-test"], place.runtime
    mounts = (Mount(MountKind.VOLUME, name, "/data"), Mount(MountKind.BIND, str(tmp_path), "/site"))
    spec = place.spec(EXITS, mounts=mounts)
    await runtime.create(spec)
    told = await runtime.mounts_of(spec.name)
    assert told is not None
    assert {(one.source, one.target) for one in told} == {(name, "/data"), (str(tmp_path), "/site")}
    assert await runtime.mounts_of("f" * 64) is None


async def test_an_image_that_cannot_be_pulled(place: Place) -> None:
    """The name and what the registry, or its absence, says."""
    with pytest.raises(RuntimeFault, match="localhost:1/nothing") as refused:
        await place.runtime.pull("localhost:1/nothing:1", None, "nothing:latest")
    assert refused.value.trouble is Trouble.PULL_FAILED


@pytest.mark.docker
class TestDocker:
    """What only a real engine can show."""

    @pytest.fixture
    async def place(self) -> AsyncIterator[Place]:
        """A real engine; whatever the test left there goes."""
        await asyncio.to_thread(images.base)
        made = Place(DockerRuntime(), {"swarm-test": f"runtime-{secrets.token_hex(4)}"})
        yield made
        for found in await made.runtime.find(made.labels):
            await made.runtime.remove(found.name)
        await made.runtime.remove_volume(made.labels["swarm-test"])
        await made.runtime.remove_image(f"{made.labels['swarm-test']}:latest")
        made.runtime.close()

    async def test_a_confined_program_can_do_nothing_but_its_work(self, place: Place) -> None:
        """No capabilities, no new privileges, no network, a file system to read; its scratch can be written."""
        script = (
            "grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs' /proc/self/status; ls /sys/class/net; id -u;"
            " touch /x 2>/dev/null && echo wrote; echo ok > /tmp/x && cat /tmp/x; cat /sys/fs/cgroup/pids.max"
            " /sys/fs/cgroup/pids/pids.max 2>/dev/null; true"
        )
        spec = place.spec(
            script, user="1234:1234", network="none", writable_root=False, scratch=("/tmp",), confined=True, pids=77
        )  # fmt: skip
        await place.runtime.create(spec)
        await place.runtime.start(spec.name)
        assert (await place.ended()).exit_code == 0
        said = (await place.runtime.output(spec.name, 50)).split()
        none = "0" * 16
        assert said == ["CapPrm:", none, "CapEff:", none, "CapBnd:", none, "NoNewPrivs:", "1", "lo", "1234", "ok", "77"]

    @pytest.mark.row("P16")
    async def test_devices_reach_the_engine_as_the_profile_says(self, place: Place) -> None:
        """/dev/shm has its size, a device is there, a group is joined."""
        devices = Devices(paths=("/dev/null:/dev/also-null:r",), shm_bytes=80 * 1024**2, groups=("video",))
        spec = place.spec("df -k /dev/shm | tail -1; ls /dev/also-null; id -G", devices=devices)
        await place.runtime.create(spec)
        await place.runtime.start(spec.name)
        await place.ended()
        shm, also, groups = (await place.runtime.output(spec.name, 9)).splitlines()
        assert shm.split()[1] == str(80 * 1024)
        assert also == "/dev/also-null"
        assert "44" in groups.split()

    @pytest.mark.row("P16")
    @pytest.mark.parametrize("devices", [Devices(gpus=Gpus(ids=("GPU-none",))), Devices(paths=("/dev/none-here",))])
    async def test_a_device_that_this_host_has_not_is_refused_by_its_word(self, place: Place, devices: Devices) -> None:
        """A GPU, which no engine has by this name, and a device file: at the start, with the fix."""
        spec = place.spec(EXITS, devices=devices)
        await place.runtime.create(spec)
        with pytest.raises(RuntimeFault, match="mend usrcontaineropts in the profile") as refused:
            await place.runtime.start(spec.name)
        assert refused.value.trouble is Trouble.NO_DEVICE

    @pytest.mark.row("O08")
    async def test_a_container_that_may_write_knows_what_it_is(self, place: Place) -> None:
        """By the file that the original's scripts leave in each; one whose file system is read-only runs without."""
        note = "/tmp/container_info_file"
        spec = place.spec(f"cat {note}", user="1234:1234")
        await place.runtime.create(spec)
        await place.runtime.start(spec.name)
        assert (await place.ended()).exit_code == 0
        form = "{{.Id}}{{println}}{{.Config.Image}}{{println}}{{.Image}}"
        told = await asyncio.to_thread(docker, "inspect", "--format", form, spec.name)
        assert await place.runtime.output(spec.name, 9) == told
        assert told.splitlines()[1] == BASE
        await place.runtime.remove(spec.name)
        spec = place.spec(f"test ! -e {note}", writable_root=False, scratch=("/tmp",))
        await place.runtime.create(spec)
        await place.runtime.start(spec.name)
        assert (await place.ended()).exit_code == 0

    async def test_memory_is_bounded_and_who_takes_more_is_told_so(self, place: Place) -> None:
        """A program ends alone, out of memory; without a word of the policy the host keeps a part for itself."""
        spec = place.spec("tail /dev/zero", memory_bytes=32 * 1024**2)
        await place.runtime.create(spec)
        await place.runtime.start(spec.name)
        found = await place.ended()
        assert (found.exit_code, found.out_of_memory) == (137, True)
        spec = place.spec(EXITS, memory_bytes=0)
        await place.runtime.create(spec)
        has = int(await asyncio.to_thread(docker, "info", "--format", "{{.MemTotal}}"))
        told = await asyncio.to_thread(docker, "inspect", "--format", "{{.HostConfig.Memory}}", spec.name)
        assert int(told) == memory_of(0, has) > has // 2

    async def test_a_builds_steps_are_bounded_in_memory_and_time(self, place: Place) -> None:
        """A step sees its bound; one that has its time goes on nowhere once its build is given up."""
        tag, memory = f"{place.labels['swarm-test']}:latest", 64 * 1024**2
        look = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
        bounded = BuildSpec(tag, f"FROM {BASE}\nRUN {look} | grep -x {memory}\n", memory_bytes=memory)
        built = await place.runtime.build(bounded)
        assert (await place.runtime.image(tag)) == built
        mark = place.labels["swarm-test"]
        slow = f"FROM {BASE}\nRUN echo {mark}; while :; do echo on; sleep 0.2; done\n"
        with pytest.raises(RuntimeFault, match="more than 0 minutes"):
            await place.runtime.build(BuildSpec(tag, slow, minutes=0))
        assert (await place.runtime.image(tag)) == built
        async with asyncio.timeout(ENDS_SECONDS):
            while True:
                if mark not in await asyncio.to_thread(docker, "ps", "--no-trunc", "--format", "{{.Command}}"):
                    break
                await asyncio.sleep(0.1)

    async def test_a_build_context_is_a_volumes_files(self, place: Place) -> None:
        """With their modes, links and a Dockerfile of their own; nothing else of the host."""
        name = place.labels["swarm-test"]
        await place.runtime.make_volume(name, place.labels)
        fill = place.spec(
            "mkdir -p /c/lib && echo wheel > /c/lib/a.whl && ln -s lib/a.whl /c/link && ln /c/lib/a.whl /c/hard"
            " && echo FROM scratch > /c/Dockerfile",
            mounts=(Mount(MountKind.VOLUME, name, "/c"),),
        )
        await place.runtime.create(fill)
        await place.runtime.start(fill.name)
        assert (await place.ended()).exit_code == 0
        steps = (
            f"FROM {BASE}\nCOPY . /here\nRUN echo {name} && cat /here/link /here/hard /here/Dockerfile && ls -A /here\n"
        )
        with pytest.raises(RuntimeFault) as told:
            await place.runtime.build(BuildSpec(f"{name}:latest", steps + "RUN false\n", name, labels=place.labels))
        lines = told.value.log.splitlines()
        assert [line for line in ("wheel", "FROM scratch", "hard", "lib", "link") if line not in lines] == []
        assert lines.count("wheel") == 2
        assert [found.name for found in await place.runtime.find(place.labels)] == [fill.name]

    @pytest.mark.row("P07")
    @pytest.mark.row("P13")
    @pytest.mark.row("P14")
    @pytest.mark.row("P15")
    async def test_names_and_addresses_reach_the_engine(self, place: Place) -> None:
        """Host name, name servers, a fixed address and further names in a network, a published port, labels."""
        network = place.labels["swarm-test"]
        await asyncio.to_thread(docker, "network", "create", "--subnet", "10.213.77.0/24", network)
        try:
            port = free_port()
            spec = place.spec(
                SLEEPS,
                network=network,
                address="10.213.77.9",
                aliases=("sl-3",),
                host_name="program-3",
                dns=("10.213.77.53",),
                ports={30305: port},
                labels={**place.labels, "site": ""},
            )
            await place.runtime.create(spec)
            await place.runtime.start(spec.name)
            found = json.loads(await asyncio.to_thread(docker, "inspect", spec.name))[0]
            joined = found["NetworkSettings"]["Networks"][network]
            assert joined["IPAddress"] == "10.213.77.9"
            assert "sl-3" in joined["Aliases"]
            assert found["Config"]["Hostname"] == "program-3"
            assert found["HostConfig"]["Dns"] == ["10.213.77.53"]
            assert found["Config"]["Labels"]["site"] == ""
            assert found["NetworkSettings"]["Ports"]["30305/tcp"][0]["HostPort"] == str(port)
            await place.runtime.remove(spec.name)
        finally:
            await asyncio.to_thread(docker, "network", "rm", network)

    async def test_a_volume_is_filled_for_any_user(self, place: Place, tmp_path: Path) -> None:
        """Folders and files as they are, root's and readable by all; what was there before stays."""
        await asyncio.to_thread(make_content, tmp_path)
        name = place.labels["swarm-test"]
        await place.runtime.fill_volume(name, tmp_path, place.labels)
        script = "cd /v && find . -type f | sort | xargs stat -c '%n %a %u' && cat set/a.csv"
        spec = place.spec(script, mounts=(Mount(MountKind.VOLUME, name, "/v", read_only=True),), user="1234:1234")
        await place.runtime.create(spec)
        await place.runtime.start(spec.name)
        await place.ended()
        said = (await place.runtime.output(spec.name, 9)).splitlines()
        assert said == ["./run.sh 755 0", "./set/a.csv 644 0", "1,2"]

    async def test_a_link_in_a_path_is_seen_by_its_part(self, place: Place, tmp_path: Path) -> None:
        """In the middle, at the end, relative, to nowhere, of links; a path without one, or that ends early."""
        (tmp_path / "site" / "data").mkdir(parents=True)
        (tmp_path / "site" / "file").write_text("x")
        for name, target in (
            ("middle", "site"),
            ("absolute", "/etc"),
            ("socket", "/var/run/docker.sock"),
            ("nowhere", "none"),
            ("chain", "middle"),
            ("site/up", "../.."),
            ("site/self", "self"),
        ):
            (tmp_path / name).symlink_to(target)
        for path, found in (
            ("site/data", None),
            ("site/file", None),
            ("site/data/not/there", None),
            ("middle/data", "middle"),
            ("absolute", "absolute"),
            ("socket", "socket"),
            ("nowhere/x", "nowhere"),
            ("chain/data", "chain"),
            ("site/up/site", "site/up"),
            ("site/data/../up", "site/up"),
            ("site/self", "site/self"),
        ):
            link = await place.runtime.link_in(f"{tmp_path}/{path}", place.labels)
            assert link == (None if found is None else f"{tmp_path}/{found}"), path
        assert await place.runtime.link_in("/no-such-folder-here/x", place.labels) is None
        assert await place.runtime.link_in("/", place.labels) is None
        assert await place.runtime.find(place.labels) == []

    async def test_an_engine_that_is_not_there_is_named(self) -> None:
        """No socket: where it was looked for, and the fix. One that may not be used: ``test_swop_refused.py``."""
        runtime = DockerRuntime("unix:///nonexistent/docker.sock")
        with pytest.raises(RuntimeFault, match=r"no container engine's socket \(unix:///nonexistent") as refused:
            await runtime.find({})
        assert refused.value.trouble is Trouble.DAEMON_GONE
        runtime.close()
