"""When a callback writes its resume file, and whether a restarted program may use the one it finds.

Owns the settings SWARM_RESUME and SWARM_RESUME_DIR, the pace of writing and the sentences; the file is
``resumefile``'s. No fault of the file ever stops training: it is said once, and the program starts fresh.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from ..tensorfile import TensorArrays
from . import resumefile
from .pipe.places import exchange_dir
from .pipe.session import MergedModel
from .resumefile import ResumeFileError, ResumePoint

__all__ = ["Resume", "State"]

SHARE_OF_TIME = 0.02
"""The file is written as often as this share of the program's time allows, whatever the model's size;"""
FRESH_SECONDS, CHEAP_SECONDS = 1.0, 0.1
"""but one that takes less than the second of these is at most the first one old."""
MODES = ("on", "light", "off")

State = Tuple[Dict[str, npt.NDArray[Any]], Dict[str, Any]]
"""What a framework keeps: arrays by name, and notes that are JSON."""


class Resume:
    """The resume file of one callback.

    Args:
        job: name of the job.
        environ: where SWARM_RESUME (on; light: without optimiser state; off) and SWARM_RESUME_DIR stand.

    Raises:
        ValueError: SWARM_RESUME is none of these.
    """

    def __init__(
        self,
        job: str,
        *,
        logger: Any,
        environ: Optional[Mapping[str, str]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        source = os.environ if environ is None else environ
        text = source.get("SWARM_RESUME", "").strip().lower() or "on"
        self.mode = {"true": "on", "1": "on", "false": "off", "0": "off"}.get(text, text)
        if self.mode not in MODES:
            raise ValueError(f"SWARM_RESUME is {text[:40]!r}, allowed are {', '.join(MODES)}.")
        self._job, self._logger, self._clock = job, logger, clock
        self._folder = Path(source.get("SWARM_RESUME_DIR") or exchange_dir(source) / "resume")
        self._path = resumefile.path_for(self._folder, job)
        self._written_at, self._cost = -np.inf, 0.0
        self._broken = False

    def take_up(self, merged: Optional[MergedModel], manifest: str) -> Optional[tuple[ResumePoint, TensorArrays]]:
        """What an earlier process of this program left for the run of ``merged``, or None; says which and why."""
        if merged is None:
            return None  # an SL that does not name its models
        try:
            resumefile.prepare_folder(self._folder)
            self._sweep()
            if self.mode == "off":
                self._path.unlink(missing_ok=True)
                self._logger.info("SWARM_RESUME=off: this program starts fresh, from the swarm's model.")
                return None
            found = resumefile.read(self._path)
        except (ResumeFileError, OSError) as fault:
            self._logger.warning("The resume file is not used, this program starts fresh: %s", fault)
            return None
        if found is None:
            return None
        why = _foreign(found[0], self._job, merged, manifest)
        if why is not None:
            self._logger.info("A resume file is there but ignored: %s.", why)
            return None
        return found

    def _sweep(self) -> None:
        """Remove what writers that were killed left unfinished."""
        for part in self._folder.glob(f".{self._path.name}.*.part"):
            part.unlink(missing_ok=True)

    def keep(self, point: Callable[[], tuple[ResumePoint, State]], *, now_or_never: bool = False) -> None:
        """Write the file, unless that would take more than its share of the time; never raises for the file."""
        began = self._clock()
        if self.mode == "off" or self._broken:
            return
        if not now_or_never and began - self._written_at < pause_after(self._cost):
            return
        try:
            resumefile.prepare_folder(self._folder)
            where, (tensors, notes) = point()
            resumefile.write(self._path, ResumePoint(**{**vars(where), "notes": notes}), tensors)
        except (ResumeFileError, OSError) as fault:
            self._broken = True
            self._logger.warning("No resume file can be written; a restarted program will start fresh: %s", fault)
        self._written_at = self._clock()
        self._cost = self._written_at - began

    def finished(self) -> None:
        """The run is over for this program: there is nothing to go on from."""
        if self.mode != "off" and not self._broken:
            self._path.unlink(missing_ok=True)


def pause_after(cost: float) -> float:
    """How long no file is written after one that took ``cost``; both in seconds."""
    return max(min(FRESH_SECONDS, cost / SHARE_OF_TIME), (cost - CHEAP_SECONDS) / SHARE_OF_TIME)


def _foreign(point: ResumePoint, job: str, merged: MergedModel, manifest: str) -> Optional[str]:
    """Why a file is not of this run and model, or None."""
    if (point.job, point.swarm) != (job, merged.swarm):
        return "it belongs to another job or another swarm"
    if point.run != merged.run:
        return f"it belongs to run {point.run}, this is run {merged.run}"
    if point.manifest != manifest:
        return "it belongs to another model (names, shapes or types of its parameters differ)"
    if point.round > merged.round or (point.round == merged.round and point.blob != merged.blob):
        return f"it stands after another round {point.round} than the swarm's"
    return None
