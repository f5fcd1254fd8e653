"""JSON Schema (draft 2020-12) of a command's JSON: the envelope, with the shape of ``data`` that its row names."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from swarm.inspect import shapes, shapes_host, shapes_tasks
from swarm.swci.table import Line

from .output import RUNNING, SCHEMA_VERSION, STATUSES

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHAPES: dict[str, Any] = {
    "Standing": shapes.Standing,
    "Nodes": list[shapes.Node],
    "Waiting": list[shapes.WaitRow],
    "Members": list[shapes.MemberRow],
    "Jobs": list[shapes.JobName],
    "Job": shapes.Job,
    "JobStands": shapes.JobStands,
    "JobsStand": dict[str, shapes.JobStands],
    "JobOptions": shapes.JobOptions,
    "Runs": list[shapes.RunRow],
    "Run": shapes.Run,
    "Figures": list[shapes.Figure],
    "Step": shapes_host.Step,
    "Tasks": list[shapes_tasks.TaskName],
    "Task": shapes_tasks.Task,
    "Body": shapes_tasks.Body,
    "Runners": dict[str, shapes_tasks.RunnerStands],
    "Runner": shapes_tasks.Runner,
    "Assignments": list[shapes_tasks.AssignmentRow],
    "Peers": list[shapes_tasks.Peer],
    "Pairs": shapes_tasks.PeerPairs,
    "Said": shapes_host.Said,
    "Ready": shapes_host.ReadySaid,
    "Approvals": shapes_host.Approvals,
    "Exported": shapes_host.ExportedFile,
    "Checked": shapes_host.CheckedFiles,
    "Rendered": shapes_host.RenderedSites,
    "CertFindings": shapes_host.CertFindings,
    "SiteBundles": list[shapes_host.SiteBundle],
    "HostReport": shapes_host.HostReport,
    "SiteCheck": shapes_host.SiteCheck,
    "PolicyAllowed": shapes_host.PolicyAllowed,
    "PolicyChecked": shapes_host.PolicyChecked,
}
"""By the name that a row of the table has."""


def adapter(answer: str) -> TypeAdapter[Any]:
    """Checks an answer of that shape, and makes its schema."""
    shape = SHAPES[answer]
    for module in (shapes, shapes_tasks, shapes_host):
        for one in vars(module).values():
            if isinstance(one, type) and one.__module__ == module.__name__:
                # A text below a field is its description.
                one.__pydantic_config__ = {"use_attribute_docstrings": True}  # type: ignore[attr-defined]
    return TypeAdapter(shape)


def schema_of(line: Line, *, lines: bool = False) -> dict[str, Any]:
    """Of its envelope. Args: lines: of one of ``--output jsonl``, where a list comes item by item."""
    data = adapter(line.answer).json_schema()
    fault = TypeAdapter(shapes_host.Fault).json_schema()
    shared = {**data.pop("$defs", {}), **fault.pop("$defs", {})}
    if lines and "items" in data:
        data = data["items"]
    found: dict[str, Any] = {
        "$schema": DRAFT,
        "title": f"swarm {line.words} --output {'jsonl' if lines else 'json'}",
        "type": "object",
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "status": {"enum": [*STATUSES.values(), RUNNING]},
            "exit_code": {"type": ["integer", "null"]},
            "data": {"anyOf": [data, {"type": "null"}]},
            "error": {"anyOf": [fault, {"type": "null"}]},
        },
        "required": ["schema_version", "status", "exit_code", "data", "error"],
    }
    return {**found, "$defs": shared} if shared else found
