"""An operator at the shell: ``swarm swci`` with a certificate, a state folder and a USR_DIR of its own."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swarm.net.tls import TlsFiles

from . import patience, warm
from .certs import Authority
from .chains import free_port
from .snprocess import SnProcess, clean_environ

BUILD = """Name : user_env_task
TaskType : MAKE_USER_CONTAINER
Author : Somebody
Prereq : ROOTTASK
Outcome : user-env
Body :
    BuildContext : sl-cli-lib
    BuildType : INLINE
    BuildSteps :
    - FROM tensorflow/tensorflow:2.7.0
    - ''
    - RUN pip3 install --upgrade pip && pip3 install \\
    - '   keras matplotlib opencv-python pandas protobuf==3.15.6 and more words than eighty characters hold'
    - ''
    - RUN mkdir -p /tmp/pkg
    - COPY a.whl /tmp/pkg/a.whl
    - RUN pip3 install /tmp/pkg/a.whl
"""
RUN = """Name : run_task
TaskType : RUN_SWARM
Author : Somebody
Prereq : user_env_task
Outcome : run_task
Body :
    Command : model/fraud.py
    Entrypoint : python3
    WorkingDir : /tmp/test
    Envvars : ["DATA_DIR": app-data, "MAX_EPOCHS": 32, "SHARED": true]
    PrivateContent : /tmp/test/
    SharedContent :
    - Src : /opt/model
      Tgt : /tmp/test/model
      MType : BIND
"""
"""Task files as users write them."""


@dataclass
class Operator:
    """Args: folder: holds certificates, state and ``usr``; sn: which it talks to."""

    folder: Path
    sn: SnProcess
    files: TlsFiles

    @property
    def usr(self) -> Path:
        return self.folder / "usr"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def argv(self, *argv: str) -> list[str]:
        files = self.files
        trust = ["--cert", str(files.cert), "--key", str(files.key), "--cacert", str(files.cacert)]
        return ["swci", *argv, *trust, "--state-dir", str(self.state), "--usr-dir", str(self.usr)]

    def environ(self, **more: str) -> dict[str, str]:
        mine = {k: v for k, v in clean_environ().items() if not k.startswith(("SWCI_", "USR_DIR"))}
        return {**mine, "COLUMNS": "200", **more}

    def shell(self, *lines: str, seconds: float = 60.0, **more: str) -> subprocess.CompletedProcess[str]:
        """These lines as ``-c`` would take them."""
        return warm.run(self.argv("-c", "\n".join(lines)), self.environ(**more), seconds=seconds)

    def script(self, text: str, seconds: float = 60.0, **more: str) -> subprocess.CompletedProcess[str]:
        """A script in USR_DIR, run as an init script without a terminal."""
        (self.usr / "swci-init").write_text(text, newline="")
        return warm.run(self.argv("--script", "swci-init"), self.environ(**more), seconds=seconds)

    def enter(self) -> list[str]:
        """The lines that every script begins with."""
        return [f"create context test with ip 127.0.0.1 {self.sn.port}", "switch context test"]


def operator(folder: Path, sn: SnProcess, ca: Authority, name: str = "ci-1") -> Operator:
    files = ca.node(folder / "certs", name, uri=f"spiffe://test/operators/swci/{name}")
    found = Operator(folder, sn, files)
    found.usr.mkdir(parents=True, exist_ok=True)
    return found


@contextlib.contextmanager
def web(here: Operator, **more: str) -> Iterator[int]:
    """The port of a SWCI in WEB mode, which must end well."""
    port, log = free_port(), here.folder / "swci.log"
    log.touch()
    environ = here.environ(SWCI_MODE="WEB", SWCI_WEB_PORT=str(port), **more)
    process = warm.start(here.argv("--listen", "127.0.0.1"), environ, log)
    try:
        until = time.monotonic() + patience.seconds(60)
        while "SWCI serves REST" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        code = process.wait(timeout=patience.seconds(30))
        print(log.read_text())
    assert code == 0
