"""The JSON Schemas: valid in their draft, and of one mind with the readers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support import profilefiles, taskfiles
from swarm.core.tasktext.findings import Findings, Reading
from swarm.core.tasktext.profile import read_profile
from swarm.core.tasktext.reading import read
from swarm.core.tasktext.schema import DRAFT, profile_schema, task_schema
from swarm.core.tasktext.walk import plain
from swarm.core.tasktext.yamltree import tree

TASK, PROFILE = task_schema(), profile_schema()
OF_TASK, OF_PROFILE = Draft202012Validator(TASK), Draft202012Validator(PROFILE)


def data(text: str) -> Any:
    """A text as the values that a schema judges."""
    return plain(tree(text, 10_000, Findings()))


@pytest.mark.row("X04")
@pytest.mark.parametrize(
    "schema", [TASK, task_schema(plain_secrets=True), PROFILE], ids=["task", "in clear", "profile"]
)
def test_a_schema_is_valid_in_the_draft_that_it_declares(schema: dict[str, Any]) -> None:
    """By the draft's own metaschema; and it is plain JSON."""
    assert schema["$schema"] == DRAFT
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.row("X04")
def test_the_rules_of_nodes_are_applied_and_the_key_is_subPath() -> None:
    """In the original's schema `items` is a list, so that no node is ever looked at, and required is `subpath`."""
    good = data(profilefiles.WHOLE)
    assert OF_PROFILE.is_valid(good)
    node = good["nodes"][0]["slnodedef"]
    node["identity"][0]["attribute"]["aType"] = "OTHER"
    assert not OF_PROFILE.is_valid(good)
    good = data(profilefiles.WHOLE)
    del good["nodes"][0]["slnodedef"]["identity"][0]["attribute"]["subPath"]
    assert OF_PROFILE.is_valid(good)


@pytest.mark.parametrize("text", [*taskfiles.ALL.values()], ids=[*taskfiles.ALL])
def test_good_files_are_valid(text: str) -> None:
    """One of each type, and the old name of a build."""
    assert OF_TASK.is_valid(data(text))
    assert OF_TASK.is_valid(data(text.replace("MAKE_USER_CONTAINER", "BUILD_SWARM")))


@pytest.mark.parametrize(
    "login", [{"Username": "me", "Password": "secret:p"}, {"Username": "secret:u", "Password": "hunter2"}]
)
def test_a_login_in_clear_is_none_to_the_schema(login: dict[str, str]) -> None:
    """Neither half of it, unless that is asked for: an editor marks it before it stands on the chain."""
    task = data(taskfiles.PULL)
    task["Body"]["Auth"] = login
    assert not OF_TASK.is_valid(task)
    assert Draft202012Validator(task_schema(plain_secrets=True)).is_valid(task)


def as_yaml(value: Any) -> str:
    """JSON is YAML; what cannot stand in a text as it is, is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if "\x7f" not in text else json.dumps(value)


def beyond_schemas(reading: Reading[Any]) -> bool:
    """Refused for what no schema can see: a number given to two nodes, the length of a list as one text."""
    return any("stands twice, first" in one.text or " as one text is " in one.text for one in reading.findings)


KEYS = sorted(
    {"Name", "TaskType", "Author", "Prereq", "Outcome", "Body", "Envvars", "BuildSteps", "SharedContent", "Auth", "Src",
     "OpsList", "Options", "Username", "Password", "idx", "nodes", "identity", "attribute", "slport", "dns", "ip", "x"}
)  # fmt: skip
TEXTS = st.sampled_from(
    ["", "x", "a b", "a,b", "a/b", "ROOTTASK", "RUN_SWARM", "PULL_IMAGE", "BUILD_SWARM", "ROOT_TASK", "BIND", "INLINE",
     "DOCKER", "y" * 160, "y" * 161, "y" * 241, "a\nb", "a\tb", "a\u202eb", "secret:x", "secret:x\n", "010", "yes", "~",
     "a=b", " a", "a:b", "\u2028", "\x7f", "é😀", "<X>"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-5, 70_000) | st.floats(-1e6, 1e6) | TEXTS
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += places(one, (*path, key))
    return found


@st.composite
def changed(draw: st.DrawFn, text: str) -> Any:
    """A good file with up to two places changed: replaced, taken out, put in, or many times there."""
    value = data(text)
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        path = draw(st.sampled_from([one for one in places(value) if one] or [()]))
        if not path:
            break
        owner = value
        for key in path[:-1]:
            owner = owner[key]
        how = draw(st.sampled_from(["text", "replace", "remove", "add", "many"]))
        if how == "text" and isinstance(owner[path[-1]], str):
            owner[path[-1]] = draw(TEXTS)
        elif how in ("text", "replace"):
            owner[path[-1]] = draw(ANY)
        elif how == "remove":
            del owner[path[-1]]
        elif isinstance(owner, dict):
            owner[draw(st.sampled_from(KEYS) | TEXTS)] = draw(ANY)
        elif how == "many":
            owner *= draw(st.sampled_from([3, 12, 30, 90]))
        else:
            owner.append(draw(ANY))
    return value


@pytest.mark.row("X04")
@pytest.mark.parametrize("kind", taskfiles.ALL)
def test_schema_and_reader_take_the_same_tasks(kind: str) -> None:
    """Whatever is changed in a good file, both take it or both refuse it."""
    seen = {True: 0, False: 0}

    @settings(max_examples=100, deadline=None)
    @given(changed(taskfiles.ALL[kind]))
    def agree(value: Any) -> None:
        valid = OF_TASK.is_valid(value)
        reading = read(as_yaml(value))
        if beyond_schemas(reading):
            return
        seen[valid] += 1
        assert (reading.value is not None) == valid, [str(one) for one in reading.findings]

    agree()
    assert min(seen.values()) > 5


@pytest.mark.row("X04")
def test_schema_and_reader_take_the_same_profiles() -> None:
    """Beside one number given to two nodes, which no schema can see."""
    seen = {True: 0, False: 0}

    @settings(max_examples=80, deadline=None)
    @given(changed(profilefiles.WHOLE))
    def agree(value: Any) -> None:
        valid = OF_PROFILE.is_valid(value)
        reading = read_profile(as_yaml(value))
        if beyond_schemas(reading):
            return
        seen[valid] += 1
        assert (reading.value is not None) == valid, [str(one) for one in reading.findings]

    agree()
    assert min(seen.values()) > 5
