"""What the demo runs: folders, ports, environments and command lines as values; starts nothing, writes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.errors import OperatorFault
from swarm.core.ids import DEFAULT_JOB
from swarm.core.options import Opt

HOST = "127.0.0.1"
SN_NAME = "sn"
OUT_DEFAULT = Path("build/demo")
SCRIPTS = {
    "torch": "train_pyt.py",
    "pytorch": "train_pyt.py",
    "keras": "train_keras.py",
    "plain": "train_plain.py",
}
BATCHES_PER_EPOCH = 10
"""As in examples/breast-cancer/biopsies.py."""
EPOCHS_MIN = 20
"""Passes over the data that the examples need; fewer rounds mean more passes between two of them."""
OURS = ("SN_", "SL_", "SWARM_", "SENTINEL_", "SWCI_", "SWOP_")
"""Variables that begin so are not inherited: what a user has set for a real node must not reach the demo's."""
KEPT = ("SN_GETH_BIN",)


class DemoSettings(BaseModel):
    """Four sites train one model together on this machine: real processes, real certificates, a real chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chain: Annotated[Literal["embedded", "geth"], Opt("--chain")] = Field(
        "embedded", description="embedded: a chain inside the SN; geth: a real geth with one sealer"
    )
    nodes: Annotated[int, Opt("--nodes", unit="sites")] = Field(4, description="number of sites", ge=2, le=16)
    rounds: Annotated[int, Opt("--rounds", unit="merges")] = Field(
        21, description="merges of the run, the first (initial weights) and the last included", ge=3, le=1000
    )
    seed: Annotated[int, Opt("--seed", unit="number")] = Field(
        0, description="decides the split of the data and the initial weights", ge=0, le=2**31 - 1
    )
    seeds: Annotated[str | None, Opt("--seeds", unit="FIRST-LAST")] = Field(
        None, description="run several seeds, one after the other, and print a table"
    )
    sizes: Annotated[str | None, Opt("--sizes", unit="N:N:N")] = Field(
        None,
        description="sizes of the sites' shares to each other, for examples/breast-cancer (default 1:2:3...)",
        pattern=r"^\d+(:\d+)+$",
    )
    model: Annotated[Literal["torch", "pytorch", "keras", "plain"], Opt("--model")] = Field(
        "torch", description="which example trains: PyTorch, Keras, or plain numpy"
    )
    program: Annotated[str | None, Opt("--program", unit="file")] = Field(
        None, description="the training program in the examples' folder, instead of --model's"
    )
    out: Annotated[Path, Opt("--out", unit="folder")] = Field(
        OUT_DEFAULT, description="everything the demo writes; what an earlier demo left there is removed"
    )
    examples: Annotated[Path | None, Opt("--examples", unit="folder")] = Field(
        None, description="folder of the examples (default: beside the source tree, else ./examples)"
    )
    audit: Annotated[bool, Opt("--audit", switch=True)] = Field(
        False, description="train nothing: start the last demo's SN again and print what its chain recorded"
    )

    @model_validator(mode="after")
    def _a_size_for_each(self) -> DemoSettings:
        if self.sizes is not None and len(self.sizes.split(":")) != self.nodes:
            raise ValueError(f"--sizes={self.sizes} names {self.sizes.count(':') + 1} shares, --nodes is {self.nodes}")
        return self

    @property
    def script(self) -> str:
        """File name of the training program, in the folder of the examples."""
        return self.program or SCRIPTS[self.model]


@dataclass(frozen=True, slots=True)
class Command:
    """One process: its name in messages, command line, whole environment, and where its output goes."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    cwd: Path


@dataclass(frozen=True, slots=True)
class Site:
    """One site: an SL and its ML program."""

    number: int
    folder: Path
    fs_port: int
    ops_port: int

    @property
    def name(self) -> str:
        return f"sl{self.number}"

    @property
    def model_file(self) -> Path:
        return self.folder / "out" / "model.safetensors"

    @property
    def result_file(self) -> Path:
        return self.folder / "out" / "result.json"

    @property
    def ops_url(self) -> str:
        return f"http://{HOST}:{self.ops_port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All of one demo run. Paths are absolute."""

    settings: DemoSettings
    out: Path
    examples: Path
    sn_api_port: int
    sn_ops_port: int
    sites: tuple[Site, ...]
    base_env: Mapping[str, str] = field(repr=False)
    python: str = sys.executable
    job: str = DEFAULT_JOB

    @property
    def sn_folder(self) -> Path:
        return self.out / "sn"

    @property
    def sn_ops_url(self) -> str:
        return f"http://{HOST}:{self.sn_ops_port}"

    @property
    def shares(self) -> Path:
        return self.out / "shares"

    @property
    def ca_folder(self) -> Path:
        return self.out / "ca"


def make_plan(
    settings: DemoSettings, out: Path, examples: Path, ports: Sequence[int], environ: Mapping[str, str]
) -> Plan:
    """Lay a run out.

    Args:
        ports: two for the SN and two for each site, all free.
    """
    first = iter(ports)
    sn_api, sn_ops = next(first), next(first)
    sites = tuple(
        Site(number, out / f"site{number}", fs_port=next(first), ops_port=next(first))
        for number in range(1, settings.nodes + 1)
    )
    base = {k: v for k, v in environ.items() if k in KEPT or not k.startswith(OURS)}
    base |= {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "SWARM_LOG_FORMAT": "human"}
    return Plan(settings, out, examples, sn_api, sn_ops, sites, base)


def ports_needed(nodes: int) -> int:
    return 2 + 2 * nodes


