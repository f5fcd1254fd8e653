"""The resources of SWCI's REST face while their SN is away."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from swarm.core.errors import OperatorFault
from swarm.inspect import shapes, shapes_tasks
from swarm.net.answers import json_errors
from swarm.swci.resources import add_resources


class Away:
    async def view(self) -> NoReturn:
        raise OperatorFault("no SN answers: connection refused")


async def member_of() -> Any:
    return Away()


@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/waits", "/v1/jobs", "/v1/jobs/x/runs", "/v1/jobs/x/runs/1"])
def test_an_sn_that_is_away_is_said(path: str) -> None:
    """Neither a failure of this SWCI nor, of a job, that there is none."""
    app = json_errors(FastAPI())
    add_resources(app, member_of)
    answer = TestClient(app).get(path)
    assert answer.status_code == 503
    assert answer.json() == {"error": {"code": "no_swarm", "message": "no SN answers: connection refused"}}


def test_a_method_that_a_path_does_not_have_is_told_which_it_has() -> None:
    """405 names them in Allow, in the shape of all errors."""
    app = json_errors(FastAPI())
    add_resources(app, member_of)
    answer = TestClient(app).delete("/v1/nodes")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/nodes", "NodeRow"),
        ("/v1/waits", "WaitRow"),
        ("/v1/jobs", "JobStands"),
        ("/v1/jobs/{name}/runs", "RunRow"),
        ("/v1/jobs/{name}/runs/{run}", "Run"),
        ("/v1/tasks", "TaskName"),
        ("/v1/tasks/{name}", "Task"),
        ("/v1/runners", "RunnerStands"),
    ],
)
def test_the_description_has_the_shapes_of_the_command_line(path: str, answer: str) -> None:
    """OpenAPI names for each resource the very shape that the same reading has as JSON of a command."""
    app = FastAPI()
    add_resources(app, member_of)
    told = app.openapi()
    schema = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    one = schema.get("items") or schema.get("additionalProperties") or schema
    assert one == {"$ref": f"#/components/schemas/{answer}"}
    fields = {
        name for module in (shapes, shapes_tasks) for name in getattr(vars(module).get(answer), "__annotations__", ())
    }
    assert fields <= set(told["components"]["schemas"][answer]["properties"])
