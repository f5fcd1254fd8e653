"""Entry of ``swarm demo``: settings, a clean folder, free ports, one run or several, and the exit code."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.options import load

from . import report, runner, table
from .plan import HOST, OURS, DemoSettings, Plan, find_examples, make_plan, ports_needed
from .processes import DemoFailed, left_of

MARKER = ".swarm-demo"
PLAN_FILE = "settings.json"
GETH_BIN = "SN_GETH_BIN"
INTERRUPTED = 130
SEEDS_MAX = 100


def main(argv: Sequence[str]) -> int:
    """Run the demo; 0 only if the run completed and every site holds the chain's final model.

    Raises:
        SwarmFault: what the caller prints as one line.
    """
    # Variables of real nodes mean nothing here, and must not be called typos of the demo's.
    environ = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    settings = load(DemoSettings, argv, environ, prog="swarm demo", prefixes=())
    examples = find_examples(settings)
    console = Console(highlight=False)
    try:
        with _locked(settings.out):
            _nothing_left(settings.out)
            if settings.audit:
                _audit(settings, examples, console)
            elif settings.seeds is not None:
                return _several(settings, examples, console)
            else:
                _once(settings, settings.out, examples, console)
    except DemoFailed as fault:
        console.print(fault.detail, markup=False, soft_wrap=True)
        raise
    except KeyboardInterrupt:
        with suppress(OSError):  # after SIGHUP there is no terminal to say it on
            console.print("stopped; nothing was left running")
        return INTERRUPTED
    return 0


def _once(settings: DemoSettings, out: Path, examples: Path, console: Console) -> dict[str, Any]:
    _clean(out)
    kept = settings.model_dump(mode="json", include={"chain", "nodes", "rounds", "seed", "model"})
    (out / PLAN_FILE).write_text(json.dumps({**kept, "geth": os.environ.get(GETH_BIN)}))
    plan = _plan(settings, out, examples, os.environ)
    with table.Screen(console) as screen:
        made: dict[str, Any] = _interruptible(runner.run(plan, screen))
    return made


def _several(settings: DemoSettings, examples: Path, console: Console) -> int:
    """Several seeds, one after the other; 0 only if all succeed and the swarm is worth it on average."""
    given = re.fullmatch(r"(\d{1,9})-(\d{1,9})", str(settings.seeds))
    first, last = map(int, given.groups()) if given else (1, 0)
    if not first <= last < first + SEEDS_MAX:
        raise OperatorFault(f"--seeds {settings.seeds}: give FIRST-LAST, at most {SEEDS_MAX} seeds, such as 0-9")
    _clean(settings.out)
    reports = {}
    for seed in range(first, last + 1):
        console.print(f"seed {seed}", style="bold")
        one = settings.model_copy(update={"seed": seed, "seeds": None})
        reports[seed] = _once(one, settings.out / f"seed{seed}", examples, console)
    found = report.summary(list(reports.values()))
    (settings.out / "seeds.json").write_text(json.dumps({"seeds": reports, "summary": found}, indent=1) + "\n")
    for line in (*table.seeds_table(reports), "", *(f"{name}: {value}" for name, value in found.items())):
        console.print(line, markup=False, soft_wrap=True)
    return 0 if all(value is not False for value in found.values()) else 1


def _audit(settings: DemoSettings, examples: Path, console: Console) -> None:
    try:
        kept = json.loads((settings.out / PLAN_FILE).read_text())
    except (OSError, ValueError) as error:
        raise OperatorFault(f"no demo was run in {settings.out} ({error}): run `swarm demo` first") from None
    last = settings.model_copy(update={"chain": kept["chain"], "nodes": kept["nodes"]})
    # make found or built the run's geth; whoever types the printed command has not set it.
    environ = ({GETH_BIN: kept["geth"]} if kept.get("geth") else {}) | dict(os.environ)
    with table.Screen(console) as screen:
        _interruptible(runner.show_audit(_plan(last, settings.out, examples, environ), screen))


def _interruptible(work: Any) -> Any:
    """asyncio.run, for which SIGTERM and SIGHUP are like Ctrl-C: everything is stopped first."""

    async def guarded() -> Any:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asked for it
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except BaseExceptionGroup as group:
        faults, others = group.split(SwarmFault)
        if faults is None or others is not None:
            raise
        raise _first(faults) from group


def _first(group: BaseExceptionGroup[SwarmFault]) -> SwarmFault:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _plan(settings: DemoSettings, out: Path, examples: Path, environ: Mapping[str, str]) -> Plan:
    return make_plan(settings, Path(os.path.abspath(out)), examples, free_ports(ports_needed(settings.nodes)), environ)


def free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until the last is found, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One demo at a time in a folder."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.with_name(f".{out.name}.lock").open("w")
    except OSError as error:
        raise OperatorFault(f"{out.parent} cannot be written to ({error.strerror}): give another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatorFault(f"another demo is running in {out}: wait for it, or give another --out") from None
        yield


def _nothing_left(out: Path) -> None:
    """Refuse a folder whose earlier demo still has processes: they would write into this one's.

    Raises:
        OperatorFault: there are some; they are named, with the command that ends them.
    """
    if left := left_of(out):
        named = ", ".join(f"{pid} ({command})" for pid, command in sorted(left.items()))
        pids = " ".join(map(str, sorted(left)))
        raise OperatorFault(f"an earlier demo left processes running in {out}: {named}; end them with `kill {pids}`")


def _clean(out: Path) -> None:
    """An empty folder with the marker; only what a demo made is ever removed.

    Raises:
        OperatorFault: there is something else, or it cannot be removed or made.
    """
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise OperatorFault(f"{out} is not a folder: remove it, or give another --out")
        if out.is_dir() and any(out.iterdir()):
            if not (out / MARKER).is_file():
                raise OperatorFault(f"{out} holds files that no demo made: empty it, or give another --out")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()
    except OSError as error:
        raise OperatorFault(f"{out} cannot be prepared: {error}") from error


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SwarmFault as fault:
        sys.stderr.write(f"swarm demo: {fault}\n")
        sys.exit(fault.exit_code)
