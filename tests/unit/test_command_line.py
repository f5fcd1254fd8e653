"""The command line and its table: names, forms, exit codes and envelopes, without a swarm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from swarm import cli
from swarm.chain.names import RunnerError
from swarm.cli.acts import OWN, place
from swarm.cli.looking import READINGS
from swarm.cli.output import Out, code_of, fault_of
from swarm.cli.schemas import SHAPES, adapter, schema_of
from swarm.core.errors import ChainFault, LocalFault, OperatorFault, PeerFault, ProgramFault, Reverted
from swarm.inspect.commands import WaitOver
from swarm.net.faults import Cut
from swarm.swci.commands import HANDLERS
from swarm.swci.table import COMMANDS, LINES, NOUNS, Line, Takes, Way

ROOT = Path(__file__).parents[2]
WORDS = sorted(LINES)
OLD = {
    "audit": "run show",
    "history": "job history",
    "reset": "job reset",
    "job": "job options",
    "ready": "node ready",
    "approve": "member approve",
}
ANSWERED = sorted(words for words, (_, line) in LINES.items() if line.answer and words == line.words)


@pytest.fixture
def swarm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Types a command; its exit code, stdout and stderr."""
    for name in ("SWARM_ID_CERT", "SWARM_ID_KEY", "SWARM_ID_CACERT", "SWARM_OPS_PORT", "SN_NODE_IP"):
        monkeypatch.delenv(name, raising=False)

    def typed(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(argv))
        return int(ended.value.code or 0), *capsys.readouterr()

    return typed


def test_every_row_is_told_and_typed() -> None:
    """A sentence, a noun that is known, and the shape of an answer or why it has none."""
    for words, (command, line) in LINES.items():
        told = line.told or command.told
        assert told.endswith("."), words
        assert bool(line.answer) != bool(line.bare), words
        assert not line.answer or line.answer in SHAPES, words
        if " " in line.words:
            assert line.words.split()[0] in NOUNS, words
        assert (line.way is Way.SEND) == bool(line.settings), words
    assert set(SHAPES) - {line.answer for _, line in LINES.values()} == {"JobsStand"}, "only REST has that one"


def test_no_spelling_means_two_commands() -> None:
    """Each stands in the table once."""
    every = [spelling for command in COMMANDS for line in command.lines for spelling in line.spellings]
    assert len(every) == len(set(every))


def test_every_row_acts_and_nothing_acts_without_a_row() -> None:
    """Each is an own command, a reading, or one of the shell's; there are no others."""
    words = {line.words for _, line in LINES.values()}
    assert set(OWN) | set(READINGS) <= words
    for command, line in LINES.values():
        if line.words in OWN or line.way is Way.RESERVED:
            continue
        assert (line.words in READINGS) if line.way is Way.READ else (command.name in HANDLERS), line.words
        assert place(line.words, line.way)


@pytest.mark.parametrize("old", OLD)
def test_spellings_of_earlier_versions_are_names_in_the_table(old: str) -> None:
    """With the same row behind them."""
    command, line = LINES[old]
    assert LINES[OLD[old]] == (command, line)
    assert old in line.old


@pytest.mark.parametrize("words", [*(w for w in WORDS if LINES[w][1].way is not Way.PROCESS), *NOUNS, "certs"])
def test_help_is_there_for_each(swarm: Any, words: str) -> None:
    """With every option that the row has, and those of earlier versions not shown."""
    code, out, _ = swarm(*words.split(), "--help")
    assert code == 0
    if words not in LINES or words == "job":
        return
    shown = [one.name for one in LINES[words][1].options if not one.positional and not one.old]
    assert all(name in out for name in shown)
    assert "--json" not in out


@pytest.mark.parametrize("words", ANSWERED)
def test_the_schema_of_an_answer_is_one(words: str) -> None:
    """Valid in its draft, in both forms, with a description for what a name does not say."""
    for lines in (False, True):
        schema = schema_of(LINES[words][1], lines=lines)
        Draft202012Validator.check_schema(schema)
        assert json.dumps(schema).count('"description"') > 1


