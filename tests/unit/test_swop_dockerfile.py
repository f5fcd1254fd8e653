"""Which images a Dockerfile takes from elsewhere, also where it tries to hide them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.swop.dockerfile import addresses_of, images_of


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a:1\nRUN x", ("a:1",)),
        ("from --platform=linux/amd64 a:1 AS one\nFROM b\nCOPY --from=one /x /x", ("a:1", "b")),
        ("FROM a AS One\nFROM one\nCOPY --from=ONE /x /y", ("a",)),
        ("# FROM x\nFROM a\nFROM a\nFROM scratch", ("a",)),
        ("FROM a\nCOPY --chown=1 --from=evil:1 /bin/x /", ("a", "evil:1")),
        ("FROM a\nCOPY --from=0 /x /y\nCOPY --from=7 /x /y", ("a", "7")),
        ("FROM a\nRUN --mount=type=bind,from=evil,target=/x cat /x", ("a", "evil")),
        ("FROM a\nRUN --mount=from=evil cat /x", ("a", "evil")),
        ("FROM a\nRUN --mount=type=cache,target=/x true", ("a",)),
        ("FROM \\\n  # a comment in between\n  evil\n", ("evil",)),
        ("# escape=`\nFROM `\nevil\nRUN x", ("evil",)),
        ("# syntax=other/frontend\n# escape=`\nFROM `\n evil", ("evil",)),
        ("FROM a\nONBUILD COPY --from=evil /x /", ("a", "evil")),
        ("ARG BASE=evil\nFROM ${BASE}", ("${BASE}",)),
        ("FROM a\nRUN echo FROM b", ("a",)),
        ("FROM listed\nRUN true \\\\\nFROM evil", ("listed", "evil")),
        ("FROM listed\nRUN true \\\u00a0\nFROM evil", ("listed", "evil")),
        ("FROM listed\nRUN true \\ \t\nFROM evil", ("listed",)),
        ("FROM listed\r\nFROM evil\r\n", ("listed", "evil")),
        ("FROM listed\u2028FROM evil", ("listed",)),
        ("", ()),
        ("FROM \\", ()),
        ("FROM a\nONBUILD\nFROM b", ("a", "b")),
    ],
)
def test_images_are_named(text: str, images: tuple[str, ...]) -> None:
    """Stages are none, numbers of stages that are there are none; a variable stands as it is written."""
    assert images_of(text) == images


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("FROM a\nADD x.whl /", ()),
        ("ADD http://10.0.0.5/x https://y/z /", ("http://10.0.0.5/x", "https://y/z")),
        ('ADD ["https://y/z", "/"]', ("https://y/z",)),
        ("ADD --chown=1 git@host:repo /", ("git@host:repo",)),
        ("ONBUILD ADD https://y /", ("https://y",)),
        ("ARG U=http://inner\nADD $U /", ("$U",)),
        ("RUN curl https://y", ()),
    ],
)
def test_what_the_engine_would_fetch_is_named(text: str, addresses: tuple[str, ...]) -> None:
    """By ADD, which needs no network of a step; a variable stands as it is written."""
    assert addresses_of(text) == addresses


@given(st.text(alphabet="FROMfrom AS\\`#=-\n$a:1, ", max_size=80))
def test_no_text_breaks_the_reading(text: str) -> None:
    """It is another site's."""
    assert all(images_of(text)) or images_of(text) == ()
    assert all(addresses_of(text)) or addresses_of(text) == ()
