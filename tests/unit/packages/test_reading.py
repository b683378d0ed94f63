"""Tests of `pytest_release.packages.reading`: everything that one pass finds out."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_release.errors import PackageError
from pytest_release.packages.contents import Aspect, Member
from pytest_release.packages.reading import read_package
from tests.unit.packages.forge import (
    OTHER,
    UUID,
    Members,
    archive,
    compressed,
    members,
    only_flaw,
    put,
    read,
    read_with,
    system,
)


def with_manifest(content: Members, folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    """The manifest of a package."""
    package = read(folder, archive(content))
    return {
        "members": {m.name: {"sha256": m.sha256, "size": m.size} for m in package.members.values()},
        "tables": {
            name: {"rows": t.rows, "fingerprint": str(t.fingerprint)}
            for name, t in package.tables.items()
        },
    }


def test_a_good_package_has_no_flaw(tmp_path: Path) -> None:
    """And everything in it is known."""
    package = read(tmp_path, archive())

    assert package.flaws == ()
    assert package.complete
    assert (package.uuid, package.version, package.build) == (UUID, "1.0.0", "d34bcae")
    assert package.items == {"face": 4, "yolo": 1, "asr": 1, "asrx": 3, "cut": 1}
    assert {name: table.rows for name, table in package.tables.items()} == {
        "videos": 1,
        "chunk": 3,
        "chunk_vectors": 3,
        "face_detections": 4,
        "identities": 2,
        "identity_bindings": 4,
        "tkg_nodes": 3,
        "tkg_edges": 2,
    }
    assert package.info["momentry_build"] == "d34bcae"
    assert package.seconds > 0


def test_each_member_is_known_by_its_digest(tmp_path: Path) -> None:
    """In the order of the archive."""
    content = {**members(), "data.sql": b"x" * 1_000_000}
    package = read(tmp_path, archive(content))

    assert [*package.members.values()] == [
        Member(
            name,
            len(data),
            0o755 if name.endswith(".sh") else 0o644,
            hashlib.sha256(data).hexdigest(),
        )
        for name, data in content.items()
    ]


def test_progress_is_told(tmp_path: Path) -> None:
    """From the first bytes to the last."""
    told: list[tuple[int, int]] = []
    data = compressed(archive({**members(), "data.sql": b"x" * 3_000_000}), ".gz")
    path = put(tmp_path, data, ".gz")
    read_package(path, system(), progress=lambda done, total: told.append((done, total)))

    assert len(told) > 10
    assert told == sorted(told)
    assert told[-1] == (len(data), len(data))


def test_a_package_needs_a_system_with_packages(tmp_path: Path) -> None:
    """Others have none to read."""
    with pytest.raises(PackageError, match=r"momentry has no packages: .*momentry\.yaml"):
        read_package(put(tmp_path, archive()), replace(system(), package=None))


def test_a_file_must_be_there(tmp_path: Path) -> None:
    """That is no matter of the package."""
    with pytest.raises(PackageError, match="cannot be opened: No such file"):
        read_package(tmp_path / f"{UUID}_v20250205.tar", system())


def test_another_name_is_a_flaw(tmp_path: Path) -> None:
    """The rest is then read as a package of its folder's UUID."""
    package = read_package(put(tmp_path, archive(), name="backup.tar"), system())
    flaw = only_flaw(package)

    assert flaw.message == ("the file is named 'backup.tar', expected {uuid}_v{timestamp}.tar.gz")
    assert flaw.aspect is Aspect.LAYOUT
    assert package.uuid == ""
    assert package.complete


def test_the_name_is_the_folders(tmp_path: Path) -> None:
    """Another UUID's package under this name is refused."""
    path = put(tmp_path, archive(), name=f"{OTHER}_v20250205.tar")
    package = read_package(path, system())

    assert only_flaw(package).code == "wrong-folder"
    assert not package.complete


