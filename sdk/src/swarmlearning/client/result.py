"""What a program leaves at its end: the swarm's model, its own last one, and a page that says which is which.

Owns the folder, the names and the forms of these files, and the verdict whether this program's training went into
the swarm's model at all. No fault of a file ever stops a program; what stops it in strict mode is the callback's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

import numpy.typing as npt

from .. import tensorfile
from .pipe.places import exchange_dir

__all__ = ["FINAL_NAME", "OWN_NAME", "RESULT_NAME", "Ending", "ResultFiles", "alone", "read_record"]

FORMAT = "swarm.result.1"
RESULT_NAME, FINAL_NAME, OWN_NAME = "swarm-result.json", "swarm-final.safetensors", "own-last.safetensors"
MODES = ("on", "light", "off")
RECORD_CHARS_MAX = 64 * 1024
CONTRIBUTORS_MAX = 250
SPANS_MAX = 1000
COUNT_MAX = 2**53
METHOD_CHARS_MAX = 32
CHUNK_BYTES = 4 << 20
"""A blob's name is a root over hashes of chunks of this size (docs/wire-formats.md)."""
_BLOB_MAGIC = b"swarm.blob.v1\x00\x01"
_NODE = re.compile(r"0x[0-9a-f]{40}\Z")

Arrays = Mapping[str, "npt.NDArray[Any]"]


@dataclass(frozen=True)
class Ending:
    """How a program came to its end.

    Attributes:
        began: a merged model was loaded before the end of training.
        came_late: the run was over when the first one was loaded.
    """

    loopback: bool
    strict: bool
    began: bool
    came_late: bool


class ResultFiles:
    """The result files of one callback.

    Args:
        loopback: without a swarm, files are written only where SWARM_RESULT_DIR says so.
        environ: where SWARM_RESULT (on; light: without models; off) and SWARM_RESULT_DIR (default: ``result`` in the
            exchange folder) stand.

    Raises:
        ValueError: SWARM_RESULT is none of these.
    """

    def __init__(self, *, logger: Any, loopback: bool, environ: Optional[Mapping[str, str]] = None) -> None:
        source = os.environ if environ is None else environ
        self.mode = source.get("SWARM_RESULT", "").strip().lower() or "on"
        if self.mode not in MODES:
            raise ValueError(f"SWARM_RESULT is {self.mode[:40]!r}, allowed are {', '.join(MODES)}.")
        given = source.get("SWARM_RESULT_DIR", "")
        if loopback and not given:
            self.mode = "off"
        self.folder = Path(given) if given else exchange_dir(source) / "result"
        self._logger = logger
        self._models: dict[str, dict[str, Any]] = {}

    def keep_own(self, parameters: Arrays, platform: str) -> None:
        """Write the program's own model, as it is before the last merge."""
        if self.mode == "on":
            path = self.folder / OWN_NAME
            try:
                self._prepare()
                tensorfile.write(path, parameters, {"platform": platform}, mode=0o600)
                self._models["own"] = {"file": OWN_NAME, "sha256": _hashes(path)[0]}
            except (OSError, tensorfile.TensorFileError) as fault:
                self._cannot(OWN_NAME, fault)

    def keep_final(self, merged: Path, blob: str) -> None:
        """Copy the swarm's model, byte for byte, if it is the one that the chain names.

        Args:
            merged: the file that the SL handed over last.
            blob: its name on chain, 64 hex digits.
        """
        if self.mode == "off":
            return
        try:
            self._prepare()
            if self.mode == "light":
                sha256, root = _hashes(merged)
            else:
                with open(merged, "rb") as source, tensorfile.atomic_file(self.folder / FINAL_NAME) as out:
                    sha256, root = _hashes(merged, source, out)
                    if root != blob:
                        raise ValueError(f"the SL handed over model 0x{root}, the chain's is 0x{blob}")
            kept = {} if self.mode == "light" else {"file": FINAL_NAME}
            self._models["final"] = {**kept, "sha256": sha256, "blob": f"0x{root}", "verified": root == blob}
        except (OSError, ValueError) as fault:
            self._cannot(FINAL_NAME, fault)

    def tell(self, said: Mapping[str, Any]) -> None:
        """Write ``swarm-result.json``: ``said``, and which files lie beside it."""
        if self.mode == "off":
            return
        page = {"format": FORMAT, **said, "final": self._models.get("final"), "own": self._models.get("own")}
        try:
            self._prepare()
            with tensorfile.atomic_file(self.folder / RESULT_NAME) as file:
                file.write(json.dumps(page, indent=1, default=str).encode() + b"\n")
        except OSError as fault:
            self._cannot(RESULT_NAME, fault)
        else:
            self._logger.info("What the training came to stands in %s.", self.folder / RESULT_NAME)

    def conclude(self, said: Mapping[str, Any], ending: Ending, record: str) -> tuple[Optional[str], bool]:
        """Leave the result page at the end of training.

        Args:
            record: what the SL says of the run.

        Returns:
            a sentence if this program trained alone, else None; and whether this site or its swarm is strict.
        """
        found: Optional[dict[str, Any]] = None
        try:
            found = read_record(record)
        except ValueError as fault:
            self._logger.warning("The result page has no rounds: %s", fault)
        why = alone(found, ending)
        strict = ending.strict or bool(found and found["strict"])
        verdict = {"verdict": "alone" if why else "in_swarm", "reason": why, "strict": strict}
        self.tell({**said, **(found or {}), **verdict})
        text = f"This program trained alone, nothing of it is in the swarm's model: {why}."
        return (None if why is None else text), strict

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _cannot(self, name: str, fault: Exception) -> None:
        self._logger.warning("%s cannot be written to %s: %s", name, self.folder, fault)


