"""What `swarm doctor` makes of facts: each fault of the acceptance scenarios is one, names its fix, and ends with 1."""

from __future__ import annotations

from dataclasses import replace

import pytest
from swarm.core.doctor.facts import Engine, Facts, Finding, Folder, Inside, Level, OwnPort, Reach, Reached
from swarm.core.doctor.judging import (
    DISK_FAULT_BYTES,
    DISK_WARN_BYTES,
    SEGMENT_BYTES_LEAST,
    SHM_WARN_BYTES,
    SLOW_MILLISECONDS,
    judged,
)

GOOD_ENGINE = Engine(
    name="Docker",
    version="26.1.4",
    folder="/var/lib/docker",
    free_bytes=DISK_WARN_BYTES,
    images={"sl": "sha256:" + "ab" * 32},
    names={"sl": "swarm-learning/sl:1"},
)
GOOD_FOLDER = Folder("/srv/a", readable=True, writable=True, entries=3, free_bytes=DISK_WARN_BYTES)
GOOD_INSIDE = Inside(
    "pair 0", "", 10001, SHM_WARN_BYTES, gpus_asked=True, gpus=("/dev/nvidia0",), folders=(GOOD_FOLDER,)
)
GOOD_PATH = Reached("south", 30304, "the SN", Reach.ANSWERS, "", 2.0, 1448)
GOOD = Facts(GOOD_ENGINE, (GOOD_INSIDE,), (GOOD_PATH,), (OwnPort(30305, "sl1's models", taken=False),))


def levels(facts: Facts) -> set[Level]:
    return {one.level for one in judged(facts)}


def one(facts: Facts, area: str) -> Finding:
    """The one finding of this area that is not ok."""
    found = [finding for finding in judged(facts) if finding.level is not Level.OK]
    assert [finding.area for finding in found] == [area], found
    assert found[0].fix
    return found[0]


def test_a_host_where_all_is_well_has_no_fix_to_name() -> None:
    """Every area is said, so that one sees what was looked at."""
    found = judged(GOOD)
    assert levels(GOOD) == {Level.OK}
    assert all(not finding.fix for finding in found)
    assert {finding.area for finding in found} == {"engine", "disk", "images", "ports", "path", "gpu", "shm", "data"}


@pytest.mark.parametrize(
    ("engine", "area", "level", "says"),
    [
        (Engine(fault="no engine answers at /var/run/docker.sock"), "engine", Level.FAULT, "no engine answers"),
        (replace(GOOD_ENGINE, version="20.9.1"), "engine", Level.FAULT, "too old"),
        (replace(GOOD_ENGINE, version="nonsense"), "engine", Level.FAULT, "too old"),
        (replace(GOOD_ENGINE, name="Podman", version="4.3.1"), "engine", Level.WARN, "Podman 4.3.1"),
        (replace(GOOD_ENGINE, selinux=True), "engine", Level.WARN, "SELinux"),
        (replace(GOOD_ENGINE, free_bytes=DISK_FAULT_BYTES - 1), "disk", Level.FAULT, "/var/lib/docker"),
        (replace(GOOD_ENGINE, free_bytes=DISK_WARN_BYTES - 1), "disk", Level.WARN, "GiB free"),
        (replace(GOOD_ENGINE, images={"sl": None}), "images", Level.FAULT, "swarm-learning/sl:1 is not on this host"),
    ],
)
def test_what_is_wrong_with_an_engine_is_named(engine: Engine, area: str, level: Level, says: str) -> None:
    """Not there, too old, another one, no room, no images; the bounds themselves are still good."""
    found = one(replace(GOOD, engine=engine), area)
    assert found.level is level
    assert says in found.text
    assert levels(replace(GOOD, engine=replace(GOOD_ENGINE, version="20.10.0"))) == {Level.OK}


