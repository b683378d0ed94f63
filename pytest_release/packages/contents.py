"""What one pass over a package found out: plain frozen data.

A package is read to its end whatever is wrong in it, as long as that is safe; what is wrong is a
`Flaw`. A flaw that ends the reading leaves `Package.complete` False, and then nothing that was not
seen may be taken for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Aspect(StrEnum):
    """What a flaw is about; each is one check of the package gate."""

    ARCHIVE = "archive"  # gzip, zstd and tar themselves: whole, safe, no bomb
    LAYOUT = "layout"  # names, and which members there are
    MANIFEST = "manifest"  # the members' own digests and row counts, where the package has them
    VERSION = "version"  # momentry_version and momentry_build
    TABLES = "tables"  # the dump: COPY blocks, columns, UUIDs
    VECTORS = "vectors"  # dimensions, finite numbers
    SIDECARS = "sidecars"  # JSON files
    SQLITE = "sqlite"  # the SQLite file and its vec0 tables
    MEDIA = "media"  # video containers
    SCRIPTS = "scripts"  # deploy.sh, verify.sh, the vector extension


@dataclass(frozen=True)
class Flaw:
    """Something wrong with a package.

    Attributes:
        aspect: What it is about.
        code: Kebab-case and stable: ``truncated``, ``unsafe-name``, ``vector-dimensions``.
        message: One sentence that names the member, and where in it; escape it before showing.
        member: Name of the member; empty when the archive itself is meant.
        expected: What should have been there.
        received: What was there, cut to a bounded length.
    """

    aspect: Aspect
    code: str
    message: str
    member: str = ""
    expected: str = ""
    received: str = ""


@dataclass(frozen=True)
class Member:
    """One regular file of the archive.

    Attributes:
        name: Below the top folder.
        size: Bytes.
        mode: Permission bits.
        sha256: Of its content, 64 hex digits.
    """

    name: str
    size: int
    mode: int
    sha256: str


@dataclass(frozen=True)
class TableContents:
    """The rows of one table, as the COPY blocks of its file hold them.

    Attributes:
        rows: How many.
        columns: In the order of the COPY blocks; empty when there was none.
        uuids: Rows by file UUID; at most 100 UUIDs are told apart, the rest count as ``...``.
        dimensions: Of each column of vectors, the rows by number of dimensions.
        nulls: Of each column of vectors, rows without a vector.
        fingerprint: Sum of `copy_text.row_digest` over the rows, rewritten columns left out.
    """

    rows: int
    columns: tuple[str, ...]
    uuids: Mapping[str, int] = field(default_factory=dict)
    dimensions: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)
    fingerprint: int = 0


@dataclass(frozen=True)
class VectorTableContents:
    """A vec0 table of the SQLite file: its rows, and the dimensions that it declares."""

    rows: int
    dimensions: int


@dataclass(frozen=True)
class Package:
    """One archive.

    Attributes:
        path: As given.
        size: Bytes of the archive.
        sha256: Of the archive, 64 hex digits.
        uuid: From its name; empty when the name has none.
        complete: It was read to its end.
        members: By name below the top folder, in archive order.
        tables: By logical name.
        items: Number of items by sidecar's name.
        vector_tables: By name in the SQLite file.
        info: The object of the info member; empty when it is missing or broken.
        version: As the info member says; None when it does not.
        build: Likewise.
        flaws: In the order they were found; at most 100 of one code, and then one that counts.
        seconds: That reading took.
    """

    path: Path
    size: int
    sha256: str
    uuid: str
    complete: bool
    members: Mapping[str, Member] = field(default_factory=dict)
    tables: Mapping[str, TableContents] = field(default_factory=dict)
    items: Mapping[str, int] = field(default_factory=dict)
    vector_tables: Mapping[str, VectorTableContents] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    build: str | None = None
    flaws: tuple[Flaw, ...] = ()
    seconds: float = 0.0

    def of(self, aspect: Aspect) -> tuple[Flaw, ...]:
        """The flaws of one aspect."""
        return tuple(flaw for flaw in self.flaws if flaw.aspect is aspect)