def schedule(rounds: int) -> tuple[int, int]:
    """(epochs, batches between two syncs) that give exactly ``rounds`` merges.

    One merge of the initial weights, one at the end of training, and the callback's syncs in between: with E
    epochs of B batches and a sync every m*B, at batches m*B+1, 2*m*B+1, ..., these are E/m - 1.
    """
    spans = rounds - 1
    epochs_per_span = max(1, -(-EPOCHS_MIN // spans))
    return spans * epochs_per_span, epochs_per_span * BATCHES_PER_EPOCH


def sn_command(plan: Plan) -> Command:
    folder = plan.sn_folder
    argv = (
        *(plan.python, "-m", "swarm.cli", "sn", "--host-ip", HOST, "--listen", HOST, "--sentinel"),
        *("--sn-api-port", str(plan.sn_api_port), "--ops-port", str(plan.sn_ops_port)),
        *("--state-dir", str(folder / "state"), "--chain", plan.settings.chain, *_identity(folder, SN_NAME)),
    )
    return Command(SN_NAME, argv, plan.base_env, folder / "sn.log", plan.out)


def sl_command(plan: Plan, site: Site) -> Command:
    argv = (
        *(plan.python, "-m", "swarm.cli", "sl", "--host-ip", HOST, "--listen", HOST, "--sn-ip", HOST),
        *("--sn-api-port", str(plan.sn_api_port), "--sl-fs-port", str(site.fs_port)),
        *("--ops-port", str(site.ops_port), "--state-dir", str(site.folder / "state")),
        *_identity(site.folder, site.name),
    )
    return Command(site.name, argv, {**plan.base_env, **_channels(site)}, site.folder / "sl.log", plan.out)


def ml_command(plan: Plan, site: Site) -> Command:
    """The site's training program; its initial weights differ from site to site, as in real life."""
    env = _training(plan, f"share{site.number}", site.folder / "out", plan.settings.seed * 100 + site.number)
    return Command(f"ml{site.number}", _script(plan), {**env, **_channels(site)}, site.folder / "ml.log", plan.examples)


def baseline_commands(plan: Plan) -> list[Command]:
    """The same program without a swarm: on each share alone, and last on all of them pooled."""
    names = [f"share{site.number}" for site in plan.sites] + ["pooled"]
    commands = []
    for number, name in enumerate(names, start=1):
        folder = baseline_folder(plan, name)
        env = _training(plan, name, folder, plan.settings.seed * 100 + number) | {"SWARM_LOOPBACK": "true"}
        commands.append(Command(f"{name} without a swarm", _script(plan), env, folder / "ml.log", plan.examples))
    return commands


def baseline_folder(plan: Plan, name: str) -> Path:
    return plan.out / "without-swarm" / name


def shares_command(plan: Plan) -> Command:
    argv = (
        *(plan.python, str(plan.examples / "shares.py"), "--out", str(plan.shares)),
        *("--nodes", str(plan.settings.nodes), "--seed", str(plan.settings.seed)),
        *(("--sizes", plan.settings.sizes) if plan.settings.sizes is not None else ()),
    )
    return Command("shares", argv, plan.base_env, plan.out / "shares.log", plan.examples)


def audit_command(plan: Plan, *, as_json: bool, log: Path) -> Command:
    argv = (plan.python, "-m", "swarm.cli", "audit", plan.job, "--ops", plan.sn_ops_url)
    return Command("audit", (*argv, "--json") if as_json else argv, plan.base_env, log, plan.out)


def _identity(folder: Path, name: str) -> tuple[str, ...]:
    """As :mod:`.credentials` writes them."""
    return (
        *("--cert", str(folder / f"{name}-cert.pem"), "--key", str(folder / f"{name}-key.pem")),
        *("--cacert", str(folder / "ca-cert.pem")),
    )


def _channels(site: Site) -> dict[str, str]:
    return {
        "SL_REQUEST_CHANNEL": str(site.folder / "request.pipe"),
        "SL_RESPONSE_CHANNEL": str(site.folder / "response.pipe"),
        "SWARM_EXCHANGE_DIR": str(site.folder / "exchange"),
    }


def _training(plan: Plan, share: str, out: Path, seed: int) -> dict[str, str]:
    epochs, frequency = schedule(plan.settings.rounds)
    return {
        **plan.base_env,
        "DATA": str(plan.shares / f"{share}.npz"),
        "OUT": str(out),
        "EPOCHS": str(epochs),
        "SYNC_FREQUENCY": str(frequency),
        "MIN_PEERS": str(plan.settings.nodes),
        "SEED": str(seed),
    }


def _script(plan: Plan) -> tuple[str, ...]:
    return (plan.python, str(plan.examples / plan.settings.script))


def find_examples(settings: DemoSettings) -> Path:
    """examples/breast-cancer: the folder given, else beside the source tree, else below the current folder.

    Raises:
        OperatorFault: there is none, or the program to train is not in it; names what is there.
    """
    given = settings.examples
    tree = Path(__file__).resolve().parents[3]
    roots = [given] if given is not None else [tree / "examples", Path.cwd() / "examples"]
    for root in roots:
        for folder in (root / "breast-cancer", root):
            if not (folder / "shares.py").is_file():
                continue
            if not (folder / settings.script).is_file():
                there = ", ".join(sorted(path.name for path in folder.glob("train_*.py"))) or "none"
                raise OperatorFault(f"{folder} has no program {settings.script}; programs there: {there}")
            return Path(os.path.abspath(folder))
    if given is not None:
        raise OperatorFault(f"--examples={given}: expected a folder with a shares.py, such as examples/digits")
    raise OperatorFault("no examples/breast-cancer/shares.py here: run it in a clone, or give --examples")
