"""A package is made whole, verified and always the same, or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from pytest_release.config.system import System
from pytest_release.delivery.build import build_package
from pytest_release.delivery.install import Place
from pytest_release.errors import PackageError
from pytest_release.packages.reading import read_package
from pytest_release.sandbox.stores import EPOCH, Stores
from pytest_release.targets.postgres import Database
from tests.data.delivery.deployed import ONE, dsn, run

FIXTURES = Path(__file__).parents[3] / "fixtures"
BUILD = """
import os, signal, sys
from pathlib import Path
from pytest_release.config.systems import load_system
from pytest_release.delivery.build import build_package
from pytest_release.targets.postgres import Database
uuid, dsn, output, destination, fixtures = sys.argv[1:]
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
with Database.connect({"dsn": dsn, "schema": "dev"}) as database:
    system = load_system(Path(fixtures), "momentry", {})
    build_package(uuid, database, system, Path(output), Path(destination), 0)
"""


@pytest.fixture
def made(place: Place, tmp_path: Path) -> Path:
    """An empty folder for the package."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


def build(place: Place, folder: Path, system: System | None = None) -> Path:
    """Of what is deployed there."""
    with Database.connect(place.environment.services["postgres"]) as database:
        return build_package(
            ONE, database, system or place.system, place.output / ONE, folder, EPOCH
        )


def test_a_package_made_of_what_was_installed_is_the_same(
    stores: Stores, momentry: System, tmp_path: Path
) -> None:
    """Byte for byte: nothing was lost or changed on the way."""
    with Database.connect(stores.services["postgres"]) as database:
        again = build_package(ONE, database, momentry, stores.output / ONE, tmp_path, EPOCH)

    assert again.name == stores.packages[ONE].name
    assert again.read_bytes() == stores.packages[ONE].read_bytes()
    assert list(tmp_path.iterdir()) == [again]


def test_the_same_rows_and_files_give_the_same_bytes(
    stores: Stores, place: Place, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order in the tables and the folder, the times of files, and whoever makes it."""
    database = conninfo_to_dict(dsn(place))["dbname"]
    run(
        place,
        "CREATE TEMP TABLE kept AS SELECT * FROM dev.tkg_edges ORDER BY random();"
        "DELETE FROM dev.tkg_edges; INSERT INTO dev.tkg_edges SELECT * FROM kept",
        f"ALTER DATABASE {database} SET datestyle = 'German, DMY'",
        f"ALTER DATABASE {database} SET timezone = 'Asia/Taipei'",
    )
    for file in sorted((place.output / ONE).iterdir(), reverse=True):
        shutil.copyfile(file, aside := made / "aside")
        shutil.copymode(file, aside)
        file.unlink()
        aside.rename(file)
    monkeypatch.setenv("TZ", "Pacific/Apia")
    before = os.umask(0o077)
    try:
        package = build(place, made)
    finally:
        os.umask(before)

    assert package.read_bytes() == stores.packages[ONE].read_bytes()


def test_the_manifest_lists_members_and_tables(place: Place, made: Path) -> None:
    """Every member but itself with size and SHA-256, every table with rows and fingerprint."""
    path = build(place, made)
    with tarfile.open(path) as archive:
        member = archive.extractfile(f"{ONE}/manifest.json")
        assert member is not None
        manifest = json.load(member)
    package = read_package(path, place.system)

    assert manifest["members"] == {
        name: {"sha256": found.sha256, "size": found.size}
        for name, found in package.members.items()
        if name != "manifest.json"
    }
    assert manifest["tables"] == {
        name: {"rows": table.rows, "fingerprint": str(table.fingerprint)}
        for name, table in package.tables.items()
    }
    assert not package.flaws


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, rf"^there is no folder .*{ONE} with the files of {ONE}$"),
    "no script": (
        lambda folder: (folder / "verify.sh").unlink(),
        rf"{ONE} has no verify\.sh, which a package needs$",
    ),
    "no sidecar": (
        lambda folder: (folder / f"{ONE}.face.json").unlink(),
        rf" has no {ONE}\.face\.json, which a package needs$",
    ),
    "no video": (
        lambda folder: [file.rename(f"{file}.bak") for file in folder.glob("*.mp4")],
        r" has no \*\.mp4 or \*\.mov, which a package needs$",
    ),
    "not executable": (
        lambda folder: (folder / "deploy.sh").chmod(0o644),
        r"^the package would not verify, so it was not made: .*deploy\.sh",
    ),
    "no JSON": (
        lambda folder: (folder / f"{ONE}.cut.json").write_text("{"),
        r"^the package would not verify, so it was not made: .*cut\.json",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_would_not_verify_is_not_made(place: Place, made: Path, damage: str) -> None:
    """The message names it, and the folder stays empty."""
    change, message = DAMAGES[damage]
    change(place.output / ONE)

    with pytest.raises(PackageError, match=message):
        build(place, made)

    assert not list(made.iterdir())


def test_a_system_without_packages(place: Place, made: Path) -> None:
    """The message names its file and the key."""
    with pytest.raises(
        PackageError, match=r"momentry\.yaml describes no package: add the key pack"
    ):
        build(place, made, replace(place.system, package=None))


def test_a_package_that_cannot_be_written(
    place: Place, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is noticed when it is synced at the latest; nothing is left."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        PackageError, match=r"^the package .*\.tar\.gz cannot be written: No space left on device$"
    ):
        build(place, made)

    assert not list(made.iterdir())


def test_killed_while_it_is_made_leaves_no_package(place: Place, made: Path) -> None:
    """Nothing has a package's name before it is whole; the next one is made all the same."""
    arguments = [ONE, dsn(place), str(place.output / ONE), str(made), str(FIXTURES)]
    process = subprocess.run([sys.executable, "-c", BUILD, *arguments], check=False)

    assert process.returncode == -signal.SIGKILL
    assert not [file for file in made.iterdir() if not file.name.startswith(".")]
    assert build(place, made).exists()
