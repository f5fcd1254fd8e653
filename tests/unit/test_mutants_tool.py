"""tools/mutants: what it changes, and which tests it picks for a change. What it does with them, its own runs show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.tools import ROOT

TOOL = ROOT / "tools" / "mutants"
SOURCE = b'''"""A module."""
BOUND = 5
TWICE = 2 * BOUND


def held(count: int, most: int = 3) -> bool:
    """Text."""
    if count < most and (
        count != 7
    ):
        print(count)
    return not count


def full(count):
    return count >= TWICE
'''


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool's choosing, with all that it imports."""
    monkeypatch.syspath_prepend(str(TOOL))
    import choosing

    return choosing


def mutants(tool: ModuleType) -> dict[tuple[str, str], object]:
    from changes import mutants_of

    return {(one.before, one.after): one for one in mutants_of(SOURCE, "services/swarm/core/one.py")}


def chooser(tool: ModuleType, seconds: dict[str, float], lines: dict[int, frozenset[str]], texts: dict[str, str]):
    covered = tool.Covered(seconds, {"services/swarm/core/one.py": lines}, ())
    readers = tool.Readers.of([("services/swarm/core/one.py", SOURCE)])
    return tool.Chooser(covered, readers, {test.partition("::")[0]: "" for test in seconds} | texts)


def test_each_kind_of_change_is_made_and_texts_are_left_alone(tool: ModuleType) -> None:
    """A comparison, both connectives, a computation, constants, a negation and a call; nothing in texts or types."""
    assert {after for _, after in mutants(tool)} == {
        *("(6)", "(2 + BOUND)", "(3)", "(4)", "(count <= most)", "(count == 7)", "(8)"),
        *("(count < most or count != 7)", "pass", "(count)", "(count > TWICE)"),
    }


def test_a_change_is_applied_to_its_bytes_alone(tool: ModuleType, tmp_path: Path) -> None:
    """The file differs in that place only."""
    from changes import apply

    file = tmp_path / "one.py"
    file.write_bytes(SOURCE)
    apply(file, mutants(tool)["count != 7", "(count == 7)"])
    assert file.read_bytes() == SOURCE.replace(b"count != 7", b"(count == 7)")


def test_a_mutant_is_tried_with_the_tests_that_execute_its_lines(tool: ModuleType) -> None:
    """Of its own lines first; where coverage names none of them, those of its statement."""
    ours = chooser(tool, dict.fromkeys("abc", 0.1), {8: frozenset("ab"), 9: frozenset("a"), 12: frozenset("c")}, {})
    found = mutants(tool)
    assert ours.tests(found["count != 7", "(count == 7)"]) == {"a"}
    assert ours.tests(found["count < most", "(count <= most)"]) == {"b", "a"}
    assert ours.tests(found["print(count)", "pass"]) == set()
    assert ours.chosen(found["print(count)", "pass"]) == tool.Chosen()


def test_a_bound_is_tried_with_the_tests_that_execute_its_readers(tool: ModuleType) -> None:
    """Also through another bound; with those that name it, and those that hold documents to bounds."""
    numbers = f"{tool.NUMBERS[0]}::row"
    seconds = {"reads": 0.1, "else": 0.1, "names.py::one": 0.1, numbers: 0.1}
    ours = chooser(tool, seconds, {8: frozenset(["else"]), 16: frozenset(["reads"])}, {"names.py": "assert BOUND"})
    assert ours.tests(mutants(tool)["5", "(6)"]) == {"reads", "names.py::one", numbers}


def test_a_default_is_tried_with_the_tests_that_execute_its_function(tool: ModuleType) -> None:
    """It is read when the function is defined, and used when that runs."""
    ours = chooser(tool, dict.fromkeys("ab", 0.1), {8: frozenset("a"), 16: frozenset("b")}, {})
    assert ours.tests(mutants(tool)["3", "(4)"]) == {"a"}


