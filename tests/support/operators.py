"""What an operator does in a :mod:`.lab`: sets a job's options, reads the record of a run."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from . import warm
from .lab import Lab
from .snprocess import clean_environ

JOB = "defaultbb.cqdb.sml.hpe"


def job(here: Lab, *argv: str) -> subprocess.CompletedProcess[str]:
    """``swarm job``: shows, or with ``--options`` sets, what holds for the job."""
    return operator(here, "job", *argv)


def operator(here: Lab, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command from an operator's own folder, with a certificate of role swci."""
    folder = here.folder / "operator"
    files = here.ca.node(folder / "certs", "ci-1", uri="spiffe://test/operators/swci/ci-1")
    trust = ["--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]
    where = ["--sn-ip", f"127.0.0.1:{here.sn.port}", "--state-dir", str(folder / "state")]
    return warm.run([*argv, *where, *trust], clean_environ(), seconds=60)


def audit(here: Lab) -> dict[str, Any]:
    """The record of the job's run, off the chain."""
    done = warm.run(["audit", JOB, "--json", "--ops", here.sn.ops], clean_environ(), seconds=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
