"""What the flags of run-sn, run-sl, run-swop and run-swci come to: docker commands (rows O01-O08).

Pure. The answer is a :class:`swarm.scripts.program.Program`; deploy/scripts/lib/act.sh runs it.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarm.core.errors import OperatorFault

from .bash import Found, Word
from .facts import Facts
from .program import Container, Program
from .table import IDENTITY, LICENCE, SL_FS_PORT, SN_API_PORT, Flag, flags_of
from .words import ML, Box, Typed, read, split

CHANNEL, EXCHANGE, STATE = "/tmp/channel", "/tmp/hpe-swarm", "/platform/swarm/SMLNODE"  # noqa: S108 - in containers
USR = "/platform/swarm/usr"
SOCKET = "/var/run/docker.sock"
AGENT = "/tmp/spire-agent"  # noqa: S108 - in a container
PROGRAMS = {"sn": ("sn", "--chain", "geth"), "sl": ("sl",), "swop": ("swop",), "swci": ("swci",)}
"""What the images run by themselves; words of the user's come behind."""
LICENCE_NOTICE = "the licence server's settings are accepted and not used: no licence is needed"


def plan(role: str, argv: Sequence[str], facts: Facts) -> Program:
    """The containers of ``run-<role>``.

    Raises:
        OperatorFault: a flag or a value is wrong, or one is missing; says which.
    """
    return _Plan(role, read(role, argv, facts.options), facts).program()


