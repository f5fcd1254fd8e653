"""One table for the whole swarm: who does what, where it stands, and whom it waits for since when (V8).

Pure: rows are made of an SN's signs of life and the chain's list of members; drawing them is :mod:`.commands`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.core.alive import ENDED, SILENT_SECONDS

from . import shapes

COLUMNS = (
    "node",
    "role",
    "state",
    "round",
    "last seen",
    "in / out / disk",
    "waits for",
    "of",
    "since",
    "until",
    "then",
)
ADDRESS_CHARS = 10


def rows(members: Sequence[Mapping[str, Any]], signs: Sequence[Mapping[str, Any]]) -> list[shapes.NodeRow]:
    """One row a member, those in the swarm first, then by role and name.

    Args:
        members: ``node``, ``role``, ``status``, ``expires`` of everybody ever admitted.
        signs: an SN's ``/v1/alive``.
    """
    by_node = {s["node"]: s for s in signs}
    names = {s["node"]: s["name"] for s in signs if s["name"]}
    listed = {m["node"] for m in members}
    # The first SN owns the swarm and was admitted by nobody; its sign of life is all there is of it.
    owners = [
        {"node": s["node"], "role": s["role"], "status": "active", "expires": None}
        for s in signs
        if s["node"] not in listed
    ]
    found: list[shapes.NodeRow] = []
    for member in (*members, *owners):
        sign = by_node.get(member["node"])
        said: Mapping[str, Any] = (sign or {}).get("said") or {}
        # What a node said before it fell silent or ended is no news of now.
        here = bool(sign and sign["alive"] and sign["age_seconds"] < SILENT_SECONDS)
        ended = said.get("state") in ENDED
        found.append(
            {
                "node": member["node"],
                "name": names.get(member["node"], member["node"][: 2 + ADDRESS_CHARS]),
                "role": member["role"],
                "status": member["status"],
                "expires": member["expires"],
                "alive": bool(sign and sign["alive"]),
                "seen_seconds": None if sign is None else sign["age_seconds"],
                "sn": None if sign is None else sign["sn"],
                "state": _state(member, sign, said),
                "job": said.get("job") or None,
                "run": said.get("run"),
                "round": said.get("round") if said.get("job") else None,
                "behind": said.get("behind"),
                "leading": said.get("leading", "-") if here and not ended else "-",
                "epochs_done": said.get("epochs_done"),
                "epochs_total": said.get("epochs_total"),
                "loss": said.get("loss"),
                "metric": said.get("metric"),
                "bytes_in": said.get("bytes_in"),
                "bytes_out": said.get("bytes_out"),
                "disk_bytes": said.get("disk_bytes") if member["role"] == "sl" else None,
                "height": said.get("height"),
                "waits": _waits(sign, said, names) if sign and here and not ended else [],
            }
        )
    found.sort(key=lambda r: (r["status"] != "active", r["role"] != "sn", r["role"], r["name"]))
    return found


def cells(row: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The texts of a row: one line a wait, the first with everything else."""
    leading = " (leads)" if row["leading"] == "leader" else ""
    seen = "never" if row["seen_seconds"] is None else ago(row["seen_seconds"])
    first = (row["name"], row["role"], row["state"] + leading, _round(row), seen, counted(row))
    lines = [(w["what"], w["whom"], ago(w["since"]), until(w["until"]), w["then"]) for w in row["waits"]]
    lines = lines or [("-",) * 5]
    return [((first if i == 0 else ("",) * len(first)) + line) for i, line in enumerate(lines)]


def _round(row: Mapping[str, Any]) -> str:
    """The open round, and how many were merged since the model that the program trains from."""
    late = f" ({row['behind']} behind)" if row["behind"] and row["round"] is not None else ""
    return _text(row["round"]) + late


def counted(row: Mapping[str, Any]) -> str:
    """Model bytes that came in and went out since the process began, and those on its disk."""
    values = (row["bytes_in"], row["bytes_out"], row["disk_bytes"])
    return "-" if row["bytes_in"] is None else " / ".join("-" if v is None else size(v) for v in values)


def ago(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2 h``, ``5 d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def until(seconds: float | None) -> str:
    """A deadline so many seconds ahead: ``in 12 s``, ``now`` or ``-``."""
    if seconds is None:
        return "-"
    return f"in {ago(seconds)}" if seconds > 0 else "now"


def size(value: float) -> str:
    """Bytes with a unit of powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def _state(member: Mapping[str, Any], sign: Mapping[str, Any] | None, said: Mapping[str, Any]) -> str:
    if member["status"] != "active":
        return str(member["status"])
    if sign is None:
        return "admitted, never heard of"
    if not sign["alive"]:
        return "gone"
    state = str(said.get("state") or "seen")
    silent = sign["age_seconds"] >= SILENT_SECONDS and member["role"] == "sl" and state not in ENDED
    return f"silent, was {state}" if silent else state


def _waits(sign: Mapping[str, Any], said: Mapping[str, Any], names: Mapping[str, str]) -> list[shapes.Wait]:
    return [_wait(w, sign["age_seconds"], names) for w in said.get("waits", [])]


def _wait(wait: Mapping[str, Any], age: float, names: Mapping[str, str]) -> shapes.Wait:
    """As of now: the message is ``age`` seconds old."""
    until = wait["until"]
    whom = ", ".join(names.get(one, one) for one in wait["whom"].split(", "))
    since = wait["since"] + age
    left = None if until is None or until <= age else until - age
    return {"what": wait["what"], "whom": whom, "since": since, "until": left, "then": wait["then"]}


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
