"""Logins of registries: each way of a PULL_IMAGE task to name one, and what is said where it does not work."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.errors import OperatorFault
from swarm.core.tasktext.model import Login, PullBody
from swarm.swop.logins import login_of, registry_of

WORD = "s3cret"


def body(auth: str | Login | None, registry: str = "hub.example/org") -> PullBody:
    return PullBody(registry, "base", "1.0", auth)


def config(**auths: str) -> str:
    return json.dumps(
        {"auths": {host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in auths.items()}}
    )


def login(user: str = "me", password: str = WORD) -> dict[str, str]:
    return {"username": user, "password": password}


def test_each_kind_of_auth(tmp_path: Path) -> None:
    """Nothing; in clear; a secret as a login beside its registry and as a config.json; a file by name and by path."""
    (tmp_path / "config.json").write_text(config(**{"hub.example": f"me:{WORD}", "other": "not:this"}))
    secrets = {"plain": f"hub.example me:{WORD}", "whole": config(**{"https://hub.example/v1/": f"me:{WORD}"})}
    assert login_of(body(None), secrets, tmp_path) is None
    for auth in (Login("me", WORD), "secret:plain", "secret:whole", "config.json", str(tmp_path / "config.json")):
        assert login_of(body(auth), secrets, tmp_path) == login()


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("hub.example/org", "hub.example"),
        ("localhost/org", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("hub:5000/a/b", "hub:5000"),
        ("library", "docker.io"),
        ("org/team", "docker.io"),
    ],
)
def test_a_registry_is_a_host_or_dockers_own(name: str, host: str) -> None:
    """As Docker reads an image's name."""
    assert registry_of(name) == host


@pytest.mark.parametrize(
    "text", [f"me:{WORD}", f"hub.example me:{WORD}", f"evil.example.org me:{WORD}", f"me:{WORD} x"]
)
def test_a_secrets_login_goes_to_its_registry_only(text: str) -> None:
    """A task's author names the registry: one without its registry goes nowhere, and nothing of it is said."""
    with pytest.raises(OperatorFault, match=r"the secret hub is no login for evil\.example: write") as refused:
        login_of(body("secret:hub", "evil.example/org"), {"hub": text}, Path("/"))
    assert WORD not in str(refused.value)


def test_a_login_of_dockers_own_hub_names_it() -> None:
    """An image without a registry is from there."""
    assert login_of(body("secret:hub", "library"), {"hub": f"docker.io me:{WORD}"}, Path("/")) == login()


def test_a_file_gives_its_login_to_its_registry_only(tmp_path: Path) -> None:
    """An author may name any file of the site; what it holds for others stays here."""
    (tmp_path / "config.json").write_text(config(**{"hub.example": f"me:{WORD}"}))
    with pytest.raises(OperatorFault, match=r"has no login for evil.example") as refused:
        login_of(body("config.json", "evil.example/org"), {}, tmp_path)
    assert WORD not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"auths": []}', '{"auths": {"hub.example": 3}}', '{"auths": {"hub.example": {}}}',
     '{"auths": {"hub.example": {"auth": "!"}}}', '{"auths": {"hub.example": {"auth": "bm9uZQ=="}}}', "[" * 100_000],
)  # fmt: skip
def test_a_file_that_holds_no_login_is_told_without_its_content(tmp_path: Path, text: str) -> None:
    """With what to do."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(OperatorFault, match=r"config.json (is no config.json|has no (login|password))"):
        login_of(body("config.json"), {}, tmp_path)


@pytest.mark.parametrize(
    ("auth", "why"),
    [
        ("secret:none", "has no none"),
        ("secret:odd", "is no login"),
        ("none.json", "is no file in this site"),
        ("/dev/zero", "is no file in this site"),
        ("../beside.json", "is no file in this site"),
        ("fifo", "is no file in this site"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, auth: str, why: str) -> None:
    """The secret's name or the file's path, never a value; nothing outside the site's folder, nothing without end."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path.parent / "beside.json").write_text(config(**{"hub.example": f"me:{WORD}"}))
    with pytest.raises(OperatorFault, match=why) as refused:
        login_of(body(auth), {"odd": f"hub.example {WORD}"}, tmp_path)
    assert WORD not in str(refused.value)


@given(st.text(max_size=200))
def test_no_text_of_a_secret_breaks_it(text: str) -> None:
    """Either a login, or a sentence."""
    try:
        found = login_of(body("secret:x"), {"x": text}, Path("/"))
    except OperatorFault:
        return
    assert found is not None
    assert set(found) == {"username", "password"}
