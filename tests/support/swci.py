"""An operator at the shell: ``swarm swci`` with a certificate, a state folder and a USR_DIR of its own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from swarm.net.tls import TlsFiles

from . import warm
from .certs import Authority
from .snprocess import SnProcess, clean_environ


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
