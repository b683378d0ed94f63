"""What an installation refuses, and in which words: the procedure's failure table."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.environment import ReleaseSource
from pytest_release.delivery.install import Place, install_package
from pytest_release.errors import PackageError
from pytest_release.sandbox import package_faults as spoilt
from pytest_release.sandbox.stores import Stores
from tests.data.delivery.deployed import ONE, TRIGGER, TWO, dsn, install, run, state

FIXTURES = Path(__file__).parents[3] / "fixtures"


def test_a_flawed_package_is_refused(package: Path, place: Place) -> None:
    """Before anything is touched, with the reasons."""
    before = state(place)
    spoilt.without("deploy.sh")(package)

    with pytest.raises(PackageError, match=r"is not good, nothing was changed:\n  .*deploy\.sh"):
        install(package, place)

    assert state(place) == before


def test_a_row_that_refers_to_nothing(package: Path, place: Place) -> None:
    """The failure table's foreign key: table, key, line, and what to do."""
    old = f"{ONE[:8]}-c00003\t".encode()
    spoilt.edited("sql/dev_chunk_vectors.sql", old, b"gone\t")(package)
    expected = (
        r"^step 3, importing chunk_vectors from sql/dev_chunk_vectors\.sql: .*foreign key.*; "
        r"Key \(chunk_id\)=\(gone\) is not present in table \"chunk\"; nothing was changed: the row"
    )

    with pytest.raises(PackageError, match=expected):
        install(package, place)


def test_a_row_that_is_there_already(package: Path, place: Place) -> None:
    """The failure table's duplicate: another file has that key."""
    old = f"{ONE[:8]}-no00003\t".encode()
    spoilt.edited("sql/dev_tkg_nodes.sql", old, f"{TWO[:8]}-no00003\t".encode())(package)
    expected = (
        rf"tkg_nodes .*Key \(node_id\)=\({TWO[:8]}-no00003\) already exists; COPY tkg_nodes, line"
    )

    with pytest.raises(PackageError, match=expected):
        install(package, place)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE dev.tkg_edges RENAME TO e", "see services.postgres.schema, and run the migr"),
        ("ALTER TABLE dev.chunk DROP COLUMN speaker", "of different versions; get the matching"),
    ],
)
def test_a_schema_that_does_not_fit(
    stores: Stores, place: Place, statement: str, message: str
) -> None:
    """What is missing, and what to do."""
    run(place, statement)

    with pytest.raises(PackageError, match=message):
        install(stores.packages[ONE], place)


def test_a_rule_that_swallows_rows(stores: Stores, place: Place) -> None:
    """COPY says 24, the table says less: counted, named, and nothing is changed."""
    run(
        place, TRIGGER.format(body="IF NEW.chunk_index = 3 THEN RETURN NULL; END IF", table="chunk")
    )
    run(place, "ALTER TABLE dev.chunk_vectors DROP CONSTRAINT chunk_vectors_chunk_id_fkey")
    before = state(place)

    with pytest.raises(PackageError, match=r"^step 3: chunk has 23 rows after COPY of 24; nothing"):
        install(stores.packages[ONE], place)

    assert state(place) == before


def test_a_person_that_others_need(package: Path, place: Place) -> None:
    """The new package lacks an identity to which another file's faces are bound."""
    with psycopg.connect(dsn(place)) as connection:
        row = connection.execute(
            "SELECT into_uuid::text FROM dev.identity_merges ORDER BY 1 LIMIT 1"
        ).fetchone()
    assert row is not None
    for table in ("identities", "identity_bindings"):
        other = b"00000000-0000-4000-8000-000000000001"
        spoilt.edited(f"sql/dev_{table}.sql", str(row[0]).encode(), other)(package)
    before = state(place)

    with pytest.raises(
        PackageError, match=rf"^identity {row[0]} of {ONE} is not in the new package"
    ):
        install(package, place)

    assert state(place) == before


