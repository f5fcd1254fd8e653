"""The images that tests start from: the base images, and the nodes' images of this tree.

Workers abreast share one engine and one tree, so one builds at a time, and the next finds all layers there.
"""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.tools import ROOT

BASE = "debian:bookworm-slim"
TAG = "test"
SECONDS = 900.0


@functools.cache
def base() -> str:
    """Name of the base image, pulled or made; once a process."""
    with _alone():
        _run("tools/docker-base-images.sh")
    return BASE


@functools.cache
def nodes(tag: str = TAG) -> str:
    """Build the nodes' images and the demo's program from this tree, under this tag; once a process."""
    base()
    with _alone():
        _run("deploy/docker/build.sh", SWARM_IMAGE_TAG=tag)
    return tag


def _run(script: str, **environ: str) -> None:
    done = subprocess.run(
        [script], cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}")


@contextmanager
def _alone() -> Iterator[None]:
    """Waits for the worker that builds now; its test's own limit bounds the wait."""
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / ".images.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
