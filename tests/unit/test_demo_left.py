"""What ``swarm demo`` says of processes that an earlier demo in its folder has left running."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from swarm.core.errors import OperatorFault
from swarm.demo.__main__ import main
from swarm.demo.processes import left_of

WAITING = "import sys; print(flush=True); sys.stdin.read()"


@contextmanager
def running(*words: str, session: bool = True, **environ: str) -> Iterator[int]:
    """A process that waits for its end, once it is its program."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environ},
        start_new_session=session,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.mark.parametrize("action", [(), ("--audit",), ("--seeds", "0-1")])
def test_the_next_demo_names_what_is_left_and_how_to_end_it(tmp_path: Path, action: tuple[str, ...]) -> None:
    """A node by its command line, a program by its environment: one sentence, and the folder is left as it is."""
    out = tmp_path / "demo"
    out.mkdir()
    (out / ".swarm-demo").touch()
    (out / "kept").touch()
    with running("--state-dir", f"{out}/sn/state") as node, running(OUT=f"{out}/site1/out") as program:
        with pytest.raises(OperatorFault) as refused:
            main(["--out", str(out), "--model", "plain", *action])
        first, last = sorted((node, program))
        assert f"an earlier demo left processes running in {out}" in str(refused.value)
        assert str(refused.value).endswith(f"end them with `kill {first} {last}`")
        assert (out / "kept").exists()
    assert left_of(out) == {}


def test_who_only_looks_into_the_folder_is_none_of_the_demos(tmp_path: Path) -> None:
    """A log's reader in the user's own session, and a demo in a folder whose name only begins like this one's."""
    out = tmp_path / "demo"
    with running(f"{out}/sn/sn.log", session=False), running("--state-dir", f"{out}2/sn/state"):
        assert left_of(out) == {}
