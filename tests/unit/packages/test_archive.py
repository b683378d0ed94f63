"""Tests of `pytest_release.packages.archive`: what no archive may be, refused by name."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pytest_release.errors import PackageError
from pytest_release.packages.archive import open_archive
from pytest_release.packages.contents import Aspect
from pytest_release.packages.flaws import ArchiveError
from pytest_release.packages.limits import Limits
from tests.unit.packages.forge import (
    UUID,
    archive,
    entry,
    header,
    only_flaw,
    put,
    read,
    sealed,
)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    """An extended header with these records, their lengths put before them."""
    data = b""
    for record in records:
        length = len(record) + 2
        while len(str(length)) + 1 + len(record) + 1 != length:
            length += 1
        data += b"%d %s\n" % (length, record)
    return entry("pax", data, kind)


HOSTILE = {
    "absolute": (entry("/etc/passwd"), "unsafe-name", "'/etc/passwd' is absolute"),
    "parent": (entry(f"{UUID}/../x"), "unsafe-name", "x' leads out of its folder"),
    "parent only": (entry(".."), "unsafe-name", "'..' leads out of its folder"),
    "dot": (entry(f"{UUID}/./x"), "unsafe-name", "x' has an empty part"),
    "empty part": (entry(f"{UUID}//x"), "unsafe-name", "x' has an empty part"),
    "deep": (entry(f"{UUID}/" + "a/" * 20 + "x"), "unsafe-name", "x' has more than 8 parts"),
    "backslash": (entry(f"{UUID}/a\\b"), "unsafe-name", "b' holds a backslash"),
    "control": (entry(f"{UUID}/a\x1b[2J"), "unsafe-name", r"holds a control character"),
    "bidi": (entry(f"{UUID}/a\u202eb"), "unsafe-name", "holds a control character"),
    "not utf-8": (entry(UUID.encode() + b"/\xff"), "unsafe-name", "is not UTF-8"),
    "hidden name": (entry(f"{UUID}/a\0b"), "unsafe-name", "goes on behind a NUL: b"),
    "long part": (
        pax(b"path=" + UUID.encode() + b"/" + b"x" * 300) + header("a"),
        "unsafe-name",
        "is longer than 512 bytes, or a part of it longer than 255",
    ),
    "pax not utf-8": (pax(b"path=\xff") + header("a"), "unsafe-name", "is not UTF-8"),
    "pax nul": (pax(b"path=a\0b") + header("a"), "unsafe-name", "holds a NUL"),
    "gnu nul": (entry("x", b"a\0b", b"L") + header("a"), "unsafe-name", "holds a NUL"),
    "other folder": (entry("other/x"), "wrong-folder", f"'other/x' is not in the folder '{UUID}'"),
    "no folder": (entry("x"), "wrong-folder", f"'x' is not in the folder '{UUID}'"),
    "file as folder": (entry(UUID), "wrong-folder", f"is not in the folder '{UUID}'"),
    "twice": (entry(f"{UUID}/data.sql"), "duplicate-name", "data.sql' is there twice"),
    "case": (entry(f"{UUID}/DATA.sql"), "duplicate-name", "data.sql' on many systems"),
    "normal forms": (
        entry(f"{UUID}/caf\u00e9") + entry(f"{UUID}/cafe\u0301"),
        "duplicate-name",
        "on many systems",
    ),
    "folder case": (entry(f"{UUID}/SQL/x"), "duplicate-name", "/sql' on many systems"),
    "below a file": (entry(f"{UUID}/data.sql/x"), "duplicate-name", "data.sql', which is a file"),
    "hard link": (entry(f"{UUID}/x", kind=b"1"), "link-or-device", "x' is a hard link"),
    "symbolic link": (entry(f"{UUID}/x", kind=b"2"), "link-or-device", "x' is a symbolic link"),
    "character device": (entry(f"{UUID}/x", kind=b"3"), "link-or-device", "is a character device"),
    "block device": (entry(f"{UUID}/x", kind=b"4"), "link-or-device", "x' is a block device"),
    "pipe": (entry(f"{UUID}/x", kind=b"6"), "link-or-device", "x' is a named pipe"),
    "contiguous": (entry(f"{UUID}/x", kind=b"7"), "link-or-device", "x' is a contiguous file"),
    "sparse": (entry(f"{UUID}/x", kind=b"S"), "link-or-device", "x' is a sparse file"),
    "long link": (entry(f"{UUID}/x", kind=b"K"), "link-or-device", "a link with a long target"),
    "unknown type": (
        entry(f"{UUID}/x", kind=b"Z"),
        "link-or-device",
        "is of the unknown type b'Z'",
    ),
    "target": (
        sealed(header(f"{UUID}/x")[:157] + b"/etc".ljust(100, b"\0") + header("x")[257:]),
        "link-or-device",
        "x' has the target of a link, but is none",
    ),
    "pax sparse": (
        pax(b"GNU.sparse.major=1") + header(f"{UUID}/x"),
        "link-or-device",
        "says 'GNU.sparse.major': not accepted",
    ),
    "pax link": (
        pax(b"linkpath=/etc") + header(f"{UUID}/x"),
        "link-or-device",
        "says 'linkpath': not accepted",
    ),
    "pax path twice": (
        pax(b"path=a", b"path=b") + header(f"{UUID}/x"),
        "link-or-device",
        "says 'path': not accepted",
    ),
    "pax broken": (
        entry("p", b"99 path=a\n", b"x") + header("x"),
        "bad-header",
        "the extended header 'p' is damaged",
    ),
    "pax size": (
        pax(b"size=-1") + header(f"{UUID}/x"),
        "bad-header",
        "an extended header has the impossible size -1",
    ),
    "pax huge": (
        header("p", 1 << 20, b"x"),
        "bad-header",
        "the extended header 'p' has 1048576 bytes, expected at most 65536",
    ),
    "pax for all": (
        pax(b"path=a", kind=b"g") + header("x"),
        "bad-header",
        "a header for all members names one of them",
    ),
    "pax alone": (pax(b"path=a"), "bad-header", "an extended header has no member"),
    "folder with content": (
        header(f"{UUID}/d", 5, b"5"),
        "bad-header",
        "d' has the impossible size 5",
    ),
    "negative": (
        sealed(header(f"{UUID}/x")[:124] + b"\xff" * 12 + header("x")[136:]),
        "bad-header",
        "x' has the impossible size -1",
    ),
    "checksum": (
        header(f"{UUID}/x")[:100] + b"0000755\0" + header(f"{UUID}/x")[108:],
        "bad-header",
        r"the header after '[^']*movie\.mp4' is damaged \(bad checksum\); copy the archive again",
    ),
    "garbage": (b"garbage!" * 64, "bad-header", r"the header after '[^']*movie\.mp4' is damaged"),
    "number": (
        sealed(header(f"{UUID}/x")[:100] + b"hello!!\0" + header(f"{UUID}/x")[108:]),
        "bad-header",
        r"movie\.mp4' is damaged",
    ),
    "hidden data": (
        header(f"{UUID}/x", 1) + b"a" + b"b" * 511,
        "hidden-data",
        "something is hidden behind the end of '[^']*/x'",
    ),
    "one end block": (bytes(512) + entry("x"), "bad-end", "one block of zeros follows '[^']*mp4'"),
    "behind the end": (
        bytes(1024) + entry(f"{UUID}/x"),
        "trailing-garbage",
        "something follows the end of the archive",
    ),
    "zeros": (bytes(1 << 21), "trailing-garbage", "more than 1048576 zeros follow the end"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused(kind: str, tmp_path: Path) -> None:
    """The reading ends there, the flaw names the member, and what came before is known."""
    extra, code, message = HOSTILE[kind]
    path = put(tmp_path, archive(extra=extra))

    with (
        pytest.raises(ArchiveError, match=message) as caught,
        open_archive(path, top=UUID) as opened,
    ):
        list(opened.entries())
    assert caught.value.flaw.code == code
    flaw = read(tmp_path, archive(extra=extra)).flaws[-1]
    assert flaw.code == code
    assert "/work" not in flaw.message


def test_a_hostile_member_leaves_the_package_incomplete(tmp_path: Path) -> None:
    """Its members up to there are listed, and its digest is of the whole file."""
    good, bad = archive(), archive(extra=entry("/etc/passwd"))
    package = read(tmp_path, bad)

    assert not package.complete
    assert [*package.members] == [*read(tmp_path, good).members]
    assert package.size == len(bad)
    assert package.sha256 != read(tmp_path, good).sha256


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (-1024, r"the archive ends after '.*mp4' without its end mark"),
        (-512, r"the archive ends after '.*mp4' without its end mark"),
        (-1030, r"the archive ends after '.*mp4' without its end mark"),
        (-1500, r"the archive ends within '.*movie.mp4', \d+ of its 120 bytes are missing"),
    ],
)
def test_a_truncated_archive_is_refused(cut: int, message: str, tmp_path: Path) -> None:
    """Wherever it ends, also between two members."""
    path = put(tmp_path, archive()[:cut])

    with pytest.raises(ArchiveError, match=message), open_archive(path) as opened:
        list(opened.entries())


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    """A million members are not counted to their end."""
    path = put(tmp_path, archive())

    with (
        pytest.raises(ArchiveError, match="the archive has more than 5 members"),
        open_archive(path, Limits(members=5)) as opened,
    ):
        list(opened.entries())


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_of_usual_programs_are_read(form: int, tmp_path: Path) -> None:
    """Long names, folders, and the modes of files, in each of the formats of tar."""
    path = tmp_path / "x.tar"
    long_name = f"{UUID}/{'f' * 90}/{'x' * 60}.json"
    with tarfile.open(path, "w", format=form) as made:
        folder = tarfile.TarInfo(f"{UUID}/")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        for name in (f"{UUID}/a.sh", long_name):
            (tmp_path / "content").write_bytes(b"12345")
            made.add(tmp_path / "content", name, filter=executable)

    with open_archive(path) as opened:
        found = [(e.name, e.member[:2], e.size, e.mode, e.read()) for e in opened.entries()]
        assert opened.top == UUID
    assert found == [
        (f"{UUID}/a.sh", "a.", 5, 0o755, b"12345"),
        (long_name, "ff", 5, 0o755, b"12345"),
    ]


def executable(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member with the x bits."""
    info.mode, info.uname = 0o755, "zo\u00eb"
    return info