def _hashes(path: Path, source: Any = None, out: Any = None) -> tuple[str, str]:
    """SHA-256 of a file, and its blob's name; ``out`` gets a copy on the way."""
    whole, chunks, size = hashlib.sha256(), [], 0
    with open(path, "rb") if source is None else source as file:
        while piece := file.read(CHUNK_BYTES):
            whole.update(piece)
            chunks.append(hashlib.sha256(piece).digest())
            size += len(piece)
            if out is not None:
                out.write(piece)
    head = _BLOB_MAGIC + struct.pack(">QII", size, CHUNK_BYTES, len(chunks))
    return whole.hexdigest(), hashlib.sha256(head + b"".join(chunks)).hexdigest()


def read_record(text: str) -> Optional[dict[str, Any]]:
    """What the SL says of the run (docs/wire-formats.md, section 6); None if it says nothing.

    Raises:
        ValueError: it is out of bounds, or of another form.
    """
    if not text:
        return None
    if len(text) > RECORD_CHARS_MAX:
        raise ValueError(f"the SL's record has {len(text)} characters, allowed are {RECORD_CHARS_MAX}")
    try:
        body = json.loads(text)
    except RecursionError:
        raise ValueError("the SL's record is nested too deep") from None
    if not isinstance(body, dict) or not _is_node(body.get("node")) or type(body.get("strict")) is not bool:
        raise ValueError("the SL's record names no node, or does not say whether it is strict")
    found: dict[str, Any] = {"node": body["node"], "strict": body["strict"]}
    for name in ("run", "rounds", "own_rounds"):
        found[name] = _count(name, body.get(name, 0))
    method = body.get("method", "")
    if not isinstance(method, str) or len(method) > METHOD_CHARS_MAX:
        raise ValueError("the SL's record names no merge method")
    found["method"] = method
    contributors = _list("contributors", body.get("contributors", []), CONTRIBUTORS_MAX)
    found["contributors"] = [_contributor(one) for one in contributors]
    spans = _list("took_part", body.get("took_part", []), SPANS_MAX)
    for span in spans:
        if not isinstance(span, list) or len(span) != 2 or _count("span", span[0]) > _count("span", span[1]):
            raise ValueError("the SL's record has spans of rounds that are no [first, last]")
    found["took_part"] = spans
    return found


def _is_node(value: Any) -> bool:
    return isinstance(value, str) and _NODE.match(value) is not None


def _count(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise ValueError(f"the SL's record: {name} is no number from 0 to {COUNT_MAX}")
    return value


def _list(name: str, value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"the SL's record: {name} is no list of at most {most}")
    return value


def _contributor(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict) or not _is_node(one.get("node")):
        raise ValueError("the SL's record has a contributor without a node")
    share = one.get("share")
    if (type(share) is not float and type(share) is not int) or not 0.0 <= share <= 1.0:
        raise ValueError("the SL's record has a contributor whose share is not within 0..1")
    return {"node": one["node"], "weight": _count("weight", one.get("weight")), "share": float(share)}


def alone(record: Optional[Mapping[str, Any]], ending: Ending) -> Optional[str]:
    """Why nothing that this program learnt went into the swarm's model; None if something did, or nobody can say.

    Args:
        record: what ``read_record`` gave.
    """
    if ending.loopback:
        return "SWARM_LOOPBACK is set, so no swarm was asked. Unset it to train with the others"
    if record is None or (record["took_part"] and record["took_part"][-1][1] >= 1):
        return None
    if ending.came_late:
        return (
            f"run {record['run']} was complete before this program came. An operator resets the job (swarm reset) for"
            " another run"
        )
    if not ending.began:
        return "none of the callback's hooks was called before on_train_end: pass the callback to fit(), or call them"
    if record["took_part"]:
        return "only its initial model was merged: later it was left out or only watched; its SL's log says why"
    return "it was left out of every round, or only watched (weight 0, or NaN in the model); its SL's log says why"
