"""Tests of release folders: copies that stay as they are, and a switch that is one rename."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_release.errors import RolloutError
from pytest_release.rollout import folders
from pytest_release.rollout.desk import Wish, run
from pytest_release.rollout.folders import Shelf
from pytest_release.rollout.state import STOPPED, SUCCESS
from tests.unit.rollout.conftest import Yard

NOW = datetime(2026, 1, 30, 10, 15, tzinfo=UTC)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A stack's folder: files, a folder, and a link between them."""
    folder = tmp_path / "source"
    (folder / "config").mkdir(parents=True)
    (folder / "compose.yaml").write_text("services: {}\n")
    (folder / ".env").write_text("PASSWORD=x\n")
    (folder / ".env").chmod(0o600)
    (folder / "config" / "odoo.conf").write_text("[options]\n")
    (folder / "odoo.conf").symlink_to("config/odoo.conf")
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An empty one; made removable in the end."""
    made = Shelf(tmp_path / "releases")
    yield made
    subprocess.run(["chmod", "-R", "u+w", made.root], check=False, capture_output=True)


def days(number: int) -> datetime:
    """So many days later."""
    return NOW + timedelta(days=number)


def test_a_copy_is_whole_and_cannot_be_written(source: Path, shelf: Shelf) -> None:
    """Contents, links and modes are the source's, but for the permission to write."""
    made = shelf.copy(source, "sha-4b1ce21", NOW)

    assert made.path.name == "sha-4b1ce21__20260130T101500.000000Z"
    assert (made.path / "odoo.conf").readlink() == Path("config/odoo.conf")
    assert (made.path / ".env").read_text() == "PASSWORD=x\n"
    assert (made.path / ".env").stat().st_mode & 0o777 == 0o400
    assert made.path.stat().st_mode & 0o222 == 0
    assert shelf.releases() == (made,)
    assert [path.name for path in shelf.root.iterdir()] == [made.path.name]


def test_the_first_switch_needs_no_earlier_release(source: Path, shelf: Shelf) -> None:
    """A symlink that is missing is made; before, nothing is in use and nothing is earlier."""
    made = shelf.copy(source, "1", NOW)
    assert shelf.current() is None
    with pytest.raises(RolloutError, match=r"current is missing: no release is in use, so none"):
        shelf.earlier(1)

    shelf.switch(made)

    assert shelf.link.readlink() == Path(made.path.name)
    assert shelf.current() == made


def test_switch_and_back(source: Path, shelf: Shelf) -> None:
    """By steps, each release once, or to a release by name: its newest copy."""
    one, two, again, three = (
        shelf.copy(source, release, days(day)) for day, release in enumerate(("1", "2", "2", "3"))
    )
    shelf.switch(three)

    assert shelf.earlier(1) == again
    assert shelf.earlier(2) == one
    assert shelf.of("2") == again
    assert two != again
    with pytest.raises(RolloutError, match=r"has 2 releases before 3, not 3; there are: 3, 2, 1"):
        shelf.earlier(3)
    with pytest.raises(RolloutError, match=r"no folder of release 9; there are: 3, 2, 1"):
        shelf.of("9")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("echo >> compose.yaml", "compose.yaml is changed; copy it again"),
        ("rm -f .env; mkdir x; touch x/y", ".env is gone, and 1 more differ; copy it again"),
        ("touch new", "new is new; copy it again"),
        ("ln -sfn compose.yaml odoo.conf", "odoo.conf is changed; copy it again"),
        ("rm .release.json", "has no folder of release 2; there are: 1"),
        ("echo '[' > .release.json", ".release.json does not say what was copied"),
        ("echo '[]' > .release.json", ".release.json does not say what was copied"),
    ],
)
def test_what_was_changed_is_not_switched_to(
    source: Path, shelf: Shelf, change: str, said: str
) -> None:
    """Drift between what was copied and what lies there is found, and the old release stays."""
    one, two = shelf.copy(source, "1", NOW), shelf.copy(source, "2", days(1))
    shelf.switch(one)
    subprocess.run(["chmod", "-R", "u+w", two.path], check=True)
    subprocess.run(["sh", "-c", change], cwd=two.path, check=True)

    with pytest.raises(RolloutError, match=rf"{said}$"):
        shelf.switch(shelf.of("2"))

    assert shelf.current() == one