@pytest.mark.parametrize(
    ("name", "aspect", "message"),
    [
        ("file_info.json", Aspect.VERSION, "the package has no 'file_info.json', the info"),
        ("sql/dev_chunk.sql", Aspect.TABLES, "the package has no 'sql/dev_chunk.sql', a table"),
        (f"{UUID}.cut.json", Aspect.SIDECARS, f"the package has no '{UUID}.cut.json', a sidecar"),
        (f"{UUID}.sqlite", Aspect.SQLITE, f"has no '{UUID}.sqlite', the SQLite file"),
        ("verify.sh", Aspect.SCRIPTS, "the package has no 'verify.sh', a script"),
        ("vec0.dylib", Aspect.SCRIPTS, "the package has no 'vec0.dylib', a library"),
        ("movie.mp4", Aspect.MEDIA, "the package has no video (*.mp4, *.mov)"),
    ],
)
def test_a_missing_member_is_found(name: str, aspect: Aspect, message: str, tmp_path: Path) -> None:
    """Each is a flaw of what it would have been."""
    package = read_with(tmp_path, {name: None})
    [flaw] = [flaw for flaw in package.flaws if flaw.code == "missing-member"]

    assert message in flaw.message
    assert flaw.aspect is aspect
    assert package.complete


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("notes.txt", "unexpected-member", "'notes.txt' is no member of a package of momentry"),
        ("sql/users.sql", "unexpected-member", "'sql/users.sql' is no member of a package"),
        (
            f"{OTHER}.face.json",
            "foreign-name",
            f".face.json' is named after another UUID, expected {UUID}",
        ),
        (f"{OTHER}.mp4", "foreign-name", f"'{OTHER}.mp4' is named after another UUID"),
    ],
)
def test_an_unexpected_member_is_found(name: str, code: str, message: str, tmp_path: Path) -> None:
    """Also one that looks like another package's."""
    flaw = only_flaw(read_with(tmp_path, {name: members()["movie.mp4"]}))

    assert flaw.code == code
    assert message in flaw.message
    assert flaw.aspect is Aspect.LAYOUT


@pytest.mark.parametrize(
    ("info", "code", "message"),
    [
        ({"momentry_build": "d"}, "no-version", "file_info.json has no 'momentry_version'"),
        (
            {"momentry_version": 1, "momentry_build": "d"},
            "bad-version",
            "file_info.json: momentry_version is '1', expected a short text",
        ),
        (
            {"momentry_version": "1", "momentry_build": "a\x1b[2J"},
            "bad-version",
            r"file_info.json: momentry_build is 'a\\x1b[2J', expected a short text",
        ),
        (
            {"momentry_version": " ", "momentry_build": "d"},
            "bad-version",
            "momentry_version is ' ', expected a short text",
        ),
        (
            {"momentry_version": "1" * 101, "momentry_build": "d"},
            "bad-version",
            "expected a short text",
        ),
        (
            {"momentry_version": "1", "momentry_build": "d", "file_uuid": OTHER},
            "foreign-uuid",
            f"file_info.json: file_uuid is '{OTHER}', expected '{UUID}'",
        ),
    ],
)
def test_a_wrong_info_is_found(
    info: dict[str, object], code: str, message: str, tmp_path: Path
) -> None:
    """Version and build are short texts."""
    flaw = only_flaw(read_with(tmp_path, {"file_info.json": json.dumps(info).encode()}))

    assert flaw.code == code
    assert message in flaw.message
    assert flaw.aspect is Aspect.VERSION


def test_an_info_that_is_no_json_is_found(tmp_path: Path) -> None:
    """Or a large one; version and build are then unknown."""
    for data in (b"[]", b'{"x": "' + b"x" * 5_000_000 + b'"}'):
        package = read_with(tmp_path, {"file_info.json": data})

        assert only_flaw(package).code == "not-json"
        assert package.version is None
        assert package.build is None


def test_a_manifest_that_agrees_is_no_flaw(tmp_path: Path) -> None:
    """Wherever in the archive it stands; it does not list itself."""
    manifest = json.dumps(with_manifest(members(), tmp_path)).encode()

    assert read_with(tmp_path, {"manifest.json": manifest}).flaws == ()
    assert read(tmp_path, archive({"manifest.json": manifest, **members()})).flaws == ()


