"""``swarm audit --recompute``: merge a run's rounds again from the model files that this host's SL still keeps.

Owns reading the record and the verdicts; the arithmetic and the files are the same as in a round (V3). Only reads what
the SL keeps: results are made in a folder of their own. An SL holds all inputs of rounds that it led, and no others'.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from swarm.core.control.joboptions import weighing_of
from swarm.core.control.weights import Weighing
from swarm.core.errors import LocalFault, OperatorFault
from swarm.core.ids import BlobId, from_hex, to_hex
from swarm.core.merge import SHARE_TOLERANCE, Anchor, Measured, get
from swarm.core.merge.outer import split
from swarm.store.blobs import BlobStore

from .merging import SMALL_WINDOW_BYTES, find_shares, merge_files
from .modelfiles import UnusableInput

Found = Literal["equal", "DIFFERENT", "not here"]
EXIT_EQUAL, EXIT_DIFFERENT, EXIT_NOTHING, EXIT_PARTLY = 0, 1, 4, 5


def recomputed(state: Path, record: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """One row a committed round (``round``, ``found`` and ``why``), and what the command ends with.

    That is 0 if every round has the recorded hash, 1 if one has not, 4 if none could be judged, and 5 if those that
    could be judged have it but others could not: a round that was not looked at is no round that was found right.

    Args:
        state: the SL's state folder; the SL may be running.
        record: the JSON of ``swarm audit``.

    Raises:
        OperatorFault: no SL has kept model files there.
    """
    if not (state / "store" / "blobs").is_dir():
        raise OperatorFault(f"--state-dir={state}: no SL keeps model files there: name its state folder")
    store = BlobStore(state / "store")
    merged = {r["round"]: r["merged"] for r in record["rounds"]}
    weighing = weighing_of(record["options"])
    rows = []
    verdict: Found
    for one in record["rounds"]:
        if record.get("earlier") is not None:
            verdict, why = "not here", "an earlier chain's round: what went into it was not carried over"
        else:
            verdict, why = _judge(one, merged, weighing, store)
        rows.append({"round": one["round"], "found": verdict, "why": why})
    found = {row["found"] for row in rows}
    if "DIFFERENT" in found:
        return rows, EXIT_DIFFERENT
    if "equal" not in found:
        return rows, EXIT_NOTHING
    return rows, EXIT_PARTLY if "not here" in found else EXIT_EQUAL


def _judge(
    one: Mapping[str, Any], merged: Mapping[int, str], weighing: Weighing, store: BlobStore
) -> tuple[Found, str]:
    used = [c for c in one["contributions"] if c["weight"]]
    number, recorded = one["round"], one["merged"]
    if not used:
        same = recorded == merged.get(number - 1)
        return ("equal" if same else "DIFFERENT"), "nobody had a weight: the model before holds on"
    try:
        name, outer = split(one["method"])
        method = get(name)
    except OperatorFault as fault:
        return "not here", str(fault)
    inputs = [_path(store, c["blob"]) for c in used]
    previous = _path(store, merged.get(number - 1)) if number else None
    before = _path(store, merged.get(number - 2)) if number > 1 and outer is not None and outer.mu else None
    anchored = isinstance(method, Measured) and method.anchor is Anchor.PREVIOUS
    lacks = [f"{inputs.count(None)} of {len(used)} inputs"] if None in inputs else []
    lacks += [f"the model of round {number - 1}"] if number and previous is None and (anchored or outer) else []
    lacks += [f"the model of round {number - 2}"] if number > 1 and before is None and outer and outer.mu else []
    if lacks:
        return "not here", f"this SL does not hold {' and '.join(lacks)} (any more)"
    paths = [path for path in inputs if path is not None]
    shares = [c["coefficient"] for c in used]
    try:
        counted = weighing.counted([c["weight"] for c in used], [c["behind"] for c in used])
        wanted = find_shares(paths, counted, method, previous)
        with _made() as (out, results):
            merge_files(paths, shares, out, method, previous=previous, outer=outer, before=before, window=_WINDOW)
            blob, _ = results.add_file(out, move=True)
    except FileNotFoundError:
        return "not here", "the SL has let a file go meanwhile"
    except (UnusableInput, LocalFault) as fault:
        return "DIFFERENT", f"the recorded inputs cannot be merged: {fault}"
    if to_hex(blob) != recorded:
        return "DIFFERENT", f"its {len(used)} inputs give {to_hex(blob)}"
    if any(abs(a - b) > SHARE_TOLERANCE for a, b in zip(shares, wanted, strict=True)):
        return "DIFFERENT", f"the shares should be {', '.join(f'{share:.6f}' for share in wanted)}"
    return "equal", f"merged again from {len(used)} inputs"


_WINDOW = SMALL_WINDOW_BYTES
"""The SL beside this command may need the memory."""


def _path(store: BlobStore, blob: str | None) -> Path | None:
    wanted = None if blob is None else BlobId(from_hex(blob, 32))
    return store.path(wanted) if wanted is not None and store.has(wanted) else None


@contextmanager
def _made() -> Iterator[tuple[Path, BlobStore]]:
    """A place for one result, in TMPDIR, and what hashes it."""
    with tempfile.TemporaryDirectory(prefix="swarm-recompute-") as folder:
        results = BlobStore(Path(folder))
        yield results.scratch("merged"), results
