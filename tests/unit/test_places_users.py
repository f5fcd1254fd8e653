"""SL and program as two users, each with umask 077, share pipes and exchange folder; or a sentence says what to do."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tools import ROOT
from swarm.sl.bridge.shared import ANYBODY, make_folder

SL, PROGRAM = 10001, 10002

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that anybody can enter: pytest closes those above its own, also while another run of tests goes on."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o777)
        yield Path(made)


def two(folder: Path, sl: int, program: int, form: str) -> tuple[int, str]:
    """Exit code and last words of a program that syncs once."""
    done = subprocess.run(
        [sys.executable, "-m", "support.two_users", str(folder), str(sl), str(program), form],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [line.removeprefix("END ") for line in done.stdout.splitlines() if line.startswith("END ")]
    return done.returncode, said[-1] if said else done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("form", ["sdk", "pickle", "inline"])
@pytest.mark.parametrize(
    ("sl", "program"), [(SL, PROGRAM), (SL, 0), (0, PROGRAM)], ids=["two", "root program", "root SL"]
)
def test_two_users_with_a_strict_umask_share_the_exchange_folder(
    folder: Path, sl: int, program: int, form: str
) -> None:
    """Each form in which a program hands over its model, both ways."""
    code, said = two(folder, sl, program, form)
    assert (code, said.startswith("took")) == (0, True), said


def test_a_folder_that_the_program_may_not_enter_is_one_sentence(folder: Path) -> None:
    """The SL's user made the folder above for itself alone: the program is told by name what to change."""
    (folder / "place").mkdir()
    (folder / "place" / "shared").mkdir(mode=0o700)
    os.chown(folder / "place" / "shared", SL, SL)
    code, said = two(folder, SL, PROGRAM, "sdk")
    assert code == 1
    assert "SL_REQUEST_CHANNEL) cannot be opened by user id 10002. Run SL and program as one user, or" in said
    assert "chmod o+x" in said


def test_a_model_that_the_sl_may_not_read_is_one_sentence(folder: Path) -> None:
    """A file of another user's without a right for others, as a wheel that knows no better leaves it."""
    from swarm.core.errors import ProgramFault
    from swarm.sl.bridge import forms

    (folder / forms.TRAINED_TENSORS).write_bytes(b"x")
    (folder / forms.TRAINED_TENSORS).chmod(0o600)
    os.chown(folder / forms.TRAINED_TENSORS, PROGRAM, PROGRAM)
    os.seteuid(SL)
    try:
        with pytest.raises(
            ProgramFault, match=r"cannot be read by the SL, user id 10001: Permission denied; run SL and"
        ):
            forms.take(forms.Form.TENSORS, folder, None, slice(0, 0), folder / "target")
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("late", [False, True])
def test_a_link_put_where_a_folder_is_made_opens_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Who may write above puts it there in the moment before, or after, the folder is made: the keys stay closed."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    wanted = tmp_path / "exchange"

    def beaten(self: Path, *_: Any, **__: Any) -> None:
        self.symlink_to(keys)
        if not late:
            raise FileExistsError(17, "File exists", str(self))

    monkeypatch.setattr(Path, "mkdir", beaten)
    with contextlib.suppress(OSError):
        make_folder(wanted, ANYBODY)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
