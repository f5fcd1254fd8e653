"""Claims about the demo's plan and its report: pure arithmetic and command lines, nothing is started."""

from __future__ import annotations

import asyncio
import io
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from swarm.core.errors import OperatorFault
from swarm.demo import __main__ as entry
from swarm.demo import plan as plans
from swarm.demo import report, runner, table
from swarm.demo.plan import DemoSettings, Plan, make_plan, schedule
from swarm.demo.processes import DemoFailed, Processes, Running
from swarm.demo.report import Final, Outcome, Quality

EXAMPLES = Path(__file__).parents[2] / "examples" / "breast-cancer"


def a_plan(tmp_path: Path, **settings: Any) -> Plan:
    environ = {"PATH": "/bin", "SWARM_LOOPBACK": "true", "SL_FS_PORT": "1", "SN_GETH_BIN": "geth"}
    chosen = DemoSettings(**settings)
    return make_plan(chosen, tmp_path, EXAMPLES, range(1000, 1000 + plans.ports_needed(chosen.nodes)), environ)


@given(st.integers(3, 1000))
def test_the_schedule_gives_the_rounds_asked_for(rounds: int) -> None:
    """Counted as the callback counts: at the start, at batch N+1, 2N+1, ..., and at the end."""
    epochs, frequency = schedule(rounds)
    merges, left = 1, frequency
    for _ in range(epochs * plans.BATCHES_PER_EPOCH):
        if left == 0:
            merges, left = merges + 1, frequency
        left -= 1
    assert merges + 1 == rounds
    assert epochs >= plans.EPOCHS_MIN or epochs == rounds - 1


def test_every_process_gets_ports_folders_and_pipes_of_its_own(tmp_path: Path) -> None:
    """No two nodes share a port, a state folder, a pipe or an exchange folder; SL and program share theirs."""
    plan = a_plan(tmp_path, nodes=5)
    nodes = [plans.sn_command(plan), *(plans.sl_command(plan, site) for site in plan.sites)]
    ports = [int(c.argv[c.argv.index(flag) + 1]) for c in nodes for flag in ("--ops-port",)]
    ports += [int(c.argv[c.argv.index("--sl-fs-port") + 1]) for c in nodes[1:]] + [plan.sn_api_port]
    assert len(set(ports)) == len(ports) == plans.ports_needed(5)
    states = [c.argv[c.argv.index("--state-dir") + 1] for c in nodes]
    assert len(set(states)) == 6
    for site, node in zip(plan.sites, nodes[1:], strict=True):
        program = plans.ml_command(plan, site)
        for name in ("SL_REQUEST_CHANNEL", "SL_RESPONSE_CHANNEL", "SWARM_EXCHANGE_DIR"):
            assert node.env[name] == program.env[name]
            assert node.env[name].startswith(str(site.folder))
        assert "SWARM_LOOPBACK" not in program.env


def test_settings_of_real_nodes_do_not_reach_the_demo(tmp_path: Path) -> None:
    """Variables of the platform are dropped, but for the path of geth; baselines alone run in loop-back mode."""
    plan = a_plan(tmp_path)
    assert "SL_FS_PORT" not in plan.base_env
    assert plan.base_env["SN_GETH_BIN"] == "geth"
    assert "SWARM_LOOPBACK" not in plans.sn_command(plan).env
    baselines = plans.baseline_commands(plan)
    assert [c.env["DATA"].rpartition("/")[2] for c in baselines] == [
        *(f"share{i}.npz" for i in range(1, 5)),
        "pooled.npz",
    ]
    assert {c.env["SWARM_LOOPBACK"] for c in baselines} == {"true"}
    trained = [plans.ml_command(plan, site).env for site in plan.sites]
    assert [c.env["SEED"] for c in baselines[:4]] == [env["SEED"] for env in trained]


def test_batches_per_epoch_are_those_of_the_examples() -> None:
    """The schedule counts on ten batches an epoch; the examples must say the same."""
    text = (EXAMPLES / "biopsies.py").read_text()
    assert f"BATCHES_PER_EPOCH = {plans.BATCHES_PER_EPOCH}\n" in text


