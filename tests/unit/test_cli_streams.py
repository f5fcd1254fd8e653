"""A command whose stdout or stderr cannot be written, or lacks a letter: it ends at once, with a code and no trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from support.certs import Authority
from swarm.cli.output import EXIT_UNSAID

NOBODY = ("--ops", "http://127.0.0.1:1")
FULL = Path("/dev/full")
EMPTY: Mapping[str, str] = MappingProxyType({})
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
SAYS = {
    "a fault": ["job", "list", *NOBODY, "--output", "json"],
    "a fault, lines": ["job", "list", *NOBODY, "--output", "jsonl"],
    "wrong words": ["run", "shw", "--output", "json"],
    "help": ["--help"],
    "version": ["--version"],
    "a long answer": ["schema", "run", "show"],
    "an answer as text": ["cert", "check"],
    "an answer": ["cert", "check", "--output", "json"],
    "a step": ["cert", "init", "--out", "new"],
}
"""What is said on stdout, of each kind."""


@contextmanager
def gone() -> Iterator[int]:
    """The end of a pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    try:
        yield write
    finally:
        os.close(write)


@contextmanager
def place(name: str) -> Iterator[int]:
    """A stdout that takes nothing."""
    if name == "pipe":
        with gone() as end:
            yield end
    else:
        with FULL.open("wb") as full:
            yield full.fileno()


def typed(
    argv: list[str], folder: Path, environ: Mapping[str, str] = EMPTY, *, out: int, err: int = subprocess.PIPE
) -> Any:
    command = [sys.executable, "-m", "swarm.cli", *argv]
    return subprocess.run(command, stdout=out, stderr=err, env={**os.environ, **environ}, cwd=folder, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a certificate and its key."""
    made = Authority().node(tmp_path_factory.mktemp("files"), "SL-1")
    return ["--cert", str(made.cert), "--key", str(made.key), "--cacert", str(made.cacert)]


@pytest.mark.parametrize("where", ["pipe", "full"])
@pytest.mark.parametrize("what", SAYS)
def test_what_cannot_be_said_has_one_code_and_no_trace(what: str, where: str, files: list[str], tmp_path: Path) -> None:
    """A reader that has seen enough needs no word; a full disk is one line on stderr."""
    argv = SAYS[what] + (files if SAYS[what][:2] == ["cert", "check"] else [])
    with place(where) as out:
        done = typed(argv, tmp_path, out=out)
    said = "" if where == "pipe" else "swarm: stdout cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr.decode()) == (EXIT_UNSAID, said)


@pytest.mark.parametrize("more", [{"PYTHONUNBUFFERED": "1"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_every_layer_below_stdout_notices(more: dict[str, str], tmp_path: Path) -> None:
    """Without a buffer, and where click writes its help around the text layer."""
    with gone() as out:
        done = typed(["--help"], tmp_path, more, out=out)
    assert (done.returncode, done.stderr) == (EXIT_UNSAID, b"")


@pytest.mark.parametrize("where", ["pipe", "full"])
@pytest.mark.parametrize(
    ("argv", "code"), [(["job", "list", *NOBODY], 2), (["run", "shw"], 2), (["node", "ready", "sn", *NOBODY], 1)]
)
def test_a_fault_that_cannot_be_said_keeps_its_code(argv: list[str], code: int, where: str, tmp_path: Path) -> None:
    """stderr is for people: a program goes by the code, and stdout is whole."""
    with place(where) as err:
        done = typed(argv, tmp_path, out=subprocess.PIPE, err=err)
    assert (done.returncode, done.stdout) == (code, b"")


@pytest.mark.parametrize(("closed", "code"), [(">&-", EXIT_UNSAID), ("2>&-", 0), (">&- 2>&-", EXIT_UNSAID)])
def test_a_stream_that_was_never_there_is_as_one_that_is_full(closed: str, code: int, tmp_path: Path) -> None:
    """Started with the descriptor closed."""
    script = f'exec "$0" -m swarm.cli --version {closed}'
    done = subprocess.run(["/bin/sh", "-c", script, sys.executable], capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_letter_that_stdout_lacks_is_shown_by_its_number(form: str, tmp_path: Path) -> None:
    """What was done is done, and said."""
    (tmp_path / "rv\u00fc").mkdir()
    argv = ["cert", "init", "--out", "rv\u00fc/new", "--output", form]
    done = typed(argv, tmp_path, ASCII, out=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"/new/ca-cert.pem" in done.stdout
    assert (tmp_path / "rv\u00fc" / "new" / "ca-cert.pem").is_file()


def test_a_fault_with_a_letter_that_stderr_lacks_is_a_line(tmp_path: Path) -> None:
    """Here of a file's name."""
    argv = ["task", "check", "no-\u00fc"]
    done = typed(argv, tmp_path, {**ASCII, "PYTHONIOENCODING": "ascii:strict"}, out=subprocess.PIPE)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr
    assert b"no-" in done.stderr + done.stdout


def test_a_shell_completes_words_still(tmp_path: Path) -> None:
    """As docs/command-line.md has it set up."""
    words = {"_SWARM_COMPLETE": "bash_complete", "COMP_WORDS": "swarm run sh", "COMP_CWORD": "2"}
    done = typed([], tmp_path, words, out=subprocess.PIPE)
    assert (done.returncode, done.stdout.split()) == (0, [b"plain,show"])
