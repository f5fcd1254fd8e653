"""The folder that SWCI sees: nothing outside it is named, read or listed, whatever a link says."""

from __future__ import annotations

from pathlib import Path

import pytest
from swarm.core.errors import OperatorFault
from swarm.swci.folder import ENTRIES_MAX, Folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A USR_DIR with a folder, and links that lead out of it."""
    outside, found = tmp_path / "outside", tmp_path / "usr"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret.yaml").write_text("x")
    (found / "inner").mkdir(parents=True)
    (found / "inner" / "task.yaml").write_text("x")
    (found / "out").symlink_to(outside)
    (found / ".hidden").write_text("x")
    return found


def test_completion_follows_no_link(root: Path) -> None:
    """What lies behind a link out of the folder is not offered; what lies in a folder is."""
    assert Folder(root).names() == ["inner", "out", "inner/task.yaml"]


def test_what_is_named_when_a_file_is_not_there_lies_inside(root: Path) -> None:
    """Neither the folder above, nor one behind a link."""
    folder = Folder(root)
    with pytest.raises(OperatorFault, match="inner, out") as told:
        folder.read("none.yaml")
    assert "outside" not in str(told.value)
    for text in ("out/secret.yaml", "../outside/secret.yaml", "out/deep"):
        with pytest.raises(OperatorFault, match="which SWCI is confined to"):
            folder.read(text)


def test_a_folder_that_became_a_link_is_left(root: Path, tmp_path: Path) -> None:
    """Also where a shell already was: what it names is looked at anew."""
    folder = Folder(root)
    folder.change("inner")
    (root / "inner").rename(root / "other")
    (root / "inner").symlink_to(tmp_path / "outside")
    assert folder.names() == []
    for act in (lambda: folder.listing(""), lambda: folder.read("secret.yaml")):
        with pytest.raises(OperatorFault, match="which SWCI is confined to"):
            act()


@pytest.mark.parametrize("text", ["/platform/swarm/usr/none.yaml", "/platform/swarm/usr"])
def test_where_all_may_be_read_a_path_means_itself(text: str) -> None:
    """The name that scripts have for USR_DIR stands for no root of the whole host: another file would be read."""
    folder = Folder(Path("/"))
    assert folder.place(text) == Path(text)


def test_scripts_name_the_folder_as_the_original_has_it(root: Path) -> None:
    """Whatever it is on this host, and nothing that only begins so."""
    folder = Folder(root)
    assert folder.place("/platform/swarm/usr/inner/task.yaml") == root / "inner" / "task.yaml"
    with pytest.raises(OperatorFault, match="which SWCI is confined to"):
        folder.place("/platform/swarm/usrother")


def test_a_crowded_folder_is_offered_in_part(root: Path) -> None:
    """The first by name, and a listing says how many more there are."""
    for number in range(ENTRIES_MAX + 50):
        (root / "inner" / f"{number:05}").touch()
    folder = Folder(root)
    folder.change("inner")
    assert folder.names()[:2] == ["00000", "00001"]
    assert len(folder.names()) == ENTRIES_MAX
    assert folder.listing("")[-1] == "and 51 more"
