"""The demo as a story: certificates, data, chain, training with and without the swarm, and the judgement.

Starts and asks real processes; what is started is ``plan``'s, how results are judged ``report``'s.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swarm.core.blobid import CHUNK_BYTES, ChunkList, chunk_hash
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Unreachable
from swarm.net.identity import anyone

from . import plan as plans
from . import table
from .credentials import issue_all
from .plan import Command, Plan, Site
from .processes import DemoFailed, Processes, Running
from .report import Final, Outcome, Quality, build, faults
from .table import Screen

TICK_SECONDS = 0.2
SAY_SECONDS = 1.0
SETTLE_SECONDS = 1.0
READY_SECONDS_MAX = 120.0
"""For the chain to come up and for an SL to be admitted."""
HELPER_SECONDS_MAX = 120.0
BASELINE_SECONDS_MAX = 600.0
STALL_SECONDS_MAX = 180.0
"""Without a new round, epoch or state anywhere, the run counts as stuck."""
LEAVE_SECONDS_MAX = 30.0
"""For the SLs to end after their programs."""
BLOCKS_PER_CALL = 50


@dataclass(slots=True)
class Watch:
    """What is known of the SLs from their operations ports; the last answer stays when a node has ended."""

    clients: dict[str, JsonClient]
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def look(self) -> None:
        await asyncio.gather(*(self._ask(name, client) for name, client in self.clients.items()))

    async def _ask(self, name: str, client: JsonClient) -> None:
        try:
            self.statuses[name] = {**await client.get("/v1/status"), "name": name}
        except (Unreachable, BadAnswer):
            return  # not up yet, or ended: its process says which

    def rows(self, sites: Sequence[Site]) -> list[table.Row]:
        names = {status["node"]: name for name, status in self.statuses.items()}
        now = time.time()
        return [table.row(site.name, self.statuses.get(site.name), now, names) for site in sites]

    def progress(self) -> object:
        keys = ("state", "round", "epochs_done", "program", "loaded_round")
        return [[status.get(key) for key in keys] for status in self.statuses.values()]

    def round(self) -> int:
        return max((int(status.get("round", 0)) for status in self.statuses.values()), default=0)


async def run(plan: Plan, screen: Screen) -> dict[str, Any]:
    """Run the demo; returns the content of report.json, which is written too.

    Raises:
        DemoFailed: a process failed, the run got stuck, or the final models are not what the chain says.
    """
    screen.show("certificates and data")
    await asyncio.to_thread(issue_all, plan)
    async with Processes() as processes, AsyncExitStack() as stack:
        await processes.finish(plans.shares_command(plan), seconds_max=HELPER_SECONDS_MAX)
        sn = await _client(stack, plan.sn_ops_url)
        await processes.start(plans.sn_command(plan), endless=True)
        await _baselines(plan, processes, screen)
        await _ready(sn, processes, screen, f"the SN brings up its chain ({plan.settings.chain})")
        watch = Watch({site.name: await _client(stack, site.ops_url) for site in plan.sites})
        await _train(plan, processes, watch, screen)
        screen.show("reading the chain's record")
        outcome = await _outcome(plan, processes, watch, sn)
    found = faults(outcome)
    if found:
        raise DemoFailed("; ".join(found))
    report = build(outcome)
    (plan.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    _print_end(plan, outcome, report, screen)
    return report


async def show_audit(plan: Plan, screen: Screen) -> None:
    """Start the last demo's SN on its state again and print what its chain recorded.

    Raises:
        DemoFailed: the SN does not come up, or cannot read its record.
    """
    log = plan.out / "audit.txt"
    log.unlink(missing_ok=True)
    async with Processes() as processes, AsyncExitStack() as stack:
        sn = await _client(stack, plan.sn_ops_url)
        await processes.start(plans.sn_command(plan), endless=True)
        await _ready(sn, processes, screen, f"the SN opens the chain in {plan.sn_folder / 'state'}")
        command = plans.audit_command(plan, as_json=False, log=log)
        if screen.console.is_terminal:
            command = replace(command, env={**command.env, "COLUMNS": str(screen.console.width)})
        await processes.finish(command, seconds_max=HELPER_SECONDS_MAX)
    screen.close()
    screen.console.print(log.read_text(), markup=False, highlight=False, soft_wrap=True)


async def _client(stack: AsyncExitStack, url: str) -> JsonClient:
    return await stack.enter_async_context(JsonClient(url, None, anyone))


async def _baselines(plan: Plan, processes: Processes, screen: Screen) -> None:
    """Train on each share alone and on all data pooled, as many at a time as there are cores."""
    commands = plans.baseline_commands(plan)
    free = asyncio.Semaphore(max(1, os.cpu_count() or 1))
    done, begun = 0, time.monotonic()

    def say() -> None:
        detail = f"{done} of {len(commands)} done, {time.monotonic() - begun:.0f} s"
        screen.show("to compare with: each site alone, all data pooled", detail)

    async def keep_saying() -> None:
        while True:
            say()
            await asyncio.sleep(SAY_SECONDS)

    async def one(command: Command) -> None:
        nonlocal done
        async with free:
            await processes.finish(command, seconds_max=BASELINE_SECONDS_MAX)
        done += 1

    async with asyncio.TaskGroup() as group:
        saying = group.create_task(keep_saying())
        async with asyncio.TaskGroup() as training:
            for command in commands:
                training.create_task(one(command))
        say()
        saying.cancel()


async def _ready(sn: JsonClient, processes: Processes, screen: Screen, title: str) -> None:
    async def up() -> bool:
        try:
            return bool((await sn.get("/healthz"))["healthy"])
        except (Unreachable, BadAnswer):
            return False

    await _until(up, processes.check, lambda: screen.show(title), title, READY_SECONDS_MAX)


async def _train(plan: Plan, processes: Processes, watch: Watch, screen: Screen) -> None:
    nodes, programs = [], []
    for site in plan.sites:
        # An SL may end with 0 as soon as its program is done; too early, and its program fails and says so.
        nodes.append(await processes.start(plans.sl_command(plan, site)))
        programs.append(await processes.start(plans.ml_command(plan, site)))
    moved_at, last = time.monotonic(), watch.progress()

    def all_done(running: Sequence[Running]) -> bool:
        return all(one.exit_code is not None for one in running)

    async def trained() -> bool:
        nonlocal moved_at, last
        await watch.look()
        if watch.progress() != last:
            moved_at, last = time.monotonic(), watch.progress()
        if time.monotonic() - moved_at > STALL_SECONDS_MAX:
            told = "\n".join(f"  {row.cells[0]}: {row.line}" for row in watch.rows(plan.sites))
            raise DemoFailed(f"nothing has moved for {STALL_SECONDS_MAX:.0f} s", told)
        return all_done(programs)

    def show() -> None:
        detail = f"{watch.round()} of {plan.settings.rounds} rounds done"
        if watch.round() >= plan.settings.rounds:
            detail += "; each program tests its final model and ends"
        screen.show("training", detail, watch.rows(plan.sites))

    await _until(trained, processes.check, show, "training", None)

    async def left() -> bool:
        await watch.look()
        return all_done(nodes) or all(status.get("final") for status in watch.statuses.values())

    await _until(left, processes.check, show, "the SLs' last word", LEAVE_SECONDS_MAX)


async def _until(
    done: Callable[[], Awaitable[bool]],
    check: Callable[[], None],
    show: Callable[[], None],
    what: str,
    seconds_max: float | None,
) -> None:
    """Look again and again until ``done``; ``check`` raises when there is no more hope."""
    try:
        async with asyncio.timeout(seconds_max):
            while not await done():
                try:
                    check()
                except DemoFailed:
                    # A program and its SL end one after the other: both are named, so that the cause is among them.
                    await asyncio.sleep(SETTLE_SECONDS)
                    check()
                show()
                await asyncio.sleep(TICK_SECONDS)
    except TimeoutError:
        raise DemoFailed(f"waited {seconds_max:.0f} s in vain: {what}") from None


async def _outcome(plan: Plan, processes: Processes, watch: Watch, sn: JsonClient) -> Outcome:
    log = plan.out / "audit.json"
    await processes.finish(plans.audit_command(plan, as_json=True, log=log), seconds_max=HELPER_SECONDS_MAX)
    names = [f"share{site.number}" for site in plan.sites]
    return Outcome(
        chain=plan.settings.chain,
        statuses=[watch.statuses.get(site.name, {"name": site.name}) for site in plan.sites],
        record=json.loads(log.read_text()),
        finals=[final_of(site.name, site.model_file) for site in plan.sites],
        alone=[_quality(plans.baseline_folder(plan, name) / "result.json") for name in names],
        swarm=[_quality(site.result_file) for site in plan.sites],
        central=_quality(plans.baseline_folder(plan, "pooled") / "result.json"),
        transactions=await _transactions(sn),
    )


def final_of(site: str, path: Path) -> Final:
    """Hash a model file both ways: whole, and as the chain names it."""
    whole, hashes, size = hashlib.sha256(), [], 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            whole.update(chunk)
            hashes.append(chunk_hash(chunk))
            size += len(chunk)
    return Final(site, whole.hexdigest(), ChunkList(size, tuple(hashes)).root().hex())


def _quality(path: Path) -> Quality:
    found = json.loads(path.read_text())
    return Quality(accuracy=float(found["accuracy"]), auc=float(found["auc"]))


async def _transactions(sn: JsonClient) -> int:
    """All transactions on the chain, from the first block on: contracts, admissions, joins, rounds, closings."""

    async def call(*methods: tuple[str, list[Any]]) -> list[Any]:
        batch = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(methods)]
        answers = await sn.post("/v1/rpc", batch)
        return [one["result"] for one in sorted(answers, key=lambda answer: int(answer["id"]))]

    head = int((await call(("eth_blockNumber", [])))[0], 16)
    count = 0
    for start in range(0, head + 1, BLOCKS_PER_CALL):
        numbers = range(start, min(start + BLOCKS_PER_CALL, head + 1))
        blocks = await call(*(("eth_getBlockByNumber", [hex(number), False]) for number in numbers))
        count += sum(len(block["transactions"]) for block in blocks)
    return count


def _print_end(plan: Plan, outcome: Outcome, report: dict[str, Any], screen: Screen) -> None:
    screen.close()
    say = screen.console.print
    say()
    say(f"Accuracy and AUC on the common hold-out (seed {plan.settings.seed}):", highlight=False)
    say(table.quality_table(outcome.alone, outcome.swarm[0], outcome.central))
    say("\nThe final model, the same file at every site:", highlight=False)
    for text in table.final_lines(outcome.finals):
        say(text, highlight=False, soft_wrap=True)
    seconds, count = report["round_seconds"], report["rounds"]
    say(
        f"\n{count} rounds, {report['transactions']} transactions;"
        f" a round took {seconds['p50']} s (median), {seconds['p90']} s (90 %)",
        highlight=False,
    )
    out = shown(plan.out)
    option = "" if out == str(plans.OUT_DEFAULT) else f" --out {out}"
    swarm = shown(Path(plan.python).parent / "swarm")
    say(f"The chain's record is in {out}/sn/state; print it with: {swarm} demo --audit{option}", soft_wrap=True)
    say(f"The figures above are in {out}/report.json", highlight=False, soft_wrap=True)


def shown(path: Path) -> str:
    """A path as a user would type it here: relative below the current folder, else absolute."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