@pytest.mark.parametrize(
    ("nodes", "asked", "sizes"),
    [(4, [], [36, 72, 108, 144]), (2, [], [76, 151]), (3, ["--sizes", "1:2:7"], [33, 65, 227])],
)
def test_shares_are_unequal_and_skewed(tmp_path: Path, nodes: int, asked: list[str], sizes: list[int]) -> None:
    """Sizes 1:2:3:4 or as asked, benign about 98/3/95/50 %, the same hold-out for all, and no biopsy twice."""
    np = pytest.importorskip("numpy")
    subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / "shares.py"),
            "--out",
            str(tmp_path),
            "--nodes",
            str(nodes),
            "--seed",
            "7",
            *asked,
        ],
        check=True,
        capture_output=True,
    )
    shares = [np.load(tmp_path / f"share{i + 1}.npz") for i in range(nodes)]
    assert [len(share["y"]) for share in shares] == sizes
    for share, part in zip(shares, (0.98, 0.03, 0.95, 0.50), strict=False):
        assert share["y"].mean() == pytest.approx(part, abs=0.02)
    assert all((share["x_test"] == shares[0]["x_test"]).all() for share in shares)
    everything = np.concatenate([*(share["x"] for share in shares), shares[0]["x_test"]])
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_sizes_of_shares_reach_the_example_and_fit_the_number_of_sites(tmp_path: Path) -> None:
    """One size a site, else a sentence before anything starts."""
    settings = DemoSettings(nodes=3, sizes="1:2:7")
    plan = plans.make_plan(settings, tmp_path, EXAMPLES, range(1, 1 + plans.ports_needed(3)), {})
    assert plans.shares_command(plan).argv[-2:] == ("--sizes", "1:2:7")
    with pytest.raises(ValueError, match="--sizes=1:2 names 2 shares, --nodes is 3"):
        DemoSettings(nodes=3, sizes="1:2")


# ---- report


def status(name: str, rounds: list[tuple[float, float | None]]) -> dict[str, Any]:
    rows = []
    for number, (begun, ended) in enumerate(rounds):
        rows.append({"round": number, "check_in_at": begun} | ({} if ended is None else {"loaded_at": ended}))
    return {"name": name, "node": f"0x{name}", "rounds": rows}


def outcome(**changes: Any) -> Outcome:
    given: dict[str, Any] = {
        "chain": "embedded",
        "statuses": [
            status("sl1", [(0.0, 1.0), (2.0, 2.2), (5.0, 5.3)]),
            status("sl2", [(0.5, 1.5), (2.1, 2.3), (5.1, None)]),
        ],
        "record": {
            "phase": "complete",
            "final": "0xAB",
            "rounds": [{"leader": "0xsl2"}, {"leader": "0xsl1"}, {"leader": "0xfe"}],
        },
        "finals": [Final("sl1", "aa", "ab"), Final("sl2", "aa", "ab")],
        "alone": [Quality(0.8, 0.9), Quality(0.7, 0.8)],
        "swarm": [Quality(0.95, 0.99), Quality(0.95, 0.99)],
        "central": Quality(0.96, 0.98),
        "transactions": 12,
    }
    return Outcome(**(given | changes))


def test_the_report_has_exactly_the_promised_keys() -> None:
    """report.json's keys and forms are what users' scripts read."""
    assert report.build(outcome()) == {
        "nodes": 2,
        "rounds": 3,
        "chain": "embedded",
        # from the last check-in to the last load; round 2 is left out because sl2's load is not known
        "round_seconds": {"p50": 0.2, "p90": 1.0},
        "final_sha256": ["aa", "aa"],
        "auc": {"alone": [0.9, 0.8], "swarm": 0.99, "central": 0.98},
        "accuracy": {"alone": [0.8, 0.7], "swarm": 0.95, "central": 0.96},
        "transactions": 12,
        "leaders": ["sl2", "sl1", "0xfe"],
    }


def test_success_needs_a_complete_run_and_one_final_model() -> None:
    """An open run, differing files and a file that is not the chain's are each said by name."""
    assert report.faults(outcome()) == []
    record = outcome().record
    assert "the run is failed on chain: too few" in report.faults(
        outcome(record={**record, "phase": "failed", "reason": "too few"})
    )
    differing = [Final("sl1", "aa", "ab"), Final("sl2", "bb", "cd")]
    found = report.faults(outcome(finals=differing))
    assert found == [
        "the final models differ: sl1 aa, sl2 bb",
        "sl2's model file is blob cd, the chain's final one ab",
    ]
    assert report.faults(outcome(finals=[])) == ["the final models differ: there are none"]
    assert report.faults(outcome(record={**record, "final": None})) != []


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.9]))
def test_percentiles_are_values_that_occurred(values: list[float], part: float) -> None:
    """At least the asked part of all values lies at or below a percentile, and less does below it."""
    found = report.percentile(values, part)
    assert found in values
    assert sum(v <= found for v in values) >= part * len(values)
    assert sum(v < found for v in values) < part * len(values) + 1
    assert math.isnan(report.percentile([], part))


