"""Texts that are made to break or to stall a reader: each is refused with a finding, in little time and few words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import profilefiles, taskfiles
from swarm.core.tasktext.bounds import DEPTH_MAX, SLOTS_MAX
from swarm.core.tasktext.findings import Weight
from swarm.core.tasktext.profile import read_profile
from swarm.core.tasktext.reading import read

BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "itself": "a: &a [*a]\n",
    "deep aliases": "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(1_500)),
    "deep lists": "a: " + "[" * 30_000,
    "deep maps": "a: " + "{" * 30_000,
    "deep in between": "a: " + "[x, " * 12_000,
    "deep keys": "a: " + "{a: " * 12_000,
    "deep dashes": "a:\n " + "- " * 30_000,
    "deep questions": "? " * 30_000,
    "merges": "a: &a {" + ", ".join(f"k{i}: 1" for i in range(900)) + "}\n"
    + "".join(f"m{i}: {{<<: *a}}\n" for i in range(900)),
    "values": "a: [" + "1," * 30_000 + "]",
    "keys": "".join(f"k{i}: 1\n" for i in range(6_000)),
    "number": "a: " + "9" * 60_000,
    "fraction": "a: 0." + "9" * 60_000,
    "base sixty": "a: 1" + ":1" * 30_000,
    "documents": "---\n" * 15_000,
    "escapes": 'a: "' + "\\x41" * 15_000 + '"',
    "tags": "a: " + "!x " * 20_000,
    "unclosed": 'a: "' + "\n" * 60_000,
    "colons": "a" + ":" * 60_000,
    "dashes in a command": taskfiles.RUN.replace("model/train.py", "a-" * 25_000),
    "brackets of placeholders": taskfiles.RUN.replace("model/train.py", "'" + "<a " * 18_000 + "'"),
    "findings": "".join(f"k{i}: 1\n" for i in range(1_500)),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(bomb: str) -> None:
    """Within the text's bytes none takes long, and none makes a long answer."""
    begun = time.process_time()
    reading = read(BOMBS[bomb])
    assert time.process_time() - begun < 10
    assert reading.value is None
    assert any(one.weight is Weight.ERROR for one in reading.findings)
    assert sum(len(str(one)) for one in reading.findings) < 20_000


@pytest.mark.parametrize(("variables", "refused"), [(SLOTS_MAX - 10, False), (SLOTS_MAX - 9, True)])
def test_a_body_of_more_lines_than_the_chain_keeps_is_refused(variables: int, refused: bool) -> None:
    """Counted as a whole: variables may be as many, if nothing else is there."""
    listed = ", ".join(f"V{n}: 1" for n in range(variables))
    text = taskfiles.RUN.replace('"MODEL_DIR": model, "MAX_EPOCHS": 32, LOOP: true, LR: 1e-4, UNSET: ~', listed)
    said = [str(one) for one in read(text).findings if one.weight is Weight.ERROR]
    assert any("the body has" in one and "lines, at most" in one for one in said) is refused, said


@pytest.mark.parametrize(("deep", "refused"), [(DEPTH_MAX - 2, False), (DEPTH_MAX + 1, True)])
def test_aliases_within_aliases_are_as_deep_as_what_they_stand_for(deep: int, refused: bool) -> None:
    """Each is one level in the text, and many in the value."""
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, deep))
    said = [str(one) for one in read(text).findings]
    assert any("deeper than" in one for one in said) is refused


def test_an_alias_is_its_value() -> None:
    """Anchors, aliases and merged maps of an honest file are read as the original's reader does."""
    text = taskfiles.RUN.replace("Name: train", "Name: &n train").replace("Outcome: train", "Outcome: *n")
    assert read(text).taken() == read(taskfiles.RUN).taken()
    base = taskfiles.RUN.split("    -   Src")[0] + (
        "    - &m {Src: /a, Tgt: /b, MType: BIND}\n    - {<<: *m, Tgt: /c}\n"
    )
    assert [m.target for m in read(base).taken().body.shared] == ["/b", "/c"]  # type: ignore[union-attr]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(taskfiles.ALL.values())), st.data())
def test_no_text_makes_the_reader_fail(text: str, data: st.DataObject) -> None:
    """A good file with anything put in anywhere gives a task or findings, never another error."""
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 30))
    put = data.draw(
        st.text(max_size=10) | st.sampled_from([*"[]{}:-?|>'\"&*!%@`#,", "<<: ", ": ", "- ", "\\", '"\\ud800"'])
    )
    reading = read(text[:at] + put + text[at + cut :])
    assert (reading.value is None) == any(one.weight is Weight.ERROR for one in reading.findings)
    assert all(one.text.isprintable() for one in reading.findings)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_text_makes_the_reader_of_profiles_fail(data: st.DataObject) -> None:
    """As with tasks."""
    text = profilefiles.WHOLE
    at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 60))
    put = data.draw(st.text(max_size=10) | st.sampled_from([*"[]{}:-?|>'\"&*!%@`#,", "<<: ", ": ", "- ", "\\"]))
    reading = read_profile(text[:at] + put + text[at + cut :])
    assert (reading.value is None) == any(one.weight is Weight.ERROR for one in reading.findings)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(raw: bytes) -> None:
    """Whatever they are, they are refused with a finding."""
    assert read(raw).value is None
    assert read(raw).findings
