"""The run scripts' plans, and the scripts themselves, as tests call them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.tools import ROOT
from swarm.scripts.facts import Facts
from swarm.scripts.plan import plan
from swarm.scripts.program import Program

BIN = ROOT / "deploy" / "scripts" / "bin"
FACTS = Facts(folder="/here", user="1000:1001")
IDENTITY = ["--key", "id/key.pem", "--cert", "id/cert.pem", "--capath", "id/ca"]
SN = ["--name=sn-1", "--host-ip=sn-1", "--sentinel", *IDENTITY]
SL = ["--name=sl-1", "--host-ip=sl-1", "--sn-ip=sn-1", *IDENTITY]
SWOP = ["--name=swop-1", "--usr-dir=usr", "--profile-file-name=p.yaml", *IDENTITY]
SWCI = ["--name=swci-1", *IDENTITY]
LEAST = {"sn": SN, "sl": SL, "swop": SWOP, "swci": SWCI}


def program(role: str, *words: str, facts: Facts = FACTS) -> Program:
    return plan(role, words, facts)


def created(role: str, *words: str, at: int = 0, facts: Facts = FACTS) -> list[str]:
    """The words behind ``docker container create``; what the shell finds out stands there as its code."""
    return [str(word) for word in program(role, *words, facts=facts).containers[at].words]


def environ(**more: str) -> dict[str, str]:
    """Of a user who has this platform's programs installed."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


def run(
    script: str, words: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / script, *words],
        cwd=folder,
        env=environ() if env is None else dict(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )
