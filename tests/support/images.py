"""The images that our Dockerfiles and tests start from."""

from __future__ import annotations

import functools
import subprocess

from support.tools import ROOT

BASE = "debian:bookworm-slim"
SECONDS = 600.0


@functools.cache
def base() -> str:
    """Name of the base image, pulled or made; once a process."""
    done = subprocess.run(
        ["tools/docker-base-images.sh"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"no base images: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return BASE
