"""ML programs as real processes, forked from one that has imported the frameworks: the imports are paid once.

A forked program ends without its atexit handlers: it is for programs that end well or are killed.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path

IMPORTED = (
    "torch",  # before keras: TensorFlow must come after triton
    "lightning.pytorch",
    "sklearn.linear_model",
    "transformers.models.bert.modeling_bert",
    "peft",
    "swarmlearning.sklearn",
    "swarmlearning.pyt",
    "swarmlearning.lightning",
    "swarmlearning.hf_transformers",
    "swarmlearning.tf",
)
"""Those that are not installed are left out: the tests that need them are skipped."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(IMPORTED))


class Forked:
    """A program that runs, with the methods of subprocess.Popen that tests use.

    Args:
        program: its file; run as ``python program`` would.
        environ: all of its environment.
        log: where its output goes, after what is there.
    """

    def __init__(self, program: Path, environ: dict[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = _context.Process(target=_run, args=(str(program), environ, str(log)), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


def _run(program: str, environ: dict[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(environ)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = [program]
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        sys.stdout.flush()
