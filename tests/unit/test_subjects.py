"""Which UUIDs and packages a run is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from pytest_release.config.environment import Environment
from pytest_release.config.system import System, Table
from pytest_release.errors import TargetError, UsageError
from pytest_release.subjects import Archive, Subjects, Wanted, find_subjects, wanted

HERE = Path("here.yaml")
SYSTEM = System(
    name="shop",
    tables={"orders": Table("orders", "orders", "sql/orders.sql", ("order_id",))},
    source=HERE,
    files=frozenset(),
    pattern=re.compile("[A-Z]{3}"),
)


def environment(uuids: tuple[str, ...] = (), **services: Mapping[str, str]) -> Environment:
    """An environment with these services."""
    return Environment(
        name="here",
        role="staging",
        system="shop",
        base_url=None,
        source=HERE,
        digest="",
        gates={},
        services=services,
        uuids=uuids,
    )


def archive(folder: Path, name: str) -> Path:
    """A file that is named like a package."""
    file = folder / name
    file.write_bytes(name.encode())
    return file


def test_packages_say_which_uuids(tmp_path: Path) -> None:
    """Without ``--uuid`` a run is about the packages given, whatever the environment says."""
    given = [archive(tmp_path, "ABC_v20260101.tar"), archive(tmp_path, "XYZ_v20260101.tar.gz")]

    asked = wanted(environment(("all",)), SYSTEM, [], given)
    found = find_subjects(environment(), SYSTEM, asked)

    assert asked == Wanted((), {"ABC": given[0], "XYZ": given[1]})
    assert found.uuids == ("ABC", "XYZ")
    assert found.packages["ABC"] == Archive(given[0], sha256(b"ABC_v20260101.tar").hexdigest())


def test_of_a_folder_the_newest_of_each(tmp_path: Path) -> None:
    """By the timestamp in the name; other files are passed over."""
    old, new = archive(tmp_path, "ABC_v20260101.tar"), archive(tmp_path, "ABC_v20260102.tar")
    archive(tmp_path, "notes.txt")

    assert wanted(environment(), SYSTEM, [], [tmp_path]).packages == {"ABC": new}
    assert wanted(environment(), SYSTEM, [], [old]).packages == {"ABC": old}


def test_the_environment_says_which_when_the_command_does_not() -> None:
    """Its ``uuids``; an option replaces them."""
    assert wanted(environment(("ABC",)), SYSTEM, [], []) == Wanted(("ABC",))
    assert wanted(environment(("ABC",)), SYSTEM, ["XYZ"], []) == Wanted(("XYZ",))


def test_a_uuid_gets_its_package_from_the_environments_folder(tmp_path: Path) -> None:
    """Only for UUIDs of the run; a package given on the command line goes first."""
    there = archive(tmp_path, "ABC_v20260101.tar")
    archive(tmp_path, "XYZ_v20260101.tar")
    (tmp_path / "given").mkdir()
    given = archive(tmp_path / "given", "ABC_v20250101.tar")
    place = environment(files={"packages": str(tmp_path)})

    found = find_subjects(place, SYSTEM, Wanted(("ABC", "QQQ")))
    first = find_subjects(place, SYSTEM, Wanted((), {"ABC": given}))

    assert (found.uuids, set(found.packages)) == (("ABC", "QQQ"), {"ABC"})
    assert found.packages["ABC"].path == there
    assert first.packages["ABC"].path == given


@pytest.mark.parametrize(
    ("uuids", "names", "message"),
    [
        (["abc"], [], r"^--uuid 'abc' is no UUID of shop: expected all, or what matches \[A-Z\]"),
        (
            [],
            ["abc.tar"],
            r"^--package .*abc\.tar is not named like a package: expected \{uuid\}_v",
        ),
        ([], ["GHI_v20260101.tar"], r"^--package .*GHI_v20260101\.tar: there is no such file$"),
        ([], ["empty"], r"^--package .*empty: the folder holds no package of shop$"),
        (
            [],
            ["ABC_v20260101.tar", "ABC_v20260102.tar"],
            r"^--package: .*ABC_v20260101\.tar and .*ABC_v20260102\.tar are both of ABC$",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, uuids: list[str], names: list[str], message: str
) -> None:
    """One sentence with what was given and what was expected."""
    (tmp_path / "empty").mkdir()
    archive(tmp_path, "ABC_v20260101.tar")
    archive(tmp_path, "ABC_v20260102.tar")

    with pytest.raises(UsageError, match=message):
        wanted(environment(), SYSTEM, uuids, [tmp_path / name for name in names])


def test_all_needs_a_database_to_ask() -> None:
    """The message names the environment's file and the key."""
    with pytest.raises(TargetError, match=r"^--uuid all: here\.yaml names no database to ask"):
        find_subjects(environment(), SYSTEM, Wanted(("all",)))


def test_a_package_that_cannot_be_read(tmp_path: Path) -> None:
    """It went away between the question and the answer."""
    gone = Wanted((), {"ABC": tmp_path / "ABC_v20260101.tar"})

    with pytest.raises(TargetError, match=r"ABC_v20260101\.tar cannot be read: No such file"):
        find_subjects(environment(), SYSTEM, gone)


def test_subjects_cross_processes() -> None:
    """As simple values, which is all that xdist can send."""
    subjects = Subjects(("ABC",), {"ABC": Archive(Path("/a.tar"), "0f")})

    assert Subjects.from_json(subjects.to_json()) == subjects