@pytest.mark.parametrize(
    ("part", "name", "entry", "code", "message"),
    [
        ("members", "data.sql", None, "not-listed", "does not list the member 'data.sql'"),
        ("members", "x", {}, "listed-but-missing", "lists the member 'x', which the package"),
        ("tables", "chunk", None, "not-listed", "does not list the table 'chunk', which the"),
        ("tables", "x", {}, "listed-but-missing", "lists the table 'x', which the package"),
        ("members", "data.sql", {"size": 1}, "size-differs", "'data.sql': size is 23, but"),
        ("members", "data.sql", {"sha256": "0"}, "sha256-differs", "manifest.json says 0"),
        ("tables", "chunk", {"rows": 4}, "rows-differs", "table 'chunk': rows is 3, but"),
        ("tables", "chunk", {"rows": 3.0}, "rows-differs", "rows is 3, but manifest.json says 3.0"),
        ("tables", "chunk", {"fingerprint": "1"}, "fingerprint-differs", "manifest.json says 1"),
    ],
)
def test_a_manifest_that_disagrees_is_found(
    part: str,
    name: str,
    entry: dict[str, object] | None,
    code: str,
    message: str,
    tmp_path: Path,
) -> None:
    """In a member or in a table, one more, one less, or another."""
    manifest = with_manifest(members(), tmp_path)
    if entry is None:
        del manifest[part][name]
    else:
        manifest[part][name] = {**manifest[part].get(name, {}), **entry}
    flaw = only_flaw(read_with(tmp_path, {"manifest.json": json.dumps(manifest).encode()}))

    assert flaw.code == code
    assert message in flaw.message
    assert flaw.aspect is Aspect.MANIFEST


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", "bad-manifest"),
        (b'{"members": [], "tables": {}}', "bad-manifest"),
        (b"nonsense", "not-json"),
    ],
)
def test_a_manifest_of_another_shape_is_found(data: bytes, code: str, tmp_path: Path) -> None:
    """And nothing is compared with it."""
    flaw = only_flaw(read_with(tmp_path, {"manifest.json": data}))

    assert flaw.code == code
    assert flaw.aspect is Aspect.MANIFEST


def test_a_manifest_is_not_compared_with_a_broken_table(tmp_path: Path) -> None:
    """What could not be read has no rows to compare; its member's digest has."""
    manifest = json.dumps(with_manifest(members(), tmp_path)).encode()
    broken = members()["sql/dev_chunk.sql"] + b"INSERT INTO x VALUES (1);\n"
    package = read_with(tmp_path, {"manifest.json": manifest, "sql/dev_chunk.sql": broken})

    assert [flaw.code for flaw in package.flaws] == ["statement", "sha256-differs", "size-differs"]


def test_messages_are_safe_to_print(tmp_path: Path) -> None:
    """What steers a terminal is escaped, what is long is cut."""
    name = "x" * 200 + "\u00e9.txt"
    package = read_with(tmp_path, {name: b"", "sql/dev_chunk.sql": b"\x1b[2J" + b"x" * 1000})

    for flaw in package.flaws:
        assert flaw.message.isprintable()
        assert len(flaw.message) < 600


def test_the_order_of_members_does_not_matter(tmp_path: Path) -> None:
    """For what is found."""
    content = members()
    backwards = read(tmp_path, archive(dict(reversed(content.items()))))

    assert backwards.members == read(tmp_path, archive(content)).members
    assert backwards.flaws == ()
    assert backwards.tables == read(tmp_path, archive(content)).tables


def test_a_full_disk_is_no_flaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anything else that this machine lacks."""

    def full(*_: object) -> object:
        return (Path("/dev/full")).open("wb")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    message = f"cannot be put into {tempfile.gettempdir()}: No space left on device"
    with pytest.raises(PackageError, match=message):
        read(tmp_path, archive())