def test_the_summary_judges_the_three_conditions() -> None:
    """Not below the best site by more than 0.002 AUC, within 0.01 of pooled, 0.01 accuracy above the sites' mean."""
    good = report.build(outcome())
    assert report.summary([good])["auc_not_below_best_alone"] is True
    poor = {**good, "auc": {"alone": [0.99], "swarm": 0.9875, "central": 0.998}}
    found = report.summary([poor])
    assert (found["auc_not_below_best_alone"], found["auc_near_central"]) == (False, False)
    flat = {**good, "accuracy": {"alone": [0.945, 0.945], "swarm": 0.95, "central": 0.95}}
    assert report.summary([flat])["accuracy_above_alone"] is False


def test_a_row_names_what_is_waited_for() -> None:
    """The longest wait is shown in words, peers by their names; what is not known yet is a dash."""
    waits = [{"what": "the merge of round 3", "whom": "0xa, 0xb", "since": "1970-01-01T00:00:01.600Z"}, {"what": "x"}]
    said = {"state": "syncing", "round": 3, "role": "follower", "loss": 0.5, "waits": waits, "bytes_in": 1500}
    cells = table.row("sl1", said, 6.0, {"0xa": "sl2"}).cells
    assert cells[-1] == "the merge of round 3 (sl2, 0xb) 4 s, 1 more"
    assert cells[5:8] == ("0.5000", "-", "1.5 kB / -")
    timed = [{"what": "the SN", "whom": "", "since": "1970-01-01T00:00:10.000Z"}]
    assert table.waiting(timed, 12.0, {}) == "the SN 2 s"
    assert table.row("sl1", None, 0.0, {}).cells[1] == "starting"
    early = {"state": "registered", "role": "sl", "node_role": "sl", "epochs_done": 0, "epochs_total": 0}
    assert table.row("sl1", early, 0.0, {}).cells == ("sl1", "registered", *["-"] * 5, "- / -", "-")


# ---- folders, ports, processes


def test_only_what_a_demo_made_is_removed(tmp_path: Path) -> None:
    """A folder with foreign files is refused and left alone; one of an earlier demo is emptied."""
    mine, foreign = tmp_path / "mine", tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(OperatorFault, match="holds files that no demo made"):
        entry._clean(foreign)
    assert (foreign / "thesis.txt").is_file()
    entry._clean(mine)
    (mine / "old").write_text("x")
    entry._clean(mine)
    assert [path.name for path in mine.iterdir()] == [entry.MARKER]
    link = tmp_path / "link"
    link.symlink_to(foreign)
    with pytest.raises(OperatorFault, match="is not a folder"):
        entry._clean(link)


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second one is told at once."""
    with entry._locked(tmp_path / "out"), pytest.raises(OperatorFault, match="another demo is running"):
        entry.main(["--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--nodes", "1"], "--nodes=1"),
        (["--nodes", "x"], "--nodes=x"),
        (["--rounds", "2"], "--rounds=2"),
        (["--chain", "fabric"], "--chain=fabric"),
        (["--modell", "plain"], "--modell"),
        (["--seeds", "9-0"], "give FIRST-LAST"),
        (["--seeds", "5"], "give FIRST-LAST"),
    ],
)
def test_a_wrong_flag_is_one_clear_line(tmp_path: Path, argv: list[str], text: str) -> None:
    """The flag and the value are named; the exit code is 2."""
    with pytest.raises(OperatorFault, match=text) as caught:
        entry.main([*argv, "--out", str(tmp_path / "out")])
    assert caught.value.exit_code == 2


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """A file where the parent folder should be: named before anything starts; exit code 2."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorFault, match="cannot be written to") as caught:
        entry.main(["--out", str(tmp_path / "file" / "out")])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("width", [80, 160])