def test_what_is_not_read_is_skipped(tmp_path: Path) -> None:
    """An entry may be left half read."""
    path = put(tmp_path, archive({"a": b"x" * 1000, "b": b"yz"}))

    with open_archive(path) as opened:
        assert [entry.read(2) for entry in opened.entries()] == [b"xx", b"yz"]


def test_a_size_of_pax_counts(tmp_path: Path) -> None:
    """The header's own size is not used then."""
    extra = pax(b"size=3") + header(f"{UUID}/x", 0) + b"abc" + bytes(509)

    with open_archive(put(tmp_path, archive({}, extra))) as opened:
        assert [(entry.size, entry.read()) for entry in opened.entries()] == [(3, b"abc")]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, and nothing at all."""
    with pytest.raises(PackageError, match="is not a regular file"), open_archive(tmp_path):
        pass
    with (
        pytest.raises(PackageError, match=r"x\.tar cannot be opened: No such file"),
        open_archive(tmp_path / "x.tar"),
    ):
        pass


def test_the_aspects_of_a_name_and_of_an_archive_differ(tmp_path: Path) -> None:
    """Names are a matter of the layout."""
    assert only_flaw(read(tmp_path, archive(extra=entry("x")))).aspect is Aspect.LAYOUT
    assert only_flaw(read(tmp_path, archive()[:-1024])).aspect is Aspect.ARCHIVE
