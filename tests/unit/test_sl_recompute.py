"""What ``swarm audit --recompute`` finds: equal, different, or not here; never the one for the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swarm.core.errors import OperatorFault
from swarm.core.ids import BlobId, to_hex
from swarm.core.merge import get
from swarm.sl.merging import merge_files
from swarm.sl.recompute import recomputed
from swarm.store.blobs import BlobStore
from swarmlearning import tensorfile


def model(store: BlobStore, value: float) -> BlobId:
    path = store.scratch("model")
    tensorfile.write(path, {"w": np.full(7, value, np.float32)}, {"platform": "numpy"})
    return store.add_file(path, move=True)[0]


@pytest.fixture
def kept(tmp_path: Path) -> tuple[BlobStore, dict[str, Any]]:
    """An SL's store, and the record of a round that merged two of its models with shares of 1/4 and 3/4."""
    store = BlobStore(tmp_path / "store")
    inputs = [model(store, 1.0), model(store, 5.0)]
    out = store.scratch("merged")
    merge_files([store.path(b) for b in inputs], [0.25, 0.75], out, get("mean"))
    merged, _ = store.add_file(out, move=True)
    parts = [
        {"blob": to_hex(b), "weight": w, "behind": 0, "coefficient": c}
        for b, w, c in zip(inputs, (1, 3), (0.25, 0.75), strict=True)
    ]
    one = {"round": 0, "method": "mean", "merged": to_hex(merged), "contributions": parts}
    idle = {**one, "round": 1, "contributions": [{**parts[0], "weight": 0}]}
    return store, {"options": "", "rounds": [one, idle]}


def found(store: BlobStore, record: dict[str, Any]) -> tuple[list[str], int]:
    rows, code = recomputed(store.root.parent, record)
    assert [row["round"] for row in rows] == [one["round"] for one in record["rounds"]]
    return [row["found"] for row in rows], code


def test_a_round_as_recorded_is_equal(kept: tuple[BlobStore, dict[str, Any]]) -> None:
    """Also one in which nobody had a weight: it must be the model before. The SL's own files are as they were."""
    store, record = kept
    before = store.usage()
    assert found(store, record) == (["equal", "equal"], 0)
    assert store.usage() == before


@pytest.mark.parametrize("wrong", ["model", "shares", "carried"])
def test_a_record_that_does_not_follow_from_its_inputs_is_different(
    kept: tuple[BlobStore, dict[str, Any]], wrong: str
) -> None:
    """Another model than its inputs give; shares other than the weights'; a model that changed in an idle round."""
    store, record = kept
    one, idle = record["rounds"]
    if wrong == "model":
        one["merged"] = idle["merged"] = to_hex(model(store, 4.5))
        assert found(store, record) == (["DIFFERENT", "equal"], 1)
    elif wrong == "shares":
        for part in one["contributions"]:
            part["weight"] = 1
        assert found(store, record) == (["DIFFERENT", "equal"], 1)
    else:
        idle["merged"] = to_hex(model(store, 4.5))
        assert found(store, record) == (["equal", "DIFFERENT"], 1)


def test_a_round_whose_files_are_gone_is_not_judged(kept: tuple[BlobStore, dict[str, Any]]) -> None:
    """Neither equal nor different, and a command that could judge nothing says so by its exit code."""
    store, record = kept
    record["rounds"].pop()
    store.remove(BlobId(bytes.fromhex(record["rounds"][0]["contributions"][1]["blob"][2:])))
    assert found(store, record) == (["not here"], 4)
    assert "1 of 2 inputs" in recomputed(store.root.parent, record)[0][0]["why"]
    record["rounds"][0]["method"] = "a-method-of-another-site"
    assert found(store, record) == (["not here"], 4)
    with pytest.raises(OperatorFault, match="no SL keeps model files there"):
        recomputed(store.root.parent / "elsewhere", record)


def test_a_round_that_was_not_judged_is_not_taken_for_right(kept: tuple[BlobStore, dict[str, Any]]) -> None:
    """One round is equal, another's files are gone: an exit code of its own. One that differs goes before that."""
    store, record = kept
    one, _ = record["rounds"]
    gone = {**one, "round": 2, "merged": to_hex(model(store, 9.0))}
    gone["contributions"] = [{**part, "blob": "0x" + f"{i:064x}"} for i, part in enumerate(one["contributions"], 1)]
    record["rounds"].append(gone)
    assert found(store, record) == (["equal", "equal", "not here"], 5)
    one["merged"] = to_hex(model(store, 4.5))
    assert found(store, record)[1] == 1


def test_a_weight_that_did_not_count_whole_gives_the_shares_of_what_it_counted(
    kept: tuple[BlobStore, dict[str, Any]],
) -> None:
    """The claim stands in the record; the shares follow from what the job's rule made of it."""
    store, record = kept
    record["rounds"][0]["contributions"][1]["weight"] = 2**32 - 1
    assert found(store, record) == (["DIFFERENT", "equal"], 1)
    record["options"] = '{"maxWeight":3}'
    assert found(store, record) == (["equal", "equal"], 0)


@pytest.mark.row("D07")
def test_a_late_model_gives_the_shares_that_its_discount_leaves_it(kept: tuple[BlobStore, dict[str, Any]]) -> None:
    """A weight of 6 one round behind is one of 3 with alpha 1: who holds the inputs finds those shares again."""
    store, record = kept
    late = record["rounds"][0]["contributions"][1]
    late["weight"], late["behind"] = 6, 1
    assert found(store, record) == (["DIFFERENT", "equal"], 1)
    record["options"] = '{"staleness":{"alpha":1}}'
    assert found(store, record) == (["equal", "equal"], 0)
    late["behind"] = 2
    assert found(store, record) == (["DIFFERENT", "equal"], 1)
