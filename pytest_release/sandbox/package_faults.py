"""Ways to spoil a package: functions that change an archive in its place.

What is changed is the content, consistently: but where it is the manifest that is spoilt, it is
left out, so that it does not speak first. ``{a}`` is the package's UUID, ``{b}`` another.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

OTHER = "5f7d8a4e-0c1b-4f7e-8a3d-2b6c9e1f0d22"
MANIFEST = "manifest.json"
BOMB = 1 << 28  # bytes
FIRST_FACE = re.compile(rb"\[\s*\{[^}]*\},")
ROWS = re.compile(rb"(?<=FROM stdin;\n).*(?=\\\.\n)", re.DOTALL)

Edit = Callable[[Path], None]


@dataclass(frozen=True)
class _Member:
    name: str
    mode: int
    data: bytes
    link: str = ""


def _members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            yield _Member(entry.name, entry.mode, content.read() if content else b"")


def _pack(members: Sequence[_Member]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            entry = tarfile.TarInfo(member.name)
            entry.mode, entry.size = member.mode, len(member.data)
            if member.link:
                entry.type, entry.linkname = tarfile.SYMTYPE, member.link
            archive.addfile(entry, io.BytesIO(member.data))
    return stream.getvalue()


def _rewrite(path: Path, edit: Callable[[list[_Member]], list[_Member]], keep: str = "") -> None:
    members = [m for m in _members(path) if m.name.endswith(keep or "\0") or MANIFEST not in m.name]
    path.write_bytes(gzip.compress(_pack(edit(members)), 1))


def _names(path: Path, text: str) -> str:
    return text.replace("{a}", path.name.partition("_v")[0]).replace("{b}", OTHER)


def _changed(name: str, change: Callable[[_Member, Path], _Member]) -> Edit:
    """One member changed."""

    def edit(path: Path) -> None:
        full = _names(path, f"{{a}}/{name}")
        _rewrite(
            path,
            lambda members: [change(m, path) if m.name == full else m for m in members],
            keep=MANIFEST if name == MANIFEST else "",
        )

    return edit


def edited(name: str, old: bytes | re.Pattern[bytes], new: bytes, count: int = 0) -> Edit:
    """A piece of a member replaced; all of them, or so many."""

    def change(member: _Member, path: Path) -> _Member:
        pattern = old
        if isinstance(pattern, bytes):
            pattern = re.compile(re.escape(_names(path, pattern.decode()).encode()))
        put = _names(path, new.decode()).encode()
        data, changes = pattern.subn(lambda _: put, member.data, count)
        if not changes:
            raise ValueError(f"{name} holds no {old!r} to change")
        return replace(member, data=data)

    return _changed(name, change)


def filled(name: str, data: bytes) -> Edit:
    """A member with another content."""
    return _changed(name, lambda member, _: replace(member, data=data))


def halved(name: str) -> Edit:
    """A member that ends in its middle."""
    return _changed(
        name, lambda member, _: replace(member, data=member.data[: len(member.data) // 2])
    )


def emptied(name: str) -> Edit:
    """A dump without rows."""
    return edited(name, ROWS, b"")


def moded(name: str, mode: int) -> Edit:
    """A member with other permission bits."""
    return _changed(name, lambda member, _: replace(member, mode=mode))


def without(name: str) -> Edit:
    """A member left out."""

    def edit(path: Path) -> None:
        full = _names(path, f"{{a}}/{name}")
        _rewrite(path, lambda members: [m for m in members if m.name != full])

    return edit


def added(name: str, data: bytes = b"x", link: str = "") -> Edit:
    """A member more."""

    def edit(path: Path) -> None:
        more = _Member(_names(path, name), 0o644, b"" if link else data, link)
        _rewrite(path, lambda members: [*members, more])

    return edit


def vectors(*statements: str) -> Edit:
    """Statements run on the SQLite file."""

    def change(member: _Member, path: Path) -> _Member:
        aside = path.with_suffix(".aside")
        aside.write_bytes(member.data)
        run_sqlite(aside, statements)
        data = aside.read_bytes()
        aside.unlink()
        return replace(member, data=data)

    return _changed("{a}.sqlite", change)


def run_sqlite(file: Path, statements: Sequence[str]) -> None:
    """Run statements on a SQLite file with vec0 tables."""
    import apsw  # noqa: PLC0415 - an extra
    import sqlite_vec  # noqa: PLC0415 - an extra

    connection = apsw.Connection(str(file))
    try:
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


linked = added("{a}/passwd", link="/etc/passwd")


def bomb(path: Path) -> None:
    """A member of 256 MiB of zeros."""
    content = gzip.decompress(path.read_bytes()).rstrip(b"\0")
    content += bytes(-len(content) % 512)
    entry = tarfile.TarInfo(_names(path, "{a}/{a}.mov"))
    entry.size = BOMB
    with gzip.open(path, "wb", 1) as stream:
        stream.write(content + entry.tobuf())
        for _ in range(BOMB >> 20):
            stream.write(bytes(1 << 20))
        stream.write(bytes(1024))


def truncated(path: Path) -> None:
    """The archive without its second half."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def followed(garbage: bytes) -> Edit:
    """Something behind the archive."""

    def edit(path: Path) -> None:
        path.write_bytes(path.read_bytes() + garbage)

    return edit


def replaced(data: bytes) -> Edit:
    """Something else in its place."""

    def edit(path: Path) -> None:
        path.write_bytes(data)

    return edit


def bad_checksum(path: Path) -> None:
    """The CRC-32 in the gzip trailer is another."""
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF
    path.write_bytes(bytes(data))


def bad_header(path: Path) -> None:
    """The second member's header has another size than its checksum says."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    first = tarfile.TarInfo.frombuf(bytes(content[:512]), "utf-8", "strict")
    second = 512 + -(-first.size // 512) * 512
    content[second + 124] ^= 0x01
    path.write_bytes(gzip.compress(bytes(content), 1))