class _Plan:
    def __init__(self, role: str, typed: Typed, facts: Facts) -> None:
        self._role, self._typed, self._facts = role, typed, facts
        self._own, self._flags = typed.main.own, flags_of(role)
        self._asked: list[tuple[str, list[Word]]] = []
        self._program = Program(
            engine=("sudo", facts.command) if "sudo" in self._own else (facts.command,),
            dry="dry-run" in self._own,
        )

    def program(self) -> Program:
        own, typed = self._own, self._typed
        if any(flag.name in box.own for flag in LICENCE for box in typed.boxes):
            self._program.notices.append(LICENCE_NOTICE)
        getattr(self, f"_judge_{self._role}")()
        for number, box in enumerate(typed.boxes):
            self._asked = []
            words = self._words(box)
            image = own.get("image") if box is typed.main else box.own.get("image")
            if image is None and box is not typed.main:
                raise OperatorFault(f"container {box.name} has no image: give --{box.name}-image")
            self._program.containers.append(
                Container(
                    variable="main" if number == 0 else f"beside_{number}",
                    words=[*words, image or self._image(self._role), *self._command(box)],
                    detached="detach" in box.own,
                    interactive=box.last("interactive") != "false",
                    asked=self._asked,
                )
            )
        return self._program

    def _image(self, role: str) -> str:
        return self._facts.image(role, self._own.get("registry"), self._own.get("tag"))

    def _command(self, box: Box) -> list[str]:
        if box is not self._typed.main or not box.command or "image" in self._own:
            return list(box.command)
        return [*PROGRAMS[self._role], *box.command]

    # What every container gets.

    def _words(self, box: Box) -> list[Word]:
        words: list[Word] = [*self._identity(box)]
        if box is self._typed.main:
            words += self._settings()
            words += getattr(self, f"_more_{self._role}")()
        elif box.name == ML:
            words += self._ml(box)
        words += self._docker(box)
        if (name := box.last("name")) and box.last("hostname") is None:
            words.append(f"--hostname={name}")
        if box.last("interactive") is None:
            words.append("--interactive=true")
        if box.last("tty") is None and self._facts.terminal:
            words.append("--tty=true")
        if "pid-main" in box.own:
            words.append(Found('"$main"', "--pid=container:"))
        if "volumes-from-main" in box.own:
            words.append(Found('"$main"', "--volumes-from="))
        return words

    def _docker(self, box: Box) -> list[Word]:
        words: list[Word] = []
        for name, value in box.docker:
            if name == "volume":
                value = self._volume(box, value)
            if name == "user" and box.name == ML and value.isascii() and value.isdigit():
                words.append(self._ask("group", ["primary_group", value], f"--user={value}:"))
                continue
            words.append(f"--{name}={value}")
        return words

    def _volume(self, box: Box, value: str) -> str:
        """``./x:/y`` is a folder of the host, ``x:/y`` a volume."""
        source, colon, rest = value.partition(":")
        if not colon or "/" not in source or not rest.startswith("/"):
            return value
        path = self._facts.path(source)
        shown = f"--{box.name}-volume" if box.name else "--volume"
        self._program.need("e", path, f"{shown} {value}: there is no {path} on this host: make it, or mend the path")
        return f"{path}:{rest}"

    def _identity(self, box: Box) -> list[Word]:
        words: list[Word] = []
        for flag in IDENTITY:
            value = box.own.get(flag.name)
            if value is None:
                continue
            shown = f"--{box.name}-{flag.name}" if box.name else f"--{flag.name}"
            if flag.name == "socket-path":
                words += self._agent(box, value, shown)
                continue
            path = self._facts.path(value)
            if ":" in path:
                raise OperatorFault(f"{shown} {value!r:.200} has a colon, which docker takes for an end: rename it")
            kind, what = ("d", "folder") if flag.kind == "folder" else ("f", "file")
            self._program.need(kind, path, f"{shown}: there is no {what} {path} on this host: mend the path")
            words += [f"--volume={path}:{path}:ro", f"--env={flag.env}={path}"]
        return words

    def _agent(self, box: Box, value: str, shown: str) -> list[Word]:
        variable = IDENTITY[-1].env
        label = f"--label=swarm-node-type={box.name or self._role}"
        volume, colon, inside = value.partition(":")
        if colon:
            if not volume or not inside:
                raise OperatorFault(f"{shown} {value!r:.60} is no volume:path: give both, or the socket's file")
            return [f"--volume={volume}:{AGENT}", f"--env={variable}={AGENT}/{inside}", label]
        place = self._ask("agent_volume", ["agent_of", value, self._facts.path(value)], "--volume=")
        socket = self._ask("agent_socket", ["socket_of", value, self._facts.path(value)], f"--env={variable}={AGENT}/")
        return [place, socket, label]

    def _ask(self, variable: str, words: list[Word], before: str) -> Found:
        """A word that begins with ``before`` and ends with what a function of the shell says."""
        if (variable, words) not in self._asked:
            self._asked.append((variable, words))
        return Found(f'"${variable}"', before)

    def _settings(self) -> list[Word]:
        """Variables and published ports, in the table's order (X10: what is not given is not published)."""
        words: list[Word] = []
        published: list[str] = []
        for name, flag in self._flags.items():
            value = self._own.get(name)
            if value is None or flag in IDENTITY or not flag.env:
                continue
            words.append(f"--env={flag.env}={'1' if not flag.value else value}")
            if (inside := self._inside(flag)) is not None:
                published.append(f"--publish={_port(value, flag)}:{inside}")
        return [*words, *dict.fromkeys(published)]

    def _inside(self, flag: Flag) -> int | None:
        """The port in the container that a flag publishes for; an SN's API listens where it is told to."""
        if self._role == "sn" and flag.name in ("sn-api-port", "sn-api-service"):
            return int(self._own.get("sn-api-port", SN_API_PORT))
        return flag.inside

    # What only one script's containers get.

    def _judge_sn(self) -> None:
        own = self._own
        if "host-ip" not in own and not {"sn-api-service", "sn-p2p-service"} <= set(own):
            raise OperatorFault(
                "say where others reach this SN: --host-ip, or both --sn-api-service and --sn-p2p-service"
            )
        if not {"sentinel", "sentinel-ip", "sentinel-api-service"} & set(own):
            raise OperatorFault(
                "no sentinel is named: --sentinel if this SN is the first one, else --sentinel-ip or "
                "--sentinel-api-service"
            )
        if "sentinel" in own and {"sentinel-ip", "sentinel-api-service"} & set(own):
            raise OperatorFault(
                "--sentinel says this SN is the sentinel, --sentinel-ip that another is: give one of them"
            )

    def _more_sn(self) -> list[Word]:
        return []

    def _judge_sl(self) -> None:
        if not {"host-ip", "sl-fs-service"} & set(self._own):
            raise OperatorFault("say where other SLs reach this one: --host-ip or --sl-fs-service")

    def _more_sl(self) -> list[Word]:
        words: list[Word] = []
        if not {"sn-ip", "sn-api-service"} & set(self._own):
            image = self._own.get("sn-image", self._image("sn"))
            asked: list[Word] = ["address_of_sn", self._own.get("sn-docker-name", ""), image]
            words.append(self._ask("sn", asked, "--env=SN_NODE_IP="))
        if any(box.name == ML for box in self._typed.beside):
            words += [f"--volume={where}" for where in (CHANNEL, EXCHANGE) if where not in _targets(self._typed.main)]
            words += _pipes()
        return words

    def _ml(self, box: Box) -> list[Word]:
        """It shares pipes, exchange folder and what the user mounted into the SL (X06), never its key or its state."""
        words = _pipes()
        taken = {*_targets(box), STATE}
        for name, value in self._typed.main.docker:
            if name == "volume" and ":" in value and _target(value) not in taken:
                words.append(f"--volume={self._volume(self._typed.main, value)}")
                taken.add(_target(value))
        for variable, where in (("channel", CHANNEL), ("exchange", EXCHANGE)):
            if where not in taken:
                words.append(self._ask(variable, ["volume_at", Found('"$main"'), where], "--volume="))
        if box.last("user") is None:
            words.append(f"--user={self._facts.user}")
        if box.last("entrypoint") and len(parts := split("--ml-entrypoint", box.last("entrypoint") or "")) > 1:
            # docker takes one word as entry point: the others are the program's first.
            box.docker = [(n, parts[0] if n == "entrypoint" else v) for n, v in box.docker]
            box.command = [*parts[1:], *box.command]
        return words

    def _judge_swop(self) -> None:
        for name in ("usr-dir", "profile-file-name"):
            if name not in self._own:
                raise OperatorFault(f"--{name} is missing: {self._flags[name].told}")

    def _more_swop(self) -> list[Word]:
        own, words = self._own, self._usr("profile-file-name")
        typed = own.get("docker-socket-file")
        socket = self._facts.path(typed) if typed else SOCKET
        if ":" in socket:
            raise OperatorFault(f"--docker-socket-file {typed!r:.200} has a colon, which docker takes for an end")
        said = f"--docker-socket-file: {socket} is no socket: start the engine, or name the socket it listens on"
        self._program.need("S", socket, said)
        words += [f"--volume={socket}:{SOCKET}:rw"]
        group = own.get("docker-group-id")
        if group is None:
            words += [
                self._ask("group", ["stat", "-c", "%g", socket], before)
                for before in ("--env=SWOP_DOCKER_GID=", "--group-add=")
            ]
        else:
            words.append(f"--group-add={group}")
        uid, gid = self._facts.user.split(":")
        given = own.get("swop-uid")
        if given is None or given == uid:
            return [*words, *([] if given else [f"--env=SWOP_UID={uid}"]), f"--env=SWOP_GID={gid}"]
        return [*words, self._ask("user_group", ["primary_group", given], "--env=SWOP_GID=")]

    def _judge_swci(self) -> None:
        if "init-script-name" in self._own and "usr-dir" not in self._own:
            raise OperatorFault("--init-script-name is a file of --usr-dir: give the folder too")

    def _more_swci(self) -> list[Word]:
        words: list[Word] = [] if self._typed.main.last("rm") is not None else ["--rm=true"]
        return [*words, *self._usr("init-script-name")]

    def _usr(self, file: str) -> list[Word]:
        folder, inside = self._own.get("usr-dir"), self._own.get(file)
        if folder is None:
            return []
        path = self._facts.path(folder)
        if ":" in path:
            raise OperatorFault(f"--usr-dir {folder!r:.200} has a colon, which docker takes for an end: rename it")
        self._program.need("d", path, f"--usr-dir: there is no folder {path} on this host: mend the path")
        if inside is not None:
            if inside.startswith("/") or ".." in inside.split("/"):
                raise OperatorFault(f"--{file} {inside!r:.200} is outside of --usr-dir: give its name in that folder")
            said = f"--{file}: there is no file {inside} in {path}: put it there, or mend the name"
            self._program.need("f", f"{path}/{inside}", said)
        return [f"--volume={path}:{USR}:rw"]


def _pipes() -> list[Word]:
    return [
        f"--env=SL_REQUEST_CHANNEL={CHANNEL}/request.channel",
        f"--env=SL_RESPONSE_CHANNEL={CHANNEL}/response.channel",
    ]


def _target(volume: str) -> str:
    parts = volume.split(":")
    return (parts[1] if len(parts) > 1 and parts[1].startswith("/") else parts[0]).rstrip("/")


def _targets(box: Box) -> set[str]:
    return {_target(value) for name, value in box.docker if name == "volume"}


def _port(value: str, flag: Flag) -> int:
    """Of a service without a port the one that is inside is published, as the original does."""
    _, colon, port = value.rpartition(":")
    if flag.kind == "port":
        return int(value)
    return int(port) if colon else flag.inside or SL_FS_PORT
