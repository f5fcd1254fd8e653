"""PyTorch programs that cannot be a site as they are: told at once, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def lazy() -> Any:
    return torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.LazyBatchNorm1d())


def meta() -> Any:
    return torch.nn.Linear(4, 3, device="meta")


def with_buffer(value: Any) -> Any:
    model = torch.nn.Linear(4, 3)
    model.register_buffer("adjacency", value)
    return model


def quantized() -> Any:
    return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


KINDS = {
    "lazy": (lazy, r"0\.weight has no shape yet.*run one batch"),
    "meta": (meta, r"weight is on the device \"meta\".*to_empty"),
    "coordinates": (
        lambda: with_buffer(torch.eye(3).to_sparse()),
        r"adjacency is a sparse tensor \(sparse_coo\).*to_dense",
    ),
    "csr": (lambda: with_buffer(torch.eye(3).to_sparse_csr()), r"adjacency is a sparse tensor \(sparse_csr\)"),
    "nested": (
        lambda: with_buffer(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
        r"adjacency is a nested tensor.*to_padded_tensor",
    ),
    "quantized": (lambda: with_buffer(quantized()), r"adjacency is quantized \(torch\.qint8\).*float model"),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_tensors_without_values_to_average_are_named_with_a_remedy(kind: str) -> None:
    """Lazy, meta, sparse of both layouts, nested and quantized: one sentence with the tensor and what to do."""
    from swarmlearning._torchstate import to_numpy
    from swarmlearning.pyt import SwarmError

    make, told = KINDS[kind]
    state = make().state_dict()
    odd = "adjacency" if "adjacency" in state else next(iter(state))
    with pytest.raises(SwarmError, match=told) as caught:
        to_numpy(odd, state[odd])
    assert "\n" not in str(caught.value)


def test_a_lazy_model_is_shared_after_its_first_batch() -> None:
    """What the sentence says helps."""
    from swarmlearning._torchstate import to_numpy

    model = lazy()
    model(torch.ones(2, 5))
    assert to_numpy("0.weight", model.state_dict()["0.weight"]).shape == (3, 5)


@pytest.fixture
def process_group() -> Iterator[None]:
    """PyTorch's own stand-in for a group of two, of which this process is the second."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_rank_is_told_by_its_environment(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has a process group, by what torchrun sets; real ranks: the slow test below."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    _is_told(rank, monkeypatch)


@pytest.mark.usefixtures("process_group")
def test_a_rank_is_told_by_its_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word in the environment, as under a launcher that is not known here."""
    _is_told("1", monkeypatch)


def _is_told(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from swarmlearning.pyt import SwarmCallback, SwarmError

    monkeypatch.delenv("SWARM_LOOPBACK", raising=False)
    with pytest.raises(SwarmError, match=rf"this site trains in 2 processes \(this is rank {rank}\)"):
        SwarmCallback(2, 1, model=torch.nn.Linear(2, 2))


@pytest.mark.slow
def test_every_rank_of_torchrun_is_told_at_once(tmp_path: Path) -> None:
    """Two real ranks, before and after the process group: each is told at once; before, both opened a session."""
    program = tmp_path / "train.py"
    program.write_text(
        "import os, torch\n"
        "from swarmlearning.pyt import SwarmCallback, SwarmError\n"
        "def told(work):\n"
        "    try:\n"
        "        work()\n"
        "    except SwarmError as fault:\n"
        "        print('TOLD', fault, flush=True)\n"
        "make = lambda: SwarmCallback(2, 1, model=torch.nn.Linear(2, 2))\n"
        "told(make)\n"
        "torch.distributed.init_process_group('gloo')\n"
        "del os.environ['WORLD_SIZE'], os.environ['RANK']\n"
        "told(make)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "SWARM_LOOPBACK"}
    environment.update(SWARM_CHANNEL_WAIT_SECONDS="1", SL_REQUEST_CHANNEL=str(tmp_path / "none"))
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=180, env=environment, check=True)
    told = [line for line in done.stdout.splitlines() if "TOLD" in line]
    for rank in (0, 1):
        mine = f"this site trains in 2 processes (this is rank {rank})"
        assert sum(line.count(mine) for line in told) == 2, done.stdout + done.stderr


def test_one_process_under_torchrun_is_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """WORLD_SIZE 1, or a WORLD_SIZE that somebody else set without a rank, is one process."""
    from swarmlearning._torchranks import several_ranks

    assert several_ranks({}) == ""
    assert several_ranks({"WORLD_SIZE": "1", "RANK": "0"}) == ""
    assert several_ranks({"WORLD_SIZE": "8"}) == ""
    assert "8 processes (this is rank 7)" in several_ranks({"WORLD_SIZE": "8", "RANK": "7"})
