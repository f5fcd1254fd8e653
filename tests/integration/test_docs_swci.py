"""What docs/swci.md and docs/swci-python.md show is run as it stands there, against a real SN; only names are put in.

What docs/original-clients.md tells to repeat by hand is tests/integration/test_swci_methods.py.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import patience, swci, warm
from support.chains import free_port
from support.lab import lab
from support.swci import BUILD, RUN
from support.swop import swop

ROOT = Path(__file__).resolve().parents[2]
SWOPS, PAIRS = 2, 2


def blocks(page: str, language: str = "") -> list[str]:
    """The page's blocks of code in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swci.Operator]:
    """An operator with the files that the pages name; two SWOPs listen, whose pairs all end well."""
    folder = tmp_path_factory.mktemp("docs")
    with ExitStack() as stack:
        swarm = stack.enter_context(lab(tmp_path_factory.mktemp("swarm")))
        found = swci.operator(folder, swarm.sn, swarm.ca)
        (found.usr / "taskdefs").mkdir()
        (found.usr / "taskdefs" / "build.yaml").write_text(BUILD)
        (found.usr / "taskdefs" / "train.yaml").write_text(RUN)
        (folder / "run.yaml").write_text(RUN.replace("Name : run_task", "Name : run"))
        for number in range(SWOPS):
            stack.enter_context(swop(swarm.sn, swarm.ca, folder, f"docs-{number}", pairs=PAIRS, results=[0] * PAIRS))
        yield found


def test_every_block_of_the_pages_is_run_here() -> None:
    """A new one needs a test."""
    assert [len(blocks("swci.md")), len(blocks("swci.md", "python")), len(blocks("swci.md", "sh"))] == [2, 0, 0]
    assert [len(blocks("swci-python.md")), len(blocks("swci-python.md", "python"))] == [0, 1]


def test_the_cookbooks_script(here: swci.Operator) -> None:
    """Two tasks by RUN, to their ends."""
    script = blocks("swci.md")[1].replace(" IP sn1", f" IP 127.0.0.1 {here.sn.port}")
    assert script.count(f"127.0.0.1 {here.sn.port}") == 2
    done = here.script(script, seconds=120)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("TASKRUNNER FINISHED") == 2
    assert done.stdout.rstrip().endswith("EXITING")


def test_the_ways_to_start_it(here: swci.Operator) -> None:
    """Each line of the page: without a terminal, a script, one line, a pipe, REST."""
    (here.usr / "swci-init").write_text("\n".join([*here.enter(), "EXIT"]))
    trust = shlex.join(here.argv()[1:])
    lines = [line.split("  #")[0].strip() for line in blocks("swci.md")[0].splitlines()]
    assert len(lines) == 5
    files = here.files
    first = lines.pop(0)
    for name, path in (("ci.pem", files.cert), ("ci.key", files.key), ("ca.pem", files.cacert)):
        assert name in first
        first = first.replace(name, str(path))
    state = f" --state-dir {here.state} --usr-dir {here.usr}"
    rest = lines.pop()
    for line in [first + state, *(line.replace("...", trust) for line in lines)]:
        generate, _, command = line.rpartition("| ")
        argv = shlex.split(command)[1:]
        if not generate:
            done = warm.run(argv, here.environ(), seconds=60)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "swarm.cli", *argv],
                input="PWD\n",
                env=here.environ(),
                capture_output=True,
                text=True,
                timeout=patience.seconds(60),
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        if "LIST NODES" in command:
            assert "SENTINEL" in done.stdout
        if generate:
            assert "Current Directory : " in done.stdout
    (here.usr / "swci-init").write_text("\n".join(here.enter()))
    log = here.folder / "web.log"
    log.touch()
    command = rest.replace("...", trust) + f" --listen 127.0.0.1 --web-port {free_port()}"
    process = warm.start(shlex.split(command)[1:], here.environ(), log)
    try:
        until = time.monotonic() + patience.seconds(60)
        while "SWCI serves REST" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        assert "SWCI serves REST" in log.read_text()
    finally:
        process.terminate()
        assert process.wait(timeout=patience.seconds(30)) == 0


def test_the_look_of_every_minute(here: swci.Operator) -> None:
    """The command inside the loop, once."""
    text = (ROOT / "docs" / "swci.md").read_text()
    loop = re.search(r"`while sleep 60; do swarm swci \.\.\. -c \"(.*?)\"; done`", text)
    assert loop is not None
    done = here.shell(loop[1].replace("job", "defaultbb.cqdb.sml.hpe"))
    assert done.returncode == 0, done.stdout
    assert "UID, SL ADMIN" in done.stdout


def test_the_first_program_in_python(here: swci.Operator) -> None:
    """The very text, with this test's address and files: a task to its end, and a picture."""
    program, files = blocks("swci-python.md", "python")[0], here.files
    with swci.web(here) as port:
        for old, new in (
            ('"swci.site-a.example",', f'"127.0.0.1", {port},'),
            ('"op.pem"', repr(str(files.cert))),
            ('"op.key"', repr(str(files.key))),
            ('"ca.pem"', repr(str(files.cacert))),
            ('ip="10.0.0.1"', f'ip="127.0.0.1", port={here.sn.port}'),
        ):
            assert old in program
            program = program.replace(old, new)
        done = subprocess.run(
            [sys.executable, "-c", program + "assert swci.getErrors() is None"],
            cwd=here.folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=patience.seconds(100),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "'NAME': 'defaultbb.cqdb.sml.hpe'" in done.stdout
    assert "COMPLETE" in done.stderr  # the bar
    assert "not looked at" not in done.stderr
