"""A SWOP in a container finds what of the host is mounted into it, and no task may mount that."""

from __future__ import annotations

from swarm.swop.ownmounts import candidates, kept_from_tasks
from swarm.swop.runtime import MountedAt

A, B, C = "a" * 64, "b" * 64, "c" * 64


def test_this_container_is_found_by_any_of_three_signs() -> None:
    """Control groups of both versions, the mount of its host name, the note of a script, a host name that is an id."""
    first = f"9:name=systemd:/docker/{A}\n0::/docker/{A}\n"
    mounts = (
        f"1 2 254:0 /var/lib/docker/containers/{B}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
        f"3 2 254:0 /var/lib/docker/containers/{C}/x /data rw - ext4 /dev/vda rw\n"
    )
    assert candidates(first, mounts, f"{C} swarm-learning/swop:1", "abcdef012345") == (A, B, C, "abcdef012345")
    assert candidates("0::/", "", "", "swop1") == ()
    assert candidates("0::/user.slice/session-1.scope", "1 2 3:0 / / rw - ext4 /dev/vda rw", "", "beef") == ()


def test_all_that_is_mounted_is_kept_but_data_beside_the_sites_files() -> None:
    """A certificate folder, the socket and a state volume as a whole; of USR_DIR the profile and the policy alone."""
    mounted = [
        MountedAt("/srv/site/keys", "/platform/swarm/certs"),
        MountedAt("/run/user/1000/docker.sock", "/var/run/docker.sock"),
        MountedAt("site-state", "/platform/swarm/SMLNODE"),
        MountedAt("/srv/site", "/platform/swarm/usr"),
    ]
    files = ("/dev/shm/swarm-1/key.pem", "/platform/swarm/usr/swop/profile.yaml", "/platform/swarm/usr/policy.yaml")
    assert kept_from_tasks(mounted, "/platform/swarm/usr", files) == (
        "/srv/site/keys",
        "/run/user/1000/docker.sock",
        "site-state",
        "/srv/site/swop/profile.yaml",
        "/srv/site/policy.yaml",
    )
