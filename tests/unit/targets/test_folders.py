"""Folders: walked without following links, and within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets.folders import listing, place, walk
from pytest_release.targets.portions import UnfinishedError, portions


def test_a_link_is_a_name_that_says_where_it_leads(tmp_path: Path) -> None:
    """A loop of links ends, and so does one that leads out."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    found = {entry.path.name: entry.target for entry in walk(tmp_path)}

    assert found == {"a": None, "b": None, "up": tmp_path}
    assert [entry.path.name for entry in listing(tmp_path)] == ["a"]


def test_a_folder_by_two_names_is_one_place(tmp_path: Path) -> None:
    """Through a link; what does not exist is no place."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert place(tmp_path / "link") == place(tmp_path / "real")
    assert place(tmp_path / "gone") is None


def test_a_walk_has_an_end(tmp_path: Path) -> None:
    """A folder that is too large is not taken for a small one."""
    for number in range(3):
        (tmp_path / str(number)).touch()

    with pytest.raises(UnfinishedError, match="only the first 2 names were read"):
        list(walk(tmp_path, most=2))


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """Is an error and not an empty one."""
    with pytest.raises(TargetError, match="gone cannot be read: No such file or directory"):
        list(walk(tmp_path / "gone"))
    with pytest.raises(TargetError, match="gone cannot be read: No such file or directory"):
        listing(tmp_path / "gone")


def test_portions() -> None:
    """Of a size, the last one smaller; none of nothing."""
    assert list(portions(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(portions([], 2)) == []


def test_what_is_passed_over_is_not_read(tmp_path: Path) -> None:
    """A folder of data is left out with all below it, and does not count."""
    for name in ("data/a", "data/b", "kept/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = walk(tmp_path, 2, lambda name: name == "data")

    assert sorted(entry.path.name for entry in found) == ["c", "kept"]