def test_the_live_table_fits_the_terminal(width: int) -> None:
    """No row is broken into two, and what each site waits for is told, on a narrow terminal in lines of its own."""
    waits = [{"what": "the chain's record of the merge", "whom": "the SN", "since": "1970-01-01T00:00:01.000Z"}]
    said = {"state": "syncing", "round": 12, "role": "follower", "epochs_done": 9, "epochs_total": 20, "loss": 0.5}
    said |= {"metric": 0.5, "bytes_in": 43_000, "bytes_out": 45_400, "waits": waits}
    rows = [table.row(name, said, 3.0, {}) for name in ("sl1", "sl2")]
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table.live("training", rows, width))
    lines = console.export_text().splitlines()
    assert len(lines) == (2 + 2 + 2 if width == 80 else 2 + 2)
    assert sum("the chain's record of the merge (the SN) 2 s" in one for one in lines) == 2


def test_the_audit_finds_the_geth_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types the printed command has not set SN_GETH_BIN, as make had for the run."""
    seen: list[str | None] = []

    async def shown(plan: plans.Plan, screen: table.Screen) -> None:
        seen.append(plan.base_env.get(entry.GETH_BIN))

    async def ran(plan: plans.Plan, screen: table.Screen) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(runner, "show_audit", shown)
    monkeypatch.setattr(runner, "run", ran)
    monkeypatch.setenv(entry.GETH_BIN, "/opt/geth")
    assert entry.main(["--chain", "geth", "--out", str(tmp_path / "out")]) == 0
    monkeypatch.delenv(entry.GETH_BIN)
    assert entry.main(["--audit", "--out", str(tmp_path / "out")]) == 0
    assert seen == ["/opt/geth"]


def test_free_ports_are_different_and_free() -> None:
    """All can be bound at the same time."""
    ports = entry.free_ports(40)
    sockets = [socket.socket() for _ in ports]
    try:
        for one, port in zip(sockets, ports, strict=True):
            one.bind(("127.0.0.1", port))
    finally:
        for one in sockets:
            one.close()


def command(tmp_path: Path, name: str, code: str) -> plans.Command:
    return plans.Command(name, (sys.executable, "-c", code), dict(os.environ), tmp_path / f"{name}.log", tmp_path)


async def test_a_failing_process_is_named_with_its_last_words(tmp_path: Path) -> None:
    """Code and end of the log stand in the error."""
    async with Processes() as processes:
        with pytest.raises(DemoFailed, match=r"ml3 ended with code 7; .*ml3\.log") as caught:
            await processes.finish(
                command(tmp_path, "ml3", "print('no such patient'); raise SystemExit(7)"), seconds_max=20
            )
        assert "no such patient" in caught.value.detail
        with pytest.raises(DemoFailed, match="ml3"):
            processes.check()


async def test_an_endless_process_may_not_end_with_zero_either(tmp_path: Path) -> None:
    """An SN that stops is a failure whatever it returns; a program that is done is none."""
    async with Processes() as processes:
        done = await processes.start(command(tmp_path, "ml1", ""))
        await done.process.wait()
        processes.check()
        ended = await processes.start(command(tmp_path, "sn", ""), endless=True)
        await ended.process.wait()
        with pytest.raises(DemoFailed, match="sn ended with code 0"):
            processes.check()


async def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM, and its child, are gone after the block, also when the block fails."""
    monkeypatch.setattr("swarm.demo.processes.STOP_SECONDS", 0.3)
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "stubborn.log"
    started: list[Running] = []

    async def broken_demo() -> None:
        async with Processes() as processes:
            started.append(await processes.start(command(tmp_path, "stubborn", code)))
            while not log.exists() or not log.read_text().endswith("\n"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            raise RuntimeError("the demo broke")

    with pytest.raises(RuntimeError, match="the demo broke"):
        await broken_demo()
    assert started[0].exit_code == -9
    child = int(log.read_text())
    while _alive(child):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"examples": "digits", "program": "train_foo.py"},
            r"digits has no program train_foo.py; programs there: .*pyt",
        ),
        ({"examples": "nothing"}, r"--examples=\S*nothing: expected a folder with a shares.py"),
    ],
)
def test_examples_that_are_not_there_are_named_before_anything_starts(options: dict[str, str], said: str) -> None:
    """The folder or the program that was asked for, and what is there instead; not Python's own complaint later."""
    root = Path(__file__).parents[2] / "examples"
    with pytest.raises(OperatorFault, match=said):
        plans.find_examples(DemoSettings(**{**options, "examples": root / options["examples"]}))