@pytest.mark.parametrize(
    ("changes", "area", "level", "fix"),
    [
        ({"gpus": ()}, "gpu", Level.FAULT, "nvidia-smi"),
        ({"fault": "could not select device driver"}, "gpu", Level.FAULT, "container toolkit"),
        ({"fault": "no such runtime", "gpus_asked": False}, "container", Level.FAULT, "engine names"),
        ({"shm_bytes": 64 * 2**20}, "shm", Level.WARN, "shm-size: 2G"),
        ({"folders": (Folder("/srv/a", "bind source path does not exist"),)}, "data", Level.FAULT, "mkdir /srv/a"),
        ({"folders": (replace(GOOD_FOLDER, readable=False),)}, "data", Level.FAULT, "chmod -R a+rX /srv/a"),
        ({"folders": (replace(GOOD_FOLDER, writable=False),)}, "data", Level.WARN, "make it writable"),
        ({"folders": (replace(GOOD_FOLDER, entries=0, writable=False),)}, "data", Level.WARN, "put the data there"),
        ({"folders": (replace(GOOD_FOLDER, free_bytes=DISK_FAULT_BYTES - 1),)}, "data", Level.FAULT, "free at least"),
    ],
)
def test_what_a_program_would_meet_in_its_container_is_named(
    changes: dict[str, object], area: str, level: Level, fix: str
) -> None:
    """Scenario 11: no GPU in the container, 64 MB of shm, a full disk, a mount that cannot be read or written."""
    found = one(replace(GOOD, inside=(replace(GOOD_INSIDE, **changes),)), area)  # type: ignore[arg-type]
    assert found.level is level
    assert fix in found.fix


@pytest.mark.parametrize(
    ("reach", "level", "fix"),
    [
        (Reach.SILENT, Level.FAULT, "firewalls"),
        (Reach.REFUSED, Level.WARN, "start that site's node"),
        (Reach.UNKNOWN, Level.FAULT, "/etc/hosts"),
        (Reach.STUCK, Level.FAULT, "MTU"),
        (Reach.UNTRUSTED, Level.FAULT, "swarm cert check"),
    ],
)
def test_how_far_a_connection_came_says_what_to_mend(reach: Reach, level: Level, fix: str) -> None:
    """A closed port, a firewall, a name, a tunnel and a certificate are five different things to mend."""
    found = one(replace(GOOD, reached=(replace(GOOD_PATH, reach=reach, text="why"),)), "path")
    assert found.level is level
    assert fix in found.fix
    assert "south:30304 (the SN)" in found.text


def test_a_slow_path_and_small_segments_are_warned_of_just_above_their_bounds() -> None:
    """At the bound they are good."""
    at = replace(GOOD_PATH, milliseconds=SLOW_MILLISECONDS, segment_bytes=SEGMENT_BYTES_LEAST)
    assert levels(replace(GOOD, reached=(at,))) == {Level.OK}
    assert one(replace(GOOD, reached=(replace(at, milliseconds=SLOW_MILLISECONDS + 1),)), "path").level is Level.WARN
    assert one(replace(GOOD, reached=(replace(at, segment_bytes=SEGMENT_BYTES_LEAST - 1),)), "path").level is Level.WARN


def test_a_proxy_is_told_of_where_a_path_is_closed() -> None:
    """Nodes go past it, so a host that reaches others through a proxy alone needs another way."""
    facts = replace(GOOD, reached=(replace(GOOD_PATH, reach=Reach.SILENT),), proxies={"https_proxy": "proxy:3128"})
    assert "https_proxy" in one(facts, "path").fix
    assert levels(replace(GOOD, proxies={"https_proxy": "proxy:3128"})) == {Level.OK}


def test_a_port_in_use_is_a_fault_unless_it_is_the_sites_own_node() -> None:
    """The fix shows how to find who has it."""
    taken = OwnPort(30305, "sl1's models", taken=True)
    assert "ss -ltnp 'sport = :30305'" in one(replace(GOOD, ports=(taken,)), "ports").fix
    assert levels(replace(GOOD, ports=(replace(taken, ours=True),))) == {Level.OK}
