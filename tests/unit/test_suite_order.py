"""Files of tests begin in an order that tells a broken unit test soon, and leaves no worker alone at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.order import FIRST, FOLDERS, place
from support.tools import ROOT

TESTS = ROOT / "tests"


def test_every_folder_and_every_long_file_has_its_place() -> None:
    """A new folder, or a long file under a new name, would silently begin last."""
    assert {path.parent.name for path in TESTS.glob("*/test_*.py")} == set(FOLDERS)
    assert [name for name in FIRST if not (TESTS / name).is_file()] == []


def test_items_are_collected_in_that_order(request: pytest.FixtureRequest) -> None:
    """The order that pytest itself has in this run."""
    places = [place(item.path) for item in request.session.items]
    assert places == sorted(places)


def test_unit_tests_begin_before_all_but_the_longest() -> None:
    """Also before the rest of the simulations; what is in no folder comes last."""
    files = [Path("t/attacks/test_a.py"), Path("t/sim/test_b.py"), Path("t/unit/test_c.py"), Path("t/new/test_d.py")]
    files += [Path("t") / name for name in FIRST]
    ordered = [path.name for path in sorted(files, key=place)]
    assert ordered == ["test_sim_seeds.py", "test_sim_tasks.py", "test_c.py", "test_b.py", "test_a.py", "test_d.py"]