@pytest.mark.parametrize(
    ("fault", "code", "whose"),
    [
        (OperatorFault("x"), 2, "the operator's"),
        (Reverted(RunnerError.BUSY, {}), 2, "the operator's"),
        (ChainFault("x"), 4, "the chain's"),
        (PeerFault("x"), 4, "another node's"),
        (ProgramFault("x"), 1, "the program's"),
        (LocalFault("x"), 1, "this program's"),
        (WaitOver("x"), 3, "nobody's"),
        (Cut("https://sn1:30304", "x"), 4, "nobody's"),
    ],
)
def test_a_fault_has_its_code_and_says_whose_it_is(fault: Any, code: int, whose: str) -> None:
    """2 refused, 3 out of time, 4 nobody can tell, 1 failed; a contract's refusal comes with its mend."""
    assert code_of(fault) == code
    told = fault_of(fault)
    assert told["fault"] == whose
    assert bool(told["fix"]) == isinstance(fault, Reverted)
    adapter("Said")  # the shapes are ready
    assert set(told) == {"kind", "message", "fault", "fix"}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["run", "show"], "Missing argument 'JOB'"),
        (["run", "shw", "x"], "did you mean show?"),
        (["jobs"], "did you mean job?"),
        (["run", "show", "x", "--run", "seven"], "--run"),
        (["run", "show", "x", "--nosuch"], "--nosuch"),
        (["run", "show", ""], "it is empty"),
        (["run", "show", "a\x1b[2Jb"], "characters that cannot be seen"),
        (["run", "show", "x" * 20_000], "too long"),
        (["run", "show", "\udcff"], "characters that cannot be seen"),
        (["status", "5"], "seconds are for --watch"),
        (["status", "--watch", "0"], "expected 0.5 to 3600 seconds"),
        (["status", "--watch", "nan"], "'nan' is no number of seconds"),
        (["node", "ready", "sn", "--timeout", "nan"], "'nan' is no number of seconds"),
        (["node", "ready", "sn", "--timeout", "inf"], "'inf' is no number of seconds"),
        (["run", "wait", "x", "--timeout", "1e999"], "'1e999' is no number of seconds"),
        (["run", "wait", "x", "--timeout", "-1"], "'-1' is no number of seconds"),
        (["run", "wait", "x", "--timeout", "soon"], "'soon' is no number of seconds"),
        (["runner", "assign", "a", "b"], "say how many peers"),
        (["runner", "assign", "a", "b", "--peers", "3", "--target", "x"], "say how many peers"),
        (["runner", "assign", "a", "b", "--peers", "-1"], "--peers"),
        (["run", "start", "f", "b"], "say how many peers"),
        (["job", "list", "--sn", "x"], "--cert"),
        (["schema", "no", "such"], "no command is called 'no such'"),
        (["schema", "sn"], "answers no JSON"),
        (["new"], "is not there yet"),
        (["try"], "is not there yet"),
        (["doctor", "/no/such/folder"], "swarm site init writes it"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_what_is_wrong_is_one_line_or_one_envelope(swarm: Any, argv: list[str], says: str, form: str) -> None:
    """With code 2, and nothing of it steers a terminal."""
    ops = ["--ops", "http://127.0.0.1:1"] if argv[:2] == ["status", "--watch"] else []
    code, out, err = swarm(*argv, *ops, "--output", form)
    assert code == 2
    if form == "text":
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("swarm: ")
        assert line.isprintable()
        assert says in line
        return
    told = json.loads(out)
    assert err == ""
    assert (told["schema_version"], told["status"], told["exit_code"], told["data"]) == (1, "refused", 2, None)
    assert says in told["error"]["message"]
    assert told["error"]["fault"] == "the operator's"


@pytest.mark.parametrize("words", [words for words in WORDS if any(one.needed for one in LINES[words][1].options)])
def test_what_is_needed_is_asked_for(swarm: Any, words: str) -> None:
    """Each option or argument without which there is no going on, one after the other, before anything is done."""
    needed = [one for one in LINES[words][1].options if one.needed]
    for missing in needed:
        argv = [text for one in needed if one is not missing for text in ([] if one.positional else [one.name]) + ["x"]]
        code, out, err = swarm(*words.split(), *argv)
        assert (code, out) == (2, ""), words
        assert err.startswith("swarm: Missing "), err


def test_an_output_that_is_none_is_named(swarm: Any) -> None:
    """As text: no form was asked for."""
    code, _, err = swarm("job", "list", "--output", "xml")
    assert (code, "'xml' is not one of 'text', 'json', 'jsonl'" in err) == (2, True)


@pytest.mark.parametrize("words", [w for w in WORDS if LINES[w][1].way is Way.READ])
def test_nobody_there_is_said_alike_by_all(swarm: Any, words: str) -> None:
    """By each reading, in text and in an envelope, by old names and new ones."""
    line = LINES[words][1]
    argv = [*words.split(), *("x" for one in line.options if one.needed), "--ops", "http://127.0.0.1:1"]
    code, out, err = swarm(*argv)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "127.0.0.1:1" in err
    code, out, err = swarm(*argv, "--output", "json")
    told = json.loads(out)
    assert (code, err, told["exit_code"], told["error"]["kind"]) == (2, "", 2, "OperatorFault")
    Draft202012Validator(schema_of(line)).validate(told)


def test_an_audit_that_could_not_judge_all_keeps_its_code_by_its_old_name() -> None:
    """5 by `swarm audit`, 4 by the new name and in every envelope."""
    line = LINES["audit"][1]
    for typed, form, code in (("audit", "text", 5), ("run show", "text", 4), ("audit", "json", 4)):
        out = Out()
        out.begin(line, typed, form, bare=False)
        assert out.code(5) == code
    out = Out()
    out.begin(line, "audit", "text", bare=True)
    assert out.code(5) == 5


def test_lists_come_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An envelope an item; steps are running, and the end has a code."""
    out = Out("jsonl")
    assert out.done([{"a": 1}, {"a": 2}]) == 0
    out.step({"lines": ["x"]}, "x")
    assert out.done(None, None, 1) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["status"], one["exit_code"], one["data"]) for one in told] == [
        ("ok", 0, {"a": 1}),
        ("ok", 0, {"a": 2}),
        ("running", None, {"lines": ["x"]}),
        ("failed", 1, None),
    ]


@pytest.mark.parametrize("argv", [["schema", "run", "show"], ["task", "schema"]])
def test_a_schema_is_printed_as_it_is_in_every_form(swarm: Any, argv: list[str]) -> None:
    """Who writes ``--output json`` everywhere may write it here; ``jsonl`` makes one line of it."""
    plain = swarm(*argv)
    assert plain == swarm(*argv, "--output", "json") == swarm(*argv, "--output", "text")
    code, out, err = swarm(*argv, "--output", "jsonl")
    assert (code, err, out.count("\n")) == (0, "", 1)
    Draft202012Validator.check_schema(json.loads(out))
    assert json.loads(out) == json.loads(plain[1])


@pytest.mark.parametrize("form", ["json", "jsonl", "bare"])
def test_a_number_that_json_has_not_is_a_fault(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Nothing that a reader of JSON refuses is printed; the fault says where it stood."""
    out = Out("text", bare=True) if form == "bare" else Out(form)
    for data in ({"rows": [{"loss": float("nan")}]}, [float("inf")]):
        with pytest.raises(PeerFault, match=r"rows\.0\.loss is nan|(0|data) is inf") as told:
            out.done(data)
        assert code_of(told.value) == 4
    assert capsys.readouterr().out == ""


def test_no_words_at_all_are_help(swarm: Any) -> None:
    """On stderr, with 2: something was left out."""
    code, out, err = swarm()
    assert (code, out) == (2, "")
    assert "Usage: swarm" in err


def test_a_fault_of_our_own_is_an_envelope_too(capsys: pytest.CaptureFixture[str]) -> None:
    """For a program that reads; the trace is on stderr."""
    assert Out("json").bug(RuntimeError("a bug")) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == {
        "kind": "RuntimeError",
        "message": "a bug",
        "fault": "this program's",
        "fix": None,
    }
    assert "RuntimeError: a bug" in err


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from([*WORDS, "--output", "json", "--run", "--"]), st.text(max_size=8)), max_size=5)
)
def test_no_words_end_in_a_trace(argv: list[str]) -> None:
    """Whatever is typed, short of a process: an exit code, and an envelope if one was asked for."""
    words = [one for part in argv for one in part.split()]
    if any(one in ("sn", "sl", "swci", "demo", "cert", "certs", "import", "-") for one in words):
        return
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--ops", "http://127.0.0.1:1"])
    assert ended.value.code in (0, 1, 2, 3, 4)


def test_the_reference_is_current() -> None:
    """docs/command-reference.md is what tools/command_reference.py writes from the table as it is."""
    command = [sys.executable, str(ROOT / "tools" / "command_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "run: python tools/command_reference.py" + done.stderr


def test_commands_that_pages_show_are_in_the_table() -> None:
    """Each `swarm noun verb` of the pages is one."""
    for page in (ROOT / "docs").glob("*.md"):
        for noun, verb in re.findall(r"`swarm (\w+) ([a-z]+)\b", page.read_text()):
            if noun in NOUNS and noun != "job" and (noun != "task" or verb):
                assert f"{noun} {verb}" in LINES, f"{page.name}: swarm {noun} {verb}"


def test_what_may_be_given_again_and_again_is_told() -> None:
    """An option's value is of a kind that its help can name."""
    for _, line in LINES.values():
        for one in line.options:
            assert one.takes in Takes
            assert not (one.many and one.positional)
            assert isinstance(line, Line)
