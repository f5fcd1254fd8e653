"""Judging a demo: from what the processes said to one report; reads no file and opens no connection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Final:
    """One site's final model file."""

    site: str
    sha256: str
    blob: str
    """Chunk root, as on chain."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Accuracy and AUC on the common hold-out, both within 0..1."""

    accuracy: float
    auc: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is known when the run has ended."""

    chain: str
    statuses: Sequence[Mapping[str, Any]]
    """The last ``/v1/status`` of each SL, in the order of the sites."""
    record: Mapping[str, Any]
    """What ``swarm audit --json`` says: the chain's record of the run."""
    finals: Sequence[Final]
    alone: Sequence[Quality]
    swarm: Sequence[Quality]
    central: Quality
    transactions: int


def faults(outcome: Outcome) -> list[str]:
    """Sentences that say why the demo did not succeed; empty when it did."""
    found = []
    if outcome.record["phase"] != "complete":
        reason = outcome.record.get("reason")
        found.append(f"the run is {outcome.record['phase']} on chain{f': {reason}' if reason else ''}")
    if len({final.sha256 for final in outcome.finals}) != 1:
        told = ", ".join(f"{final.site} {final.sha256[:12]}" for final in outcome.finals)
        found.append(f"the final models differ: {told or 'there are none'}")
    recorded = _plain_hex(outcome.record.get("final") or "")
    found.extend(
        f"{final.site}'s model file is blob {final.blob[:12]}, the chain's final one {recorded[:12] or 'missing'}"
        for final in outcome.finals
        if final.blob != recorded
    )
    return found


def build(outcome: Outcome) -> dict[str, Any]:
    """The content of report.json."""
    seconds = round_seconds(outcome.statuses)
    return {
        "nodes": len(outcome.statuses),
        "rounds": len(outcome.record["rounds"]),
        "chain": outcome.chain,
        "round_seconds": {
            "p50": _rounded(percentile(seconds, 0.5)),
            "p90": _rounded(percentile(seconds, 0.9)),
        },
        "final_sha256": [final.sha256 for final in outcome.finals],
        "auc": _three(outcome, "auc"),
        "accuracy": _three(outcome, "accuracy"),
        "transactions": outcome.transactions,
        "leaders": leaders(outcome),
    }


def _three(outcome: Outcome, name: str) -> dict[str, Any]:
    # All sites hold the same final model, so that the first one's score is the swarm's.
    return {
        "alone": [getattr(quality, name) for quality in outcome.alone],
        "swarm": getattr(outcome.swarm[0], name),
        "central": getattr(outcome.central, name),
    }


def leaders(outcome: Outcome) -> list[str]:
    """Who led each round, in order; named as the site where its address is known."""
    names = {str(s.get("node")): str(s["name"]) for s in outcome.statuses}
    return [names.get(entry["leader"], entry["leader"]) for entry in outcome.record["rounds"]]


def round_seconds(statuses: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds from a round's last check-in to the last node's load; rounds that not all nodes saw are left out."""
    begun: dict[int, list[float]] = {}
    ended: dict[int, list[float]] = {}
    for status in statuses:
        for entry in status.get("rounds", []):
            if entry.get("check_in_at") is not None and entry.get("loaded_at") is not None:
                number = int(entry["round"])
                begun.setdefault(number, []).append(moment(entry["check_in_at"]))
                ended.setdefault(number, []).append(moment(entry["loaded_at"]))
    whole = [r for r in sorted(begun) if len(begun[r]) == len(statuses)]
    return [max(0.0, max(ended[r]) - max(begun[r])) for r in whole]


def moment(value: float | str) -> float:
    """A point in time in seconds, from seconds or ISO 8601 text."""
    return float(value) if isinstance(value, int | float) else datetime.fromisoformat(value).timestamp()


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least ``part`` of all do not exceed; NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _plain_hex(text: str) -> str:
    return text.lower().removeprefix("0x")


# ---- several seeds

AUC_BELOW_BEST_MAX = 0.002
AUC_BELOW_CENTRAL_MAX = 0.01
ACCURACY_ABOVE_ALONE_MIN = 0.01


def summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and whether the swarm is worth it: the three conditions of the project."""

    def mean(values: Sequence[float]) -> float:
        return round(math.fsum(values) / len(values), 5)

    found = {
        "auc_best_alone": mean([max(r["auc"]["alone"]) for r in reports]),
        "auc_swarm": mean([r["auc"]["swarm"] for r in reports]),
        "auc_central": mean([r["auc"]["central"] for r in reports]),
        "accuracy_mean_alone": mean([mean(r["accuracy"]["alone"]) for r in reports]),
        "accuracy_swarm": mean([r["accuracy"]["swarm"] for r in reports]),
        "accuracy_central": mean([r["accuracy"]["central"] for r in reports]),
    }
    return {
        **found,
        "auc_not_below_best_alone": found["auc_swarm"] >= found["auc_best_alone"] - AUC_BELOW_BEST_MAX,
        "auc_near_central": abs(found["auc_swarm"] - found["auc_central"]) <= AUC_BELOW_CENTRAL_MAX,
        "accuracy_above_alone": (found["accuracy_swarm"] >= found["accuracy_mean_alone"] + ACCURACY_ABOVE_ALONE_MIN),
    }
