"""A release archive, read once from its start to its end, as a stream, and strictly.

* Nothing is written to disk, and no name is ever used as a path.
* The first thing that is wrong ends the reading with an `ArchiveError`.
* At the end there are two blocks of zeros, zeros up to a mebibyte, and nothing else.

Example::

    with open_archive(path) as archive:
        for entry in archive.entries():
            while data := entry.read(BLOCK):
                ...
        print(archive.sha256())
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_release.errors import PackageError
from pytest_release.packages.compression import Compression
from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import ArchiveError, shown
from pytest_release.packages.headers import SIZE, ZEROS, Header, extended, long_name, read_header
from pytest_release.packages.limits import BLOCK, DEFAULT, MIB, Limits
from pytest_release.packages.members import Names
from pytest_release.packages.stream import Digest, Stream

PADDING = MIB  # bytes of zeros that may follow the end
LARGEST = 1 << 62  # bytes of a member


class Entry:
    """One regular file of the archive, to be read before the next one is asked for.

    Attributes:
        name: With the top folder.
        size: Bytes.
        mode: Permission bits.
    """

    def __init__(self, stream: Stream, name: str, size: int, mode: int) -> None:
        self.name, self.size, self.mode = name, size, mode
        self.left = size
        self._stream = stream

    @property
    def member(self) -> str:
        """The name below the top folder."""
        return self.name.partition("/")[2]

    def read(self, most: int = BLOCK) -> bytes:
        """Up to so many bytes, and fewer as it suits; none at the end.

        Raises:
            ArchiveError: The archive ends within the member, or is flawed there.
        """
        if not self.left:
            return b""
        data = self._stream.read(min(most, self.left))
        if not data:
            message = (
                f"the archive ends within {shown(self.name)!r}, "
                f"{self.left} of its {self.size} bytes are missing; copy it again"
            )
            raise ArchiveError(Flaw(Aspect.ARCHIVE, "truncated", message, shown(self.name)))
        self.left -= len(data)
        return data

    def blocks(self) -> Iterator[bytes]:
        """What is left of it."""
        while data := self.read():
            yield data


class Archive:
    """The entries of an archive that is open; see `open_archive`."""

    def __init__(self, stream: Stream, size: int, limits: Limits, top: str | None) -> None:
        self.size = size
        self._stream, self._limits = stream, limits
        self._names = Names(top, limits.name)
        self._last = ""  # the name of the member before
        self._members = 0

    @property
    def top(self) -> str | None:
        """The folder that everything is in; None as long as it is not known."""
        return self._names.top

    @property
    def compression(self) -> Compression | None:
        """What the archive is compressed with; None as long as it is not known."""
        return self._stream.compression

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self._stream.position

    def hash_beside(self, digest: Digest, data: bytes) -> None:
        """Update a digest in a thread; see `wait`."""
        self._stream.hash_beside(digest, data)

    def wait(self) -> None:
        """Until what was given to `hash_beside` is hashed."""
        self._stream.wait()

    def sha256(self) -> str:
        """The digest of the whole file, 64 hex digits; what was not read yet is read now.

        Raises:
            PackageError: The file cannot be read.
        """
        try:
            return self._stream.sha256()
        except OSError as error:
            raise _unreadable(error) from None

    def entries(self) -> Iterator[Entry]:
        """The regular files, each of which is read, or skipped, before the next.

        Raises:
            ArchiveError: Something is wrong; what comes after it is not read.
            PackageError: The file cannot be read.
        """
        try:
            while (header := self._header()) is not None:
                entry = Entry(self._stream, header.name, header.size, header.mode)
                if header.is_file:
                    yield entry
                for _ in entry.blocks():
                    pass
                self._skip_padding(header.size)
            self._check_end()
        except OSError as error:
            raise _unreadable(error) from None

    def _header(self) -> Header | None:
        """The next file or folder, with what its extended headers say; None at the end."""
        name: str | None = None
        size: int | None = None
        while True:
            block = self._block()
            if block == ZEROS:
                if name is not None or size is not None:
                    self._refuse("bad-header", "an extended header has no member")
                return None
            self._count()
            header = read_header(block, self._last)
            match header.kind:
                case tarfile.XGLTYPE:
                    if extended(self._content(header), header.name):
                        self._refuse("bad-header", "a header for all members names one of them")
                case tarfile.XHDTYPE:
                    records = extended(self._content(header), header.name)
                    name = records.get("path", name)
                    size = self._size(records["size"]) if "size" in records else size
                case tarfile.GNUTYPE_LONGNAME:
                    name = long_name(self._content(header))
                case _:
                    return self._member(header, name, size)

    def _member(self, header: Header, name: str | None, size: int | None) -> Header:
        name = header.name if name is None else name
        if not header.is_file:
            name = name.removesuffix("/")
        self._names.add(name, is_file=header.is_file)
        self._last = name
        return Header(name, header.kind, header.size if size is None else size, header.mode)

    def _block(self) -> bytes:
        block = self._stream.exactly(SIZE)
        if len(block) < SIZE:
            after = f"after {shown(self._last)!r}" if self._last else "at its start"
            message = f"the archive ends {after} without its end mark; copy it again"
            raise ArchiveError(Flaw(Aspect.ARCHIVE, "truncated", message, shown(self._last)))
        return block

    def _content(self, header: Header) -> bytes:
        data = Entry(self._stream, header.name, header.size, header.mode)
        content = b"".join(data.blocks())
        self._skip_padding(header.size)
        return content

    def _skip_padding(self, size: int) -> None:
        """Read up to the next block; what is there says nothing, and nothing is hidden in it."""
        if (rest := -size % SIZE) and self._stream.exactly(rest).strip(b"\0"):
            self._refuse("hidden-data", f"something is hidden behind the end of {self._shown()}")

    def _size(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < LARGEST):
            self._refuse("bad-header", f"an extended header has the impossible size {shown(text)}")
        return int(text)

    def _count(self) -> None:
        self._members += 1
        if self._members > self._limits.members:
            most = self._limits.members
            self._refuse("too-many-members", f"the archive has more than {most} members")

    def _check_end(self) -> None:
        if self._block() != ZEROS:
            self._refuse("bad-end", f"one block of zeros follows {self._shown()}, expected two")
        padding = 0
        while data := self._stream.read(BLOCK):
            padding += len(data)
            if data.strip(b"\0"):
                self._refuse("trailing-garbage", "something follows the end of the archive")
            if padding > PADDING:
                self._refuse("trailing-garbage", f"more than {PADDING} zeros follow the end")

    def _shown(self) -> str:
        return repr(shown(self._last))

    def _refuse(self, code: str, message: str) -> None:
        raise ArchiveError(Flaw(Aspect.ARCHIVE, code, message, shown(self._last)))


@contextmanager
def open_archive(
    path: Path, limits: Limits = DEFAULT, *, top: str | None = None
) -> Iterator[Archive]:
    """Open an archive for one reading.

    Args:
        path: Of a regular file.
        limits: Of what is read.
        top: Name of the folder that everything must be in; None for any one folder.

    Raises:
        PackageError: The file cannot be opened.
    """
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise PackageError(f"the package {path} is not a regular file")
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise PackageError(f"the package {path} cannot be opened: {error.strerror}") from None
    with file, Stream(file, limits) as stream:
        yield Archive(stream, os.fstat(file.fileno()).st_size, limits, top)


def _unreadable(error: OSError) -> PackageError:
    return PackageError(f"the package cannot be read: {error.strerror}")
