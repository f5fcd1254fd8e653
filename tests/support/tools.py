"""What a test may need from the machine (geth, anvil, solc, Docker, frameworks): found here, never installed.

conftest turns the answers into skips, or into failures for the tools that SWARM_REQUIRE names.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GETH_VERSION = "1.13.15"
PROBE_SECONDS = 20.0


class Missing(Exception):
    """A tool is not there; the text says what is missing and how to get it."""


def _answer(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Missing(f"{command[0]}: {fault}") from fault
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[:200]}")
    return done.stdout.strip()


@functools.cache
def geth() -> Path:
    """The geth that SN_GETH_BIN, the tool cache or PATH holds (tools/geth.sh builds it); raises Missing."""
    try:
        return Path(_answer([str(ROOT / "tools" / "geth.sh"), "--no-build"]))
    except Missing as fault:
        raise Missing(f"no geth {GETH_VERSION}: run tools/geth.sh, or set SN_GETH_BIN") from fault


@functools.cache
def anvil() -> Path:
    """The native anvil of the pinned npm package; raises Missing."""
    binary = ROOT / "contracts" / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
    if not binary.exists():
        raise Missing("no anvil: run `npm ci` in contracts/ (Linux on x86-64 only)")
    return binary


@functools.cache
def solc() -> Path:
    """The stand-in for native solc over the pinned npm package; raises Missing."""
    if shutil.which("node") is None or not (ROOT / "contracts" / "node_modules" / "solc").exists():
        raise Missing("no solc: install Node 18 or newer, then run `npm ci` in contracts/")
    return ROOT / "contracts" / "bin" / "solc-v0.8.37"


@functools.cache
def docker() -> list[str]:
    """The compose command, plug-in or docker-compose, of a Docker engine that answers; raises Missing."""
    _answer(["docker", "version", "--format", "{{.Server.Version}}"])
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            _answer([*command, "version"])
        except Missing:
            continue
        return command
    raise Missing("Docker answers, but there is neither the compose plug-in nor docker-compose")


def _module(name: str, extra: str) -> Callable[[], str]:
    def find() -> str:
        if importlib.util.find_spec(name) is None:
            raise Missing(f"{name} is not installed: tools/venv.sh .venv {extra}")
        return name

    return find


def _keras() -> str:
    """TensorFlow, made safe for a process in which PyTorch runs too.

    Both carry an LLVM that registers its options in one table, and abort the process if PyTorch's compiler
    comes second; first is harmless. So it is loaded before any test can load TensorFlow.
    """
    found = _module("tensorflow", "tensorflow")()
    if importlib.util.find_spec("triton") is not None:
        importlib.import_module("triton")
    return found


@functools.cache
def netns() -> str:
    """The addresses that throw-away network namespaces may use here; raises Missing."""
    from support import netlab

    try:
        return netlab.probe()
    except (netlab.NotPermitted, OSError) as fault:
        raise Missing(f"no network namespaces, as root with iproute2 and nftables ({fault})") from fault


@functools.cache
def faketime() -> Path:
    """The library that gives one process another clock; raises Missing."""
    for found in sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        return found
    raise Missing("no libfaketime: install the package faketime")


@functools.cache
def registry() -> str:
    """The image registry of Debian's package docker-registry; raises Missing."""
    found = shutil.which("docker-registry")
    if found is None:
        raise Missing("no docker-registry: install the package docker-registry")
    return found


def _slow() -> str:
    if os.environ.get("SWARM_SLOW") != "1":
        raise Missing("slow tests run only with SWARM_SLOW=1")
    return "SWARM_SLOW=1"


TOOLS: dict[str, Callable[[], object]] = {
    "geth": geth,
    "anvil": anvil,
    "solc": solc,
    "docker": docker,
    "netns": netns,
    "faketime": faketime,
    "registry": registry,
    "torch": _module("torch", "torch"),
    "keras": _keras,
    "slow": _slow,
}


def required() -> frozenset[str]:
    """The tools that SWARM_REQUIRE (comma-separated) wants present; raises UsageError for an unknown name."""
    names = frozenset(filter(None, os.environ.get("SWARM_REQUIRE", "").replace(" ", "").split(",")))
    if unknown := names - TOOLS.keys():
        raise pytest.UsageError(f"SWARM_REQUIRE: unknown {', '.join(sorted(unknown))}; known: {', '.join(TOOLS)}")
    return names


def need(name: str) -> None:
    """Skips the running test when the tool is missing; fails it when SWARM_REQUIRE names the tool."""
    try:
        TOOLS[name]()
    except Missing as fault:
        if name in required():
            pytest.fail(f"SWARM_REQUIRE names {name}, but: {fault}", pytrace=False)
        pytest.skip(f"{name}: {fault}")