def test_a_full_disk(stores: Stores, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much there is, how much is needed, and nothing is touched."""
    usage = shutil.disk_usage(place.output)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(PackageError, match=r"has 1,000 bytes free, the files of the package need"):
        install(stores.packages[ONE], place)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("postgres", r"^here\.yaml names no database: add services\.postgres\.dsn$"),
        ("files", r"^here\.yaml names no output folder: add services\.files\.output$"),
    ],
)
def test_a_place_without_stores(stores: Stores, place: Place, service: str, message: str) -> None:
    """The message names the environment's file and the key."""
    services = {name: s for name, s in place.environment.services.items() if name != service}
    bare = replace(place, environment=replace(place.environment, services=services))

    with pytest.raises(PackageError, match=message):
        install(stores.packages[ONE], bare)


def test_an_output_folder_that_is_not_there(stores: Stores, place: Place) -> None:
    """Nobody makes it by mistake."""
    shutil.rmtree(place.output)

    with pytest.raises(PackageError, match=r"^there is no folder .*output: make it, or mend"):
        install(stores.packages[ONE], place)


def test_a_release_that_is_not_the_packages(
    stores: Stores, place: Place, health: Callable[[str], str]
) -> None:
    """Step 0: both are named, and what to do; development accepts an unknown build."""
    source = ReleaseSource("/health", "version", "build")
    before = state(place)

    def at(role: str, build: str) -> Place:
        environment = replace(place.environment, role=role, release=source, base_url=health(build))
        return replace(place, environment=environment)

    with pytest.raises(
        PackageError, match=r"was made by 1\.0\.0 \(d34bcae\), here runs 1\.0\.0, com"
    ):
        install(stores.packages[ONE], at("production", "0123456"))
    with pytest.raises(
        PackageError, match=r"here runs 1\.0\.0, commit unknown; nothing was changed"
    ):
        install(stores.packages[ONE], at("production", "unknown"))
    assert state(place) == before
    assert install(stores.packages[ONE], at("production", "d34bcae"))[0].startswith("[0/9]")
    assert install(stores.packages[ONE], at("development", "unknown"))[-1].startswith("[8/9]")


def test_a_deployment_that_does_not_name_itself(stores: Stores, place: Place) -> None:
    """Only development may do without."""
    careless = replace(place, environment=replace(place.environment, role="staging"))

    with pytest.raises(
        PackageError, match=r"^here\.yaml does not say where the build names itself"
    ):
        install(stores.packages[ONE], careless)


def test_many_flaws_are_cut_short(package: Path, place: Place) -> None:
    """Five, and where to see the others."""
    for name in ("deploy.sh", "verify.sh", "vec0.dylib", "*.asr.json", "*.cut.json", "*.yolo.json"):
        spoilt.without(name.replace("*", ONE))(package)

    with pytest.raises(
        PackageError, match=r"(?s)(\n  .*){5}\n  and \d more, see: pytest-release package verify$"
    ):
        install(package, place)


def test_a_database_without_room(stores: Stores, place: Place) -> None:
    """The failure table's full disk, on the server's side."""
    body = "RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'"
    run(place, TRIGGER.format(body=body, table="tkg_nodes"))

    with pytest.raises(
        PackageError,
        match=r"importing tkg_nodes .*: could not extend file; .*nothing was changed: the database "
        r"has no disk space left; see df, clean up$",
    ):
        install(stores.packages[ONE], place)


def test_files_that_cannot_be_written(
    stores: Stores, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after all: what was written aside is removed, and no row has changed."""
    before = state(place)
    real = os.fsync
    synced: list[int] = []

    def full(descriptor: int) -> None:
        real(descriptor)
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        PackageError,
        match=r"^step 4: the files cannot be written to .*\.installing: No space left on device; "
        r"nothing was changed: see df, clean up, install again$",
    ):
        install(stores.packages[ONE], place)

    assert state(place) == before
    assert not list(place.output.glob(".*"))


def test_a_folder_that_cannot_get_its_name(stores: Stores, place: Place) -> None:
    """Step 6: the rows are there, which is said; once it is mended, installing again finishes."""
    before = state(place)
    obstacle = place.output / f".{ONE}.replaced"
    obstacle.write_text("a file, where a folder should be")

    with pytest.raises(
        PackageError,
        match=r"^step 6: .*\.installing cannot become .*: Not a directory; the rows are installed, "
        r"the files are not: mend that and install again$",
    ):
        install(stores.packages[ONE], place)

    obstacle.unlink()
    install(stores.packages[ONE], place)
    assert state(place) == before


def test_a_package_that_changes_while_it_is_installed(package: Path, place: Place) -> None:
    """What was verified is not what is there now: nothing of it stays."""
    before = state(place)

    def say(line: str) -> None:
        if line.startswith("[2/9]"):
            spoilt.edited("sql/dev_tkg_edges.sql", b"-e00003\t", b"-e99999\t", 1)(package)

    with pytest.raises(PackageError, match=r"has changed since it was verified: its SHA-256 was"):
        install_package(package, place, say)

    assert state(place) == before


def test_what_is_not_as_it_should_be_afterwards(stores: Stores, place: Place) -> None:
    """Step 8: every table has its rows, and one of them another value; told table by table."""
    body = "NEW.content := 'something else'"
    run(place, TRIGGER.format(body=body, table="chunk"))
    cases = load_casebook(FIXTURES, "momentry", {}).looks
    looks = [replace(case, expect={}) for case in cases if case.gate == "row_count"]

    with pytest.raises(
        PackageError,
        match=rf"^step 8: {ONE} is installed and not as it should be; compare table by table:\n"
        r"  chunk .*\n?",
    ):
        install(stores.packages[ONE], replace(place, looks=looks))


def test_a_system_without_a_status(stores: Stores, place: Place) -> None:
    """Step 5 says that there is none."""
    lines = install(stores.packages[ONE], replace(place, system=replace(place.system, status=None)))

    assert "[5/9] Setting the status ... the system has none" in lines


def test_masked_columns_are_not_told(package: Path, place: Place) -> None:
    """The server quotes values; of a table with secrets, table, constraint and line remain."""
    nodes = replace(place.system.tables["tkg_nodes"], masked=frozenset({"label"}))
    system = replace(place.system, tables={**place.system.tables, "tkg_nodes": nodes})
    old = f"{ONE[:8]}-no00003\t".encode()
    spoilt.edited("sql/dev_tkg_nodes.sql", old, f"{TWO[:8]}-no00003\t".encode())(package)

    with pytest.raises(
        PackageError,
        match=r"importing tkg_nodes from sql/dev_tkg_nodes\.sql: UniqueViolation "
        r"\(tkg_nodes_pkey\); COPY tkg_nodes, line \d+; nothing was changed: the row",
    ) as caught:
        install(package, replace(place, system=system))

    assert "no00003" not in str(caught.value)


def test_a_masked_value_that_is_no_value(package: Path, place: Place) -> None:
    """The server's line would quote it, too."""
    nodes = replace(place.system.tables["tkg_nodes"], masked=frozenset({"start_time"}))
    system = replace(place.system, tables={**place.system.tables, "tkg_nodes": nodes})
    rows = re.compile(rb"(?<=FROM stdin;\n)(.*\t)[^\t]+\t[^\t]+\t([^\t\n]+\n)")
    spoilt.edited("sql/dev_tkg_nodes.sql", rows, b"x\t{a}\tface\tl\tsesame\t1\t\\N\n", 1)(package)

    with pytest.raises(
        PackageError,
        match=r"InvalidTextRepresentation; COPY tkg_nodes, line 1; nothing was changed",
    ) as caught:
        install(package, replace(place, system=system))

    assert "sesame" not in str(caught.value)