def test_what_cannot_be_copied(source: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that lead out, what is no file, too many files, no source; nothing is left."""
    with pytest.raises(RolloutError, match=r"no-such is no folder: there is nothing to copy"):
        shelf.copy(source / "no-such", "1", NOW)
    with pytest.raises(RolloutError, match=r"'../1' cannot name a folder: expected letters"):
        shelf.copy(source, "../1", NOW)
    (source / "out").symlink_to("../other")
    with pytest.raises(RolloutError, match=r"source/out leads out of the folder, to ../other"):
        shelf.copy(source, "1", NOW)
    (source / "out").unlink()
    os.mkfifo(source / "pipe")
    with pytest.raises(RolloutError, match=r"source/pipe is neither file nor folder"):
        shelf.copy(source, "1", NOW)
    (source / "pipe").unlink()
    monkeypatch.setattr(folders, "MOST_FILES", 2)
    with pytest.raises(RolloutError, match=r"source holds more than 2 files: is it a release\?"):
        shelf.copy(source, "1", NOW)

    assert list(shelf.root.iterdir()) == []


def test_a_second_is_enough_for_two_copies(source: Path, shelf: Shelf) -> None:
    """A release that is tried again at once gets a folder of its own, the newer one."""
    first = shelf.copy(source, "1", NOW)
    again = shelf.copy(source, "1", NOW + timedelta(microseconds=1))

    assert shelf.releases() == (again, first)
    assert shelf.of("1") == again


def test_a_copy_never_overwrites(source: Path, shelf: Shelf) -> None:
    """Not the release of the same moment; what a killed copy left is removed."""
    made = shelf.copy(source, "1", NOW)
    (shelf.root / ".copying-left").mkdir()

    with pytest.raises(
        RolloutError, match=r"1__20260130T101500\.000000Z is there already: a release"
    ):
        shelf.copy(source, "1", NOW)

    assert [path.name for path in shelf.root.iterdir()] == [made.path.name]


def test_what_is_no_symlink_is_not_replaced(source: Path, shelf: Shelf) -> None:
    """A real folder in its place may be all that there is."""
    made = shelf.copy(source, "1", NOW)
    shelf.link.mkdir()

    with pytest.raises(RolloutError, match=r"current is no symlink: it is not replaced"):
        shelf.switch(made)
    with pytest.raises(RolloutError, match=r"current is no symlink: it is not replaced"):
        shelf.current()

    shelf.link.rmdir()
    shelf.link.symlink_to("/etc")
    with pytest.raises(RolloutError, match=r"current leads to /etc, which is no release folder"):
        shelf.current()


Does = Callable[..., tuple[str, str]]


@pytest.fixture
def does(yard: Yard) -> Does:
    """Does one action of the adapter in a rollout; how that ended, and why."""

    def does(release: str = "2.0", **options: object) -> tuple[str, str]:
        action = {"folder": {"root": "releases", **options}}
        yard.plan({"name": "it", "type": "preflight", "with": action})
        result = yard.run(release)
        return result.status, yard.looks[-1].state.tasks["it"].outcome.why

    return does


def test_a_rollout_copies_switches_and_goes_back(yard: Yard, source: Path, does: Does) -> None:
    """As a plan's steps: what is missing or another is said, and steps tell what they did."""
    assert does(do="show") == (
        STOPPED, f"{yard.folder}/releases/current is missing: no release is in use",
    )  # fmt: skip
    assert does("1.0", do="copy", source="source")[0] == SUCCESS
    said = does("1.0", do="switch")
    assert said[0] == SUCCESS
    assert said[1].endswith("was missing: the first release here")
    assert does("2.0", do="show")[1].endswith("current should be 2.0 and is 1.0")
    (older,) = Shelf(yard.folder / "releases").releases()
    assert older.release == "1.0"
    assert does("2.0", do="switch")[1].endswith("has no folder of release 2.0; there are: 1.0")
    later = Shelf(yard.folder / "releases").copy(source, "1.0", datetime.now(UTC) + timedelta(1))
    assert does("1.0", do="show")[1].endswith(f"and {later.path.name} is newer")
    assert does("1.0", do="switch")[0] == SUCCESS
    assert does("1.0", do="show") == (
        SUCCESS, f"{yard.folder}/releases/current is {later.path.name}",
    )  # fmt: skip
    assert does(do="back")[1].endswith("has 0 releases before 1.0, not 1; there are: 1.0")


def test_a_copy_that_was_killed_is_found_or_made_again(yard: Yard, source: Path) -> None:
    """Wherever the driver dies, there is one copy in the end, and it is used."""
    actions: dict[str, dict[str, str]] = {
        "copy": {"do": "copy", "root": "releases", "source": "source"},
        "switch": {"do": "switch", "root": "releases"},
    }
    copy, switch = (
        {"name": name, "type": "preflight", "with": {"folder": action}}
        for name, action in actions.items()
    )
    yard.plan(copy, switch)

    for number in (5, 6, 10, 13, 14, 18):
        yard.killed_at(number, lambda at: run(yard.desk(at=at), Wish("shop", "2.0")))
        assert yard.look.state.closed or yard.resume().status == SUCCESS
        (made,) = Shelf(yard.folder / "releases").releases()
        assert Shelf(yard.folder / "releases").current() == made
        subprocess.run(["rm", "-rf", "releases", "rollouts"], check=True)
