"""The keystore: made once, private, fast to open, and never silently replaced."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from swarm.core.errors import OperatorFault
from swarm.store import keystore
from swarm.store.keystore import KEY_FILE, PASSWORD_FILE, load_or_create


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """The second call opens the same key; the folder is 0700 and both files 0600; the key is not in clear."""
    folder = tmp_path / "keys"
    first = load_or_create(folder, None)
    assert load_or_create(folder, None).address == first.address
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in (KEY_FILE, PASSWORD_FILE):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert bytes(first.key).hex() not in (folder / KEY_FILE).read_text()


def test_opening_with_the_random_password_is_quick(tmp_path: Path) -> None:
    """A start pays far less than the 0.3 s it may cost."""
    load_or_create(tmp_path, None)
    begun = time.process_time()
    load_or_create(tmp_path, None)
    assert time.process_time() - begun < 0.3


@pytest.mark.parametrize("name", [KEY_FILE, PASSWORD_FILE])
def test_files_that_others_can_read_are_refused_with_the_command(tmp_path: Path, name: str) -> None:
    """The sentence holds the chmod that mends it."""
    load_or_create(tmp_path, None)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(OperatorFault, match=f"chmod 600 .*{name}"):
        load_or_create(tmp_path, None)


def test_a_lost_password_or_foreign_file_is_named(tmp_path: Path) -> None:
    """Nothing is made anew in place of a key that cannot be opened."""
    load_or_create(tmp_path, None)
    sealed = (tmp_path / KEY_FILE).read_bytes()
    with pytest.raises(OperatorFault, match="does not open"):
        load_or_create(tmp_path, "wrong")
    (tmp_path / PASSWORD_FILE).unlink()
    with pytest.raises(OperatorFault, match=PASSWORD_FILE):
        load_or_create(tmp_path, None)
    assert (tmp_path / KEY_FILE).read_bytes() == sealed
    (tmp_path / KEY_FILE).write_text("{}")
    with pytest.raises(OperatorFault, match="keystore"):
        load_or_create(tmp_path, "any")


def test_an_operators_password_opens_the_key_and_is_not_stored(tmp_path: Path) -> None:
    """With a password of one's own there is no password file, and the same password opens the key."""
    first = load_or_create(tmp_path, "a person's choice")
    assert not (tmp_path / PASSWORD_FILE).exists()
    assert load_or_create(tmp_path, "a person's choice").address == first.address


def test_a_key_that_another_process_made_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of one folder: the second says so; the first one's key is the only way to its membership."""
    other = tmp_path / "other"
    load_or_create(other, None)
    theirs = (other / KEY_FILE).read_bytes()
    (tmp_path / KEY_FILE).write_bytes(theirs)
    with pytest.raises(OperatorFault, match="two processes share"):
        keystore._create(tmp_path / KEY_FILE, tmp_path / PASSWORD_FILE, None)
    assert (tmp_path / KEY_FILE).read_bytes() == theirs