def test_the_first_go_is_of_few_files_and_both_of_a_bounded_time(tool: ModuleType) -> None:
    """Files that name the module come first; what fits into no go is counted."""
    files = [f"t{number}.py" for number in range(tool.FIRST_FILES + 1)]
    seconds = {f"{file}::quick": 0.1 for file in files} | {f"{file}::long": tool.SECONDS_MAX / 2 for file in files}
    ours = chooser(tool, seconds, {16: frozenset(seconds)}, {files[-1]: "swarm.core.one"})
    first, rest = ours.chosen(mutants(tool)["count >= TWICE", "(count > TWICE)"]).goes
    assert {test.partition("::")[0] for test in first} == {files[-1], *files[: tool.FIRST_FILES - 1]}
    assert all(test.endswith("quick") for test in first)
    assert sum(seconds[test] for test in first + rest) <= tool.SECONDS_MAX
    left = ours.chosen(mutants(tool)["count >= TWICE", "(count > TWICE)"]).left
    assert left == len(seconds) - len(first) - len(rest) > 0


def test_what_a_wide_fixture_executes_counts_for_all_its_tests(tool: ModuleType, tmp_path: Path) -> None:
    """Recorded lines are told again: a file's context means each of its tests, a failed test is left out."""
    import coverage
    import covering

    file = tmp_path / "services" / "swarm" / "one.py"
    data = coverage.CoverageData(str(tmp_path / "lines.sqlite"))
    for context, lines in {"t.py": {1}, "t.py::a": {2}, "t.py::b": {3}}.items():
        data.set_context(context)
        data.add_lines({str(file): lines})
    data.write()
    told = {"seconds": {"t.py::a": 1.0, "t.py::b": 1.0, "t.py::c": 1.0}, "tree": str(tmp_path), "modules": ["pytest"]}
    told["passed"] = {"t.py::a": True, "t.py::b": False, "t.py::c": True}
    (tmp_path / "tests.json").write_text(json.dumps(told))
    found = covering.covered(tmp_path)
    assert found.lines["services/swarm/one.py"] == {1: {"t.py::a", "t.py::c"}, 2: {"t.py::a"}, 3: set()}


TREE = {
    "services/swarm/__init__.py": "",
    "services/swarm/one.py": SOURCE.decode(),
    "tests/conftest.py": "from hypothesis import settings\nsettings.register_profile('steady', deadline=None)\n",
    "tests/test_one.py": "from swarm.one import held\ndef test_held():\n    assert held(0, 1)\n"
    "def test_most():\n    while held(1, 0):\n        pass\n",
}
TRIES = """
import json, sys
from pathlib import Path
import trials
from changes import mutants_of
trials.TEST_SECONDS = 1.0
tree = Path(sys.argv[1])
file = tree / "services/swarm/one.py"
found = {one.after: one for one in mutants_of(file.read_bytes(), "services/swarm/one.py")}
tests = {"tests/test_one.py::test_most": 0.0, "tests/test_one.py::test_held": 0.0}
def tried():
    ended = trials.go(tree, tree / "log", tests)
    return [ended.failed, ended.test.rpartition("::")[2], ended.late]
said = [tried()]
with trials.applied(tree, found["(count)"]):
    said.append(tried())
said.append(tried())
with trials.applied(tree, found["(count <= most)"]):
    said.append(tried())
print(json.dumps(said))
"""


def test_a_go_ends_with_the_first_that_fails_and_a_change_is_taken_back(tmp_path: Path) -> None:
    """As the code is, tests pass, before and after a change; what a change makes hang is told apart from a failure."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-c", TRIES, str(tmp_path)]
    environ = os.environ | {"PYTHONPATH": str(TOOL)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    fine = [False, "", False]
    assert json.loads(done.stdout) == [fine, [True, "test_most", True], fine, fine]
    assert (tmp_path / "services/swarm/one.py").read_bytes() == SOURCE
