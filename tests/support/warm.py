"""Real node processes without the seconds that each spends on imports: forked from one that has imported the nodes.

A node started here is this process's own child, with a command line, environment, log and network of its own, and ends
as any Python program does. What it has not in common with a fresh start is told by the tests that start one with Popen.
Module and program in one: ``python warm.py SOCKET`` is the process that forks.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

IMPORTED = (
    *("swarm.cli", "swarm.sn.__main__", "swarm.sn.service", "swarm.sl.__main__", "swarm.sl.service"),
    *("swarm.chain.embedded.rpc", "swarm.inspect.commands", "swarm.inspect.texts", "swarm.inspect.printing"),
    # What commands import only where they need it.
    *("swarm.cli.looking", "swarm.cli.sending", "swarm.cli.here", "swarm.inspect.job", "swarm.inspect.reset"),
    *("swarm.chain.abicodec", "swarm.inspect.answermodels", "swarm.inspect.nodes", "swarm.inspect.tasks"),
    *("swarm.chain.tasks", "swarm.chain.taskrunners", "swarm.chain.joboptions", "swarm.net.tls", "swarm.net.probe"),
    "websockets.asyncio.client",
    *("swarm.swci.__main__", "swarm.swci.access", "swarm.swci.commands", "swarm.swci.web"),
)
PR_SET_CHILD_SUBREAPER = 36
REQUEST_BYTES_MAX = 1 << 20
ANSWER_SECONDS = 60.0
"""For the first node: the imports of all, on a busy machine."""
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class WarmProcess(subprocess.Popen[bytes]):
    """A forked node, with all of Popen's methods: it is a child of this process like any other."""

    def __init__(self, pid: int, args: list[str]) -> None:
        # What Popen's own __init__ sets beside starting a program; its methods read nothing else.
        self.args, self.pid, self.returncode = args, pid, None  # type: ignore[assignment]
        self.stdin = self.stdout = self.stderr = None
        self._waitpid_lock = threading.Lock()
        self._child_created, self._communication_started, self._sigint_wait_secs = True, False, 0.25


class Forker:
    """The process that has imported the nodes; one for each process that runs tests, started when first needed."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(ANSWER_SECONDS)
        with theirs:
            command = [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}

    def start(self, argv: list[str], environ: dict[str, str], out: Path, err: Path, network: str) -> WarmProcess:
        asked = {"argv": argv, "environ": environ, "network": network, "folder": str(Path.cwd())}
        asked |= {"out": str(out), "err": str(err)}
        with self._lock:
            # The new node's parent ends at once: so the node becomes this process's child.
            _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                self._socket.sendall(json.dumps(asked).encode() + b"\n")
                answer = self._socket.recv(32)
            finally:
                _libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        if not answer:
            raise RuntimeError(f"the process that forks nodes has ended (exit code {self.process.poll()})")
        self._names[int(answer)] = " ".join(["swarm", *argv])
        return WarmProcess(int(answer), [sys.executable, "-m", "swarm.cli", *argv])

    def name(self, pid: int) -> str | None:
        return self._names.get(pid)


_forker: Forker | None = None


def start(
    argv: list[str], environ: dict[str, str], log: Path, prefix: Sequence[str] = (), network: str | None = None
) -> subprocess.Popen[bytes]:
    """A node, as ``PREFIX... swarm ARGV`` would start it.

    Args:
        environ: all of its environment. With variables of Python's or the loader's own, a fresh process is started.
        log: where its output goes, after what is there.
        prefix: what its command line begins with; a fresh process is started unless that only enters ``network``.
        network: the file of a network namespace; None for the calling thread's.
    """
    own = any(environ[k] != os.environ.get(k) for k in environ if k.startswith(("PYTHON", "LD_", "FAKETIME")))
    if own or (prefix and not network):
        with log.open("ab") as out:
            command = [*prefix, sys.executable, "-m", "swarm.cli", *argv]
            return subprocess.Popen(command, stdout=out, stderr=out, env=environ)
    return _living().start(argv, environ, log, log, network or _here())


def run(
    argv: Sequence[str], environ: dict[str, str], *, seconds: float, network: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A command as ``swarm ARGV``, to its end. Arguments as for :func:`start`.

    Raises:
        subprocess.TimeoutExpired: it has not ended after ``seconds``, and is killed.
    """
    from support import patience  # not for the process that forks

    with tempfile.TemporaryDirectory(prefix="swarm-warm-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _living().start(list(argv), environ, out, err, network or _here())
        try:
            code = process.wait(timeout=patience.seconds(seconds))
        except BaseException:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(process.args, code, out.read_text(), err.read_text())


def _living() -> Forker:
    global _forker
    if _forker is None or _forker.process.poll() is not None:
        _forker = Forker()
    return _forker


def _here() -> str:
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


def forker_pid() -> int | None:
    return _forker.process.pid if _forker else None


def name(pid: int) -> str | None:
    """The command of a node that was started here."""
    return _forker.name(pid) if _forker else None


# ---- the process that forks --------------------------------------------------------------------


def _serve(channel: socket.socket) -> dict[str, object] | None:
    """Answers with a new process's number for each request; returns the request in the new process, None at the end."""
    with channel, channel.makefile("rb") as requests:
        while line := requests.readline(REQUEST_BYTES_MAX):
            read_end, write_end = os.pipe()
            between = os.fork()
            if between == 0:
                node = os.fork()
                if node == 0:
                    os.close(read_end)
                    os.close(write_end)
                    asked: dict[str, object] = json.loads(line)
                    return asked
                os.write(write_end, str(node).encode())
                os._exit(0)
            os.close(write_end)
            os.waitpid(between, 0)
            channel.sendall(os.read(read_end, 32))
            os.close(read_end)
    return None


def _become(asked: dict[str, object]) -> None:
    """Log, network, folder, environment and command line of the node; then it runs as the script `swarm` does."""
    for descriptor, key in ((1, "out"), (2, "err")):
        opened = os.open(str(asked[key]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    wanted = os.open(str(asked["network"]), os.O_RDONLY)
    if os.fstat(wanted).st_ino != os.stat("/proc/self/ns/net").st_ino and _libc.setns(wanted, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(wanted)
    os.chdir(str(asked["folder"]))
    os.environ.clear()
    os.environ.update(asked["environ"])  # type: ignore[call-overload]
    sys.argv = ["swarm", *asked["argv"]]  # type: ignore[misc]
    sys.path[0] = os.getcwd()
    from swarm.cli import main

    sys.exit(main())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; they end this one by its socket
    import importlib

    for _name in IMPORTED:
        importlib.import_module(_name)
    _asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if _asked is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(_asked)
