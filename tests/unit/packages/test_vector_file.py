"""Tests of `pytest_release.packages.vector_file`: SQLite, looked at by a process of its own."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest

from pytest_release.config.system import PackageLayout
from pytest_release.packages import vector_file
from pytest_release.packages.contents import Aspect, VectorTableContents
from pytest_release.packages.vector_file import look_into, read_vector_tables
from tests.unit.packages.forge import CHUNKS, FACES, UUID, only_flaw, read_with, sqlite, system

FOUND = {
    "vec_chunks": VectorTableContents(CHUNKS, 768),
    "vec_faces": VectorTableContents(FACES, 512),
}


def layout() -> PackageLayout:
    """What the file is expected to hold."""
    found = system().package
    assert found is not None
    return found


def test_a_deployed_file_is_read(tmp_path: Path) -> None:
    """Its vec0 tables, their rows and dimensions."""
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(sqlite())
    found = read_vector_tables(path, layout())

    assert found.tables == FOUND
    assert found.flaws == ()
    assert path.read_bytes() == sqlite()


def test_the_file_of_a_package_is_read_without_a_name(tmp_path: Path) -> None:
    """Nothing is left in the folder for temporary files."""
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        file.write(sqlite())
        file.flush()
        look = look_into(file, "x.sqlite", layout(), 60)
        assert look.result().tables == FOUND
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_a_flaw(tmp_path: Path) -> None:
    """With its path."""
    found = read_vector_tables(tmp_path / "x.sqlite", layout())

    assert found.flaws[0].message == f"there is no file {tmp_path / 'x.sqlite'}"


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (
            "DROP TABLE vec_faces",
            "no-vector-table",
            f"{UUID}.sqlite: the vec0 table vec_faces is missing",
        ),
        (
            "DROP TABLE vec_faces; CREATE TABLE vec_faces (embedding)",
            "no-vector-table",
            f"{UUID}.sqlite: the vec0 table vec_faces is no virtual table of vec0",
        ),
        (
            "DROP TABLE vec_faces; CREATE VIEW vec_faces AS SELECT 1 AS embedding",
            "no-vector-table",
            f"{UUID}.sqlite: the vec0 table vec_faces is missing",
        ),
        (
            "DROP TABLE vec_faces; CREATE VIRTUAL TABLE vec_faces USING vec0(other float[512])",
            "no-vector-table",
            f"{UUID}.sqlite: the vec0 table vec_faces declares no column embedding of floats",
        ),
        (
            "DELETE FROM vec_faces WHERE rowid = 1",
            "count-differs",
            (
                f"the vec0 table vec_faces has {FACES - 1} rows, "
                f"but face_detections has {FACES} with a vector"
            ),
        ),
        (
            "DROP TABLE vec_faces_rowids",
            "vector-query",
            f"{UUID}.sqlite: the vec0 table vec_faces cannot be read: ",
        ),
    ],
)
def test_a_wrong_table_is_found(extra: str, code: str, message: str, tmp_path: Path) -> None:
    """By its name."""
    package = read_with(tmp_path, {f"{UUID}.sqlite": sqlite(extra=extra)})
    [flaw] = [flaw for flaw in package.flaws if flaw.code == code]

    assert flaw.message.startswith(message)
    assert flaw.aspect is Aspect.SQLITE
    assert package.complete


def test_wrong_dimensions_are_found(tmp_path: Path) -> None:
    """As the table declares them."""
    package = read_with(tmp_path, {f"{UUID}.sqlite": sqlite(dimensions=511)})
    flaw = only_flaw(package)

    assert flaw.message == (
        f"{UUID}.sqlite: the vec0 table vec_faces has 511 dimensions, expected 512"
    )
    assert package.vector_tables["vec_faces"] == VectorTableContents(FACES, 511)


def test_a_row_that_is_not_its_own_neighbour_is_found(tmp_path: Path) -> None:
    """A vector that is no number finds nothing."""
    data = sqlite(faces=1, dimensions=512)
    number = struct.pack("<512f", *[0.5] * 512)
    broken = data.replace(number[:64], struct.pack("<f", float("nan")) * 16)
    package = read_with(tmp_path, {f"{UUID}.sqlite": broken})
    found = [flaw.message for flaw in package.flaws if flaw.code == "vector-query"]
    problem = "vec_faces does not find row 0 by its own vector: the nearest is None away"

    assert f"{UUID}.sqlite: the vec0 table {problem}" in found


@pytest.mark.parametrize("data", [b"", b"no database at all" * 100, sqlite()[:5000]])
def test_what_is_no_database_is_found(data: bytes, tmp_path: Path) -> None:
    """Nothing, garbage, half a file."""
    package = read_with(tmp_path, {f"{UUID}.sqlite": data})

    assert package.complete
    assert {flaw.aspect for flaw in package.flaws} == {Aspect.SQLITE}


def test_garbage_is_named_as_such(tmp_path: Path) -> None:
    """With what SQLite says."""
    flaw = only_flaw(read_with(tmp_path, {f"{UUID}.sqlite": b"no database at all" * 100}))

    assert flaw.message == f"{UUID}.sqlite cannot be read by SQLite: NotADB: file is not a database"
    assert flaw.code == "broken-sqlite"


def test_a_slow_file_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process ends with it."""
    worker = tmp_path / "worker.py"
    worker.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(vector_file, "WORKER", worker)
    with tempfile.TemporaryFile() as file:
        [flaw] = look_into(file, "x.sqlite", layout(), 0.2).result().flaws

    assert flaw.message == "x.sqlite was not read within 0.2 s"
    assert flaw.code == "sqlite-too-slow"


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        ("import os\nos.kill(os.getpid(), 11)\n", "its process ended by SIGSEGV"),
        ("raise SystemExit(3)\n", "its process ended with status 3"),
        ("print('x' * 2_000_000)\n", "its process ended with status 0"),
    ],
)
def test_a_file_that_ends_its_reader_is_a_flaw(
    script: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the end of whoever verifies the package."""
    worker = tmp_path / "worker.py"
    worker.write_text(script)
    monkeypatch.setattr(vector_file, "WORKER", worker)
    with tempfile.TemporaryFile() as file:
        [flaw] = look_into(file, "x.sqlite", layout(), 60).result().flaws

    assert flaw.message == f"x.sqlite makes SQLite fail: {ending}"
    assert flaw.code == "sqlite-crash"
