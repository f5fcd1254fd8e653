"""Claims about ``swarm demo``, run as a user runs it: real chain, nodes, programs, certificates and pipes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import patience, tools

EXAMPLES = Path(__file__).parents[2] / "examples" / "breast-cancer"
LEFT_SECONDS_MAX = 10.0

pytestmark = pytest.mark.timeout(600)


def start(out: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "swarm.cli", "demo", "--out", str(out), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def demo(out: Path, *flags: str) -> tuple[int, str]:
    process = start(out, *flags)
    said, _ = process.communicate()
    return process.returncode, said


def left_behind(out: Path) -> list[str]:
    """Command lines of processes that name the folder, after a moment for the kernel to bury them."""
    deadline = time.monotonic() + LEFT_SECONDS_MAX
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(out).encode() in line:
                found.append(line[:300].replace(b"\0", b" ").decode("utf-8", "replace"))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def judge(out: Path, code: int, said: str, *, chain: str, nodes: int, rounds: int) -> dict[str, Any]:
    assert code == 0, said
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert (report["nodes"], report["rounds"], report["chain"]) == (nodes, rounds, chain)
    assert len(report["final_sha256"]) == nodes
    assert len(set(report["final_sha256"])) == 1
    assert len(report["leaders"]) == rounds
    assert set(report["leaders"]) <= {f"sl{i + 1}" for i in range(nodes)}
    assert len(report["auc"]["alone"]) == len(report["accuracy"]["alone"]) == nodes
    assert 0.5 < report["auc"]["swarm"] <= 1
    assert report["round_seconds"]["p50"] <= report["round_seconds"]["p90"]
    assert report["transactions"] > rounds
    for text in (report["final_sha256"][0], "the swarm", "all data pooled", "chunk root", "demo --audit"):
        assert text in said
    assert left_behind(out) == []
    return report


def test_a_swarm_trains_and_its_record_can_be_read_afterwards(tmp_path: Path) -> None:
    """All sites end with the chain's model, leaders rotate, and the audit of the stopped swarm names that model."""
    out = tmp_path / "demo"
    code, said = demo(out, "--model", "plain", "--nodes", "3", "--rounds", "6", "--seed", "4")
    report = judge(out, code, said, chain="embedded", nodes=3, rounds=6)
    assert len(set(report["leaders"])) > 1
    blob = re.search(r"chunk root ([0-9a-f]{64})", said)
    assert blob is not None
    code, said = demo(out, "--audit")
    assert code == 0, said
    assert blob[1] in said
    assert left_behind(out) == []


@pytest.mark.geth
def test_the_same_on_a_real_geth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One flag changes the chain and nothing else."""
    monkeypatch.setenv("SN_GETH_BIN", str(tools.geth()))
    out = tmp_path / "demo"
    code, said = demo(out, "--model", "plain", "--nodes", "2", "--rounds", "4", "--chain", "geth")
    judge(out, code, said, chain="geth", nodes=2, rounds=4)


@pytest.mark.parametrize(
    "model", [pytest.param("torch", marks=pytest.mark.torch), pytest.param("keras", marks=pytest.mark.keras)]
)
def test_framework_programs_end_with_the_chains_very_bytes(tmp_path: Path, model: str) -> None:
    """What a PyTorch or Keras program holds in the end, written down, is byte for byte the blob on chain."""
    out = tmp_path / "demo"
    code, said = demo(out, "--model", model, "--nodes", "2", "--rounds", "4")
    judge(out, code, said, chain="embedded", nodes=2, rounds=4)


def test_a_program_that_fails_is_named_and_everything_stops(tmp_path: Path) -> None:
    """A program that raises at batch 50: its name, its last words, exit code 1, and no process left."""
    examples = tmp_path / "examples"
    shutil.copytree(EXAMPLES, examples)
    script = examples / "train_plain.py"
    guard = (
        "            if 'share2' in str(settings.data) and swarm.loopback is False and epoch == 5:\n"
        "                raise RuntimeError('batch 50 is broken')\n            swarm.on_batch_end()\n"
    )
    before = script.read_text()
    after = before.replace("            swarm.on_batch_end()\n", guard)
    assert after != before
    script.write_text(after)
    out = tmp_path / "demo"
    began = time.monotonic()
    code, said = demo(out, "--model", "plain", "--nodes", "2", "--examples", str(examples))
    assert code == 1
    last = said.strip().splitlines()[-1]
    assert "ml2 ended with code 1" in last
    assert "RuntimeError: batch 50 is broken" in said
    assert not (out / "report.json").exists()
    assert left_behind(out) == []
    assert time.monotonic() - began < 300


def test_a_signal_in_mid_run_leaves_nothing_and_the_next_run_works(tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM, a lost terminal and kill -9 while nodes run: no process left, and each next run works.

    All in one folder, so that each run is the next one after a signal; the last is let through to its end.
    """
    out = tmp_path / "demo"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        process = start(out, "--model", "plain", "--nodes", "2", "--rounds", "200")
        assert process.stdout is not None
        before = ""
        for line in process.stdout:
            before += line
            if "training:" in line:
                break
        else:
            pytest.fail(f"before {number.name} it did not come to training: {before}")
        process.send_signal(number)
        said, _ = process.communicate(timeout=patience.seconds(60))
        if number is signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 130, f"{number.name}: {said}"
            assert "nothing was left running" in said
        assert left_behind(out) == [], number.name
    code, said = demo(out, "--model", "plain", "--nodes", "2", "--rounds", "4")
    judge(out, code, said, chain="embedded", nodes=2, rounds=4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_over_ten_seeds_the_swarm_is_worth_it(tmp_path: Path) -> None:
    """Mean AUC at least the best site's - 0.002 and within 0.01 of pooled; accuracy 0.01 above the sites' mean."""
    tools.need("torch")
    out = tmp_path / "demo"
    code, said = demo(out, "--seeds", "0-9")
    assert code == 0, said
    summary = json.loads((out / "seeds.json").read_text())["summary"]
    assert summary["auc_swarm"] >= summary["auc_best_alone"] - 0.002
    assert abs(summary["auc_swarm"] - summary["auc_central"]) <= 0.01
    assert summary["accuracy_swarm"] >= summary["accuracy_mean_alone"] + 0.01
