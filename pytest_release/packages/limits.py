"""How much of a package is read before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1024, 1024**2, 1024**3
BLOCK = MIB  # bytes of content that are handled at a time


@dataclass(frozen=True)
class Limits:
    """Bounds of what a hostile archive can make a reader do.

    Attributes:
        content: Bytes of the archive's content, decompressed.
        ratio: Of content to archive; judged above `ratio_from` only.
        ratio_from: Bytes of content from which on `ratio` is judged.
        members: Files and folders.
        name: Bytes of a member's name.
        line: Bytes of one row of a dump.
        item: Bytes of one item of a sidecar, and of what stands beside its list.
        document: Bytes of a small JSON member (the info, the manifest).
        sqlite_seconds: That looking into the SQLite file may take.
    """

    content: int = 256 * GIB
    ratio: float = 100.0
    ratio_from: int = 64 * MIB
    members: int = 10_000
    name: int = 512
    line: int = 8 * MIB
    item: int = MIB
    document: int = MIB
    sqlite_seconds: float = 60.0


DEFAULT = Limits()
