"""One merge as an SL does it: the engine's wish, the store's files, this site's options; runs in a thread.

The arithmetic is ``core.merge``, reading and writing of the files ``merging``; what a result means is the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm.core.engine.actions import Merge
from swarm.core.errors import LocalFault, OperatorFault
from swarm.core.ids import ZERO32, BlobId, to_hex
from swarm.core.merge import SHARE_TOLERANCE, Anchor, Measured, get
from swarm.obs import log as obs_log
from swarm.store.blobs import BlobStore

from .merging import SMALL_WINDOW_BYTES, WINDOW_BYTES, find_shares, merge_files

log = obs_log.get("swarm.SL")

CLIPPED = "mean-clipped"


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """This site's options for the merges that it leads; none changes a byte of another site's."""

    ram_intensive: bool = True
    """False: windows of an eighth, for sites short of memory (row E09)."""
    clip: bool = False
    """Weighted means are taken of updates clipped to their median length."""
    norm_log: bool = False
    """Measure how far each contribution lies from the model before, show and log it."""

    def method(self, asked: str) -> str:
        """The method used where the program asks for ``asked``; medians bound outliers by themselves."""
        return CLIPPED if self.clip and asked.lower() == "mean" else asked.lower()


@dataclass(frozen=True, slots=True)
class MergedFile:
    """``norms``: contributor (0x-hex) -> L2 norm of its difference to the model before; None if not measured."""

    path: Path
    coefficients: tuple[float, ...]
    norms: dict[str, float] | None


def merge_inputs(store: BlobStore, action: Merge, options: MergeOptions) -> MergedFile:
    """Find the shares (or take the recorded ones) and merge into a scratch file of the store.

    Raises:
        UnusableInput: an input cannot be used; ``index`` says which.
        LocalFault: this node lacks a file, or cannot write.
        OperatorFault: no such method on this node.
    """
    name, method = action.name, get(action.method)
    weights = [weight for _, _, weight in action.inputs]
    paths = [store.path(blob) for _, blob, _ in action.inputs]
    previous = _previous(store, name.prev)
    if isinstance(method, Measured) and method.anchor is Anchor.PREVIOUS and name.prev != ZERO32 and previous is None:
        raise LocalFault(f"the merge method {method.name} needs the previous merged model, which is not here yet")
    found = find_shares(paths, weights, method, previous)
    recorded = found if action.coefficients is None else action.coefficients
    if any(abs(a - b) > SHARE_TOLERANCE for a, b in zip(recorded, found, strict=True)):
        log.warning(
            "the recorded shares of a merge do not follow from its inputs",
            round=name.round,
            incident="merge",
            recorded=[round(c, 6) for c in recorded],
            computed=[round(c, 6) for c in found],
        )
    outer, before = action.outer, action.before
    if outer is not None and name.prev != ZERO32 and previous is None:
        raise LocalFault("the job's outer optimiser needs the previous merged model, which is not here yet")
    older = store.path(before) if outer is not None and before is not None else None
    out = store.scratch(f"merged-{name.run}-{name.round}-{action.attempt}")
    window = WINDOW_BYTES if options.ram_intensive else SMALL_WINDOW_BYTES
    wanted = options.norm_log and previous is not None
    norms = merge_files(
        paths, recorded, out, method, previous=previous, outer=outer, before=older, norms=wanted, window=window
    )
    nodes = [to_hex(node) for node, _, _ in action.inputs]
    shown = None if norms is None else {node: float(f"{v:.6g}") for node, v in zip(nodes, norms, strict=True)}
    return MergedFile(out, recorded, shown)


def _previous(store: BlobStore, prev: bytes) -> Path | None:
    return store.path(BlobId(prev)) if prev != ZERO32 and store.has(BlobId(prev)) else None


def expected_coefficients(method: str, weights: Sequence[int]) -> tuple[float, ...] | None:
    """What acknowledgers expect; None for a method this node does not have (a site's own)."""
    try:
        return get(method).coefficients(weights)
    except OperatorFault:
        return None
