"""Which model a warm-started run begins from: found on chain, or refused by name."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.chain.training import Training
from swarm.core.chain_view import Merged, Phase
from swarm.core.control.joboptions import JobOptions, canonical
from swarm.core.errors import OperatorFault
from swarm.core.ids import BlobId, sha256
from swarm.sl.origin import find_origin

JOB = sha256(b"job")


class Record:
    """The contract's two views on old runs: run 2 has so many rounds."""

    def __init__(self, rounds: int, phase: Phase = Phase.COMPLETE) -> None:
        self.rounds, self.phase, self.asked = rounds, phase, 0

    last_round = Training.last_round

    async def phase_of(self, job: bytes, run: int) -> Phase:
        return self.phase if (job, run) == (JOB, 2) else Phase.NONE

    async def merged_of(self, job: bytes, run: int, round_: int) -> Merged | None:
        self.asked += 1
        return Merged(blob(round_), 100 + round_) if (job, run) == (JOB, 2) and round_ < self.rounds else None


def blob(round_: int) -> BlobId:
    return BlobId(sha256(b"round %d" % round_))


@given(rounds=st.integers(1, 100_000))
async def test_the_final_model_is_the_last_rounds(rounds: int) -> None:
    """Found in a few questions, however long the run was."""
    record = Record(rounds)
    found = await find_origin(cast(Training, record), JOB, 2)
    assert (found.run, found.blob, found.size, found.fault) == (2, blob(rounds - 1), 99 + rounds, "")
    assert record.asked <= 2 * rounds.bit_length() + 2


@pytest.mark.parametrize(
    ("run", "phase", "why"),
    [
        (3, Phase.COMPLETE, "there is no such run"),
        (2, Phase.FAILED, "it is failed, not complete"),
        (2, Phase.OPEN, "it is open, not complete"),
    ],
)
async def test_a_run_without_a_final_model_is_refused_by_name(run: int, phase: Phase, why: str) -> None:
    """What the program is told."""
    found = await find_origin(cast(Training, Record(5, phase)), JOB, run)
    assert found.fault == f"run {run} of this job has no final model: {why}"


@pytest.mark.parametrize("start", [{}, {"run": 0}, {"run": True}, {"run": "1"}, {"run": 1, "job": "other"}, 1, [1]])
def test_the_option_is_read_strictly(start: Any) -> None:
    """An earlier run of this job, by its number, and nothing else."""
    assert JobOptions.from_text(canonical({"warmStart": {"run": 3}})).warm_start == 3
    with pytest.raises(OperatorFault, match="warmStart"):
        canonical({"warmStart": start})
