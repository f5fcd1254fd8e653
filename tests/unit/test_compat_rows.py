"""The compatibility table and the judge that counts proven rows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import rows, tools

ROOT = Path(__file__).resolve().parents[2]
SPLIT = rows.Row("K05", "SwarmCallback", "merge", {"K05a": "mean", "K05b": "median"})
WHOLE = rows.Row("F04", "Channel", "header", {"F04": "header"})
REMARK = rows.Row("X12", "Contradictions", "names", {}, "not in any script")
TABLE = {row.id: row for row in (SPLIT, WHOLE, REMARK)}


def test_the_table_holds_every_section_of_the_surface_without_a_gap() -> None:
    """Each section's ids run without a gap up to its last row, and only the four remarks do not count."""
    table = rows.load()
    first_and_last = {
        "C": (0, 32), "R": (1, 12), "T": (1, 8), "P": (1, 17), "E": (1, 15), "O": (1, 12), "K": (1, 20),
        "F": (1, 13), "L": (1, 6), "U": (1, 12), "X": (1, 15), "D": (1, 26),
    }  # fmt: skip
    expected = [f"{s}{n:02d}" for s, (first, last) in first_and_last.items() for n in range(first, last + 1)]
    assert list(table) == expected
    assert {row.id for row in table.values() if row.not_applicable} == {"L06", "U07", "X12", "X14"}


def test_a_split_row_counts_only_when_all_its_checks_passed() -> None:
    """One proven check of two leaves the row open."""
    half = rows.judge(TABLE, [("K05a", "passed")])[0]
    assert (half.counts, half.proven) == (False, ("K05a",))
    assert rows.judge(TABLE, [("K05a", "passed"), ("K05b", "passed")])[0].counts


def test_one_failing_test_takes_a_row_away_from_a_passing_one() -> None:
    """A row with a passing and a failing test is broken, whichever ran first."""
    for results in ([("F04", "passed"), ("F04", "failed")], [("F04", "failed"), ("F04", "passed")]):
        standing = rows.judge(TABLE, results)[1]
        assert (standing.counts, standing.broken) == (False, ("F04",))


def test_a_skipped_test_proves_nothing_and_breaks_nothing() -> None:
    """Skips leave a row open, but do not undo a pass on another backend."""
    assert not rows.judge(TABLE, [("F04", "skipped")])[1].counts
    assert rows.judge(TABLE, [("F04", "skipped"), ("F04", "passed")])[1].counts


def test_a_remark_never_counts() -> None:
    """A row that is n/a is not proven by having no checks."""
    assert not rows.judge(TABLE, [])[2].counts


@pytest.mark.parametrize(
    ("row_id", "says"),
    [
        ("Z99", "no row"),
        ("f04", "no row"),
        ("K05", "name one of K05a, K05b"),
        ("X12", "remark"),
        (7, "no row"),
    ],
)
def test_a_marker_that_no_test_may_carry_is_explained(row_id: object, says: str) -> None:
    """Unknown ids, split rows and remarks are refused with the reason."""
    assert says in (rows.complaint(row_id, TABLE) or "")
    assert rows.complaint("K05b", TABLE) is None


@pytest.mark.parametrize(
    "body",
    ['[F]\ntitle="x"\nK01="y"', '[F]\ntitle="x"\nF01={title="y"}', '[F]\ntitle="x"\nF01={title="y",b="z"}'],
)
def test_a_malformed_table_is_refused(tmp_path: Path, body: str) -> None:
    """A row in a wrong section, without checks, or with letters out of order is an error."""
    (tmp_path / "rows.toml").write_text(body)
    with pytest.raises(ValueError, match="row "):
        rows.load(tmp_path / "rows.toml")


def run_pytest(folder: Path, source: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one test file under this project's conftest in a process of its own."""
    (folder / "conftest.py").write_text((tools.ROOT / "tests" / "conftest.py").read_text())
    for shared in ("support", "compat"):
        (folder / shared).symlink_to(tools.ROOT / "tests" / shared)
    (folder / "test_one.py").write_text("import pytest\nfrom support import tools\n" + source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    return subprocess.run(
        [*command, f"--rootdir={folder}", "--import-mode=importlib", *arguments, str(folder)],
        capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


def test_an_unknown_row_stops_the_run_before_any_test(tmp_path: Path) -> None:
    """A misspelt marker is a usage error that names the test and the id."""
    done = run_pytest(tmp_path, "@pytest.mark.row('K99')\ndef test_x(): pass\n")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_x: no row 'K99'" in done.stdout + done.stderr


def test_results_of_marked_tests_are_written(tmp_path: Path) -> None:
    """Passed, failed and skipped tests leave one pair for each row that they carry."""
    source = (
        "@pytest.mark.row('F04', 'F05')\ndef test_a(): pass\n"
        "@pytest.mark.row('F06')\ndef test_b(): assert False\n"
        "@pytest.mark.row('F07')\ndef test_c(): pytest.skip('no')\n"
    )
    target = tmp_path / "rows.json"
    run_pytest(tmp_path, source, f"--rows-json={target}")
    pairs = {tuple(pair) for pair in json.loads(target.read_text())}
    assert pairs == {("F04", "passed"), ("F05", "passed"), ("F06", "failed"), ("F07", "skipped")}


MISSING_TOOL = """
tools.TOOLS['geth'] = tools._module('no_such_module', 'nothing')
@pytest.mark.geth
def test_x(): pass
"""


def test_a_missing_tool_is_a_skip_in_the_closing_table(tmp_path: Path) -> None:
    """Without SWARM_REQUIRE the test is skipped, and the table says why."""
    done = run_pytest(tmp_path, MISSING_TOOL)
    assert done.returncode == pytest.ExitCode.OK
    assert "skipped, and why" in done.stdout
    assert "geth: no_such_module is not installed" in done.stdout


def test_a_missing_tool_that_is_required_fails_the_run(tmp_path: Path) -> None:
    """With SWARM_REQUIRE=geth the same test fails and names the variable."""
    done = run_pytest(tmp_path, MISSING_TOOL, SWARM_REQUIRE="geth")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "SWARM_REQUIRE names geth" in done.stdout


def test_a_misspelt_requirement_is_refused(tmp_path: Path) -> None:
    """SWARM_REQUIRE=gath does not silently require nothing."""
    done = run_pytest(tmp_path, "def test_x(): pass\n", SWARM_REQUIRE="gath")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unknown gath" in done.stdout + done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/compatibility.md"])
def test_what_the_pages_call_proven_is_claimed_by_tests(page: str) -> None:
    """A row said to be proven, or to be so but for the checks named open, has a test for each of its checks."""
    marked = rows.claimed(ROOT / "tests")
    table = rows.load()
    told = re.findall(r"^\| ([A-Z]\d\d) \| (.*) \| (proven|in part) \|$", (ROOT / page).read_text(), re.MULTILINE)
    assert told
    for row_id, text, _ in told:
        said_open = {check for check in table[row_id].checks if re.search(rf"(\(open: |; ){check} ", text)}
        assert set(table[row_id].checks) - said_open <= marked, row_id
