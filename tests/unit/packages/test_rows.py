"""Tests of `pytest_release.packages.rows`: a further reading of the same archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_release.errors import PackageError
from pytest_release.packages.archive import Entry
from pytest_release.packages.flaws import ArchiveError, ContentError
from pytest_release.packages.rows import copy_rows, extract
from tests.unit.packages.forge import (
    UUID,
    archive,
    compressed,
    dump,
    members,
    put,
    read,
    rows,
    system,
)


def found(path: Path, *tables: str, sha256: str | None = None) -> dict[str, bytes]:
    """The rows of tables."""
    return {
        name: b"".join(blocks)
        for name, _, blocks in copy_rows(path, system(), tables, sha256=sha256)
    }


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_rows_come_as_they_are(suffix: str, tmp_path: Path) -> None:
    """In the order of the archive, which is that of the import."""
    path = put(tmp_path, compressed(archive(), suffix), suffix)
    expected = {
        table: "".join(f"{row}\n" for row in rows(table)).encode()
        for table in ("chunk", "tkg_edges")
    }

    assert found(path, "tkg_edges", "chunk") == expected
    assert [*found(path, "tkg_edges", "chunk")] == ["chunk", "tkg_edges"]


def test_each_copy_comes_with_its_columns(tmp_path: Path) -> None:
    """Several of one table, one after the other."""
    content = members() | {"sql/dev_chunk.sql": dump("chunk") * 2}
    blocks = copy_rows(put(tmp_path, archive(content)), system(), ["chunk"])

    assert [(copy.schema, copy.table, copy.columns) for _, copy, _ in blocks] == [
        ("dev", "chunk", ("chunk_id", "file_uuid", "content"))
    ] * 2


def test_members_are_extracted(tmp_path: Path) -> None:
    """By name or pattern; nothing but their content is handed on."""
    taken: dict[str, tuple[int, bytes]] = {}

    def sink(entry: Entry, blocks: object) -> None:
        taken[entry.member] = entry.mode, b"".join(blocks)  # type: ignore[arg-type]

    path = put(tmp_path, archive())
    names = extract(path, system(), ["*.mp4", "{uuid}.cut.json", "deploy.sh"], sink)

    assert names == ("deploy.sh", f"{UUID}.cut.json", "movie.mp4")
    assert taken["movie.mp4"] == (0o644, members()["movie.mp4"])
    assert taken["deploy.sh"] == (0o755, members()["deploy.sh"])


def test_the_archive_is_the_one_that_was_verified(tmp_path: Path) -> None:
    """At its end it has the same digest, or nothing that was read may be used."""
    sha256 = read(tmp_path, archive()).sha256
    path = put(tmp_path, archive())
    assert found(path, "chunk", sha256=sha256)
    path = put(tmp_path, archive({**members(), "data.sql": b"other"}))

    with pytest.raises(PackageError, match=f"has changed since it was verified: its .*{sha256}"):
        found(path, "chunk", sha256=sha256)
    with pytest.raises(PackageError, match="; verify it again"):
        extract(path, system(), ["*.mp4"], lambda *_: None, sha256=sha256)


def test_what_is_flawed_is_not_read_further(tmp_path: Path) -> None:
    """The dump, another table in it, and the archive itself."""
    broken = {**members(), "sql/dev_chunk.sql": dump("chunk")[:-3]}
    with pytest.raises(ContentError, match=r"sql/dev_chunk\.sql:7: the line ends within the data"):
        found(put(tmp_path, archive(broken)), "chunk")
    other = {**members(), "sql/dev_chunk.sql": dump("videos")}
    with pytest.raises(
        ContentError, match=r"dev_chunk\.sql:3: COPY fills 'videos', expected 'chunk'"
    ):
        found(put(tmp_path, archive(other)), "chunk")
    with pytest.raises(ArchiveError, match="without its end mark"):
        found(put(tmp_path, archive()[:-1024]), "chunk")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """Unlike an empty one."""
    content = members()
    del content["sql/dev_chunk.sql"]

    with pytest.raises(PackageError, match=r"has no 'sql/dev_chunk\.sql'"):
        found(put(tmp_path, archive(content)), "chunk")
    assert found(put(tmp_path, archive(content)), "videos")


def test_a_package_has_its_name(tmp_path: Path) -> None:
    """Another file is not read as one."""
    with pytest.raises(PackageError, match=r"backup\.tar is not named like a package: expected"):
        found(put(tmp_path, archive(), name="backup.tar"), "chunk")
