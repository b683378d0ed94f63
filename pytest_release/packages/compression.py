"""What an archive is compressed with, told by its first bytes, and decoders that are strict.

* A decoder yields blocks of bounded size, whatever the input.
* What follows the compressed data is refused, and so is data that ends too early.
* Checksums are verified by the libraries: CRC-32 and length of gzip, XXH64 of zstd.

Formats: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

import zstandard
from isal import igzip_lib

from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import ArchiveError
from pytest_release.packages.limits import BLOCK, MIB

GZIP_MAGIC = b"\x1f\x8b"
IsalError: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment] # its stub is wrong
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
TAR_MAGIC = b"ustar"
TAR_MAGIC_AT = 257
HEAD = 512  # bytes that tell the compression
WINDOW = 32 * MIB  # memory that a zstd frame may ask for: levels up to 19, and 20
RLE_BLOCK, RESERVED_BLOCK = 1, 3


class Compression(StrEnum):
    """By the ending that the archive's name should have."""

    NONE = ".tar"
    GZIP = ".tar.gz"
    ZSTD = ".tar.zst"


class Decoder(Protocol):
    """Compressed bytes in, blocks of content out."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode what is there; raises ArchiveError."""

    def finish(self) -> None:
        """Raise ArchiveError when there should have been more."""


def told_by(head: bytes) -> Compression:
    """The compression of a file that starts so.

    Raises:
        ArchiveError: It is no archive.
    """
    if head.startswith(GZIP_MAGIC):
        return Compression.GZIP
    if head.startswith(ZSTD_MAGIC):
        return Compression.ZSTD
    if head[TAR_MAGIC_AT:].startswith(TAR_MAGIC):
        return Compression.NONE
    what = "is empty" if not head else f"starts with {head[:8].hex(' ')}"
    message = f"the file {what}: it is no tar archive, plain or compressed with gzip or zstd"
    raise ArchiveError(Flaw(Aspect.ARCHIVE, "not-an-archive", message, received=head[:8].hex(" ")))


def decoder(compression: Compression) -> Decoder:
    """A new decoder."""
    match compression:
        case Compression.GZIP:
            return GzipDecoder()
        case Compression.ZSTD:
            return ZstdDecoder()
        case Compression.NONE:
            return PlainDecoder()


class PlainDecoder:
    """No compression."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield it as it is."""
        yield data

    def finish(self) -> None:
        """Nothing can be missing: tar says itself where it ends."""


class GzipDecoder:
    """One or more members of gzip, one after the other."""

    def __init__(self) -> None:
        self._member: igzip_lib.IgzipDecompressor | None = None
        self._first = True
        self._empty = True  # nothing of the current member was decoded

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode what is there."""
        while data:
            if self._member is None:
                self._member = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
                self._empty = True
            yield from self._decode(self._member, data)
            data = b""
            if self._member.eof:
                data = self._member.unused_data
                self._member, self._first = None, False

    def _decode(self, member: igzip_lib.IgzipDecompressor, data: bytes) -> Iterator[bytes]:
        while not member.eof:
            try:
                block = member.decompress(data, BLOCK)
            except IsalError as error:
                raise self._broken(str(error)) from None
            if block:
                self._empty = False
                yield block
            elif member.needs_input:
                return
            data = b""
            if member.needs_input and not member.eof:
                return

    def _broken(self, reason: str) -> ArchiveError:
        if self._empty and not self._first:
            return _garbage("gzip")
        if "checksum" in reason.lower():
            message = "the checksum at the end of the gzip data does not fit its content"
            return _flaw("bad-checksum", message)
        return _flaw("broken-compression", f"the gzip data is broken: {reason}")

    def finish(self) -> None:
        """Raise ArchiveError when the last member is not whole."""
        if self._member is not None:
            raise _garbage("gzip") if self._empty and not self._first else _truncated("gzip")


class ZstdDecoder:
    """One or more frames of zstd, fed block by block, each of which makes 128 KiB at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._library = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._first = True
        self._last_block = self._checksum = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode what is there."""
        self._buffer += data
        done = 0
        while size := self._piece(done):
            piece = bytes(self._buffer[done : done + size])
            done += size
            if block := self._decode(piece):
                yield block
        del self._buffer[:done]

    def _piece(self, at: int) -> int:
        """The size of the next header, block or checksum; 0 when it is not all there."""
        if self._frame is None:
            size = self._frame_header(at)
        elif self._last_block:
            size = 4 if self._checksum else 0
        else:
            size = self._block(at)
        return size if at + size <= len(self._buffer) else 0

    def _frame_header(self, at: int) -> int:
        head = self._buffer[at : at + 5]
        if not ZSTD_MAGIC.startswith(head[:4]):
            raise _garbage("zstd")
        if len(head) < 5:
            return 0
        descriptor = head[4]
        single = descriptor >> 5 & 1
        size_bytes = (single, 2, 4, 8)[descriptor >> 6]
        size = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
        if at + size <= len(self._buffer):
            self._frame = self._library.decompressobj()
            self._first = self._last_block = False
            self._checksum = bool(descriptor >> 2 & 1)
        return size

    def _block(self, at: int) -> int:
        head = self._buffer[at : at + 3]
        if len(head) < 3:
            return 0
        value = int.from_bytes(head, "little")
        kind, size = value >> 1 & 3, value >> 3
        if kind == RESERVED_BLOCK or (kind != RLE_BLOCK and size > MIB):
            raise _flaw("broken-compression", "the zstd data is broken: no such block")
        size = 3 + (1 if kind == RLE_BLOCK else size)
        if at + size <= len(self._buffer):
            self._last_block = bool(value & 1)
        return size

    def _decode(self, piece: bytes) -> bytes:
        assert self._frame is not None
        try:
            block: bytes = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            if "checksum" in str(error).lower():
                message = "the checksum at the end of the zstd data does not fit its content"
                raise _flaw("bad-checksum", message) from None
            raise _flaw("broken-compression", f"the zstd data is broken: {error}") from None
        if self._frame.eof:
            self._frame = None
        return block

    def finish(self) -> None:
        """Raise ArchiveError when the last frame is not whole."""
        if self._frame is None and self._buffer and not self._first:
            raise _garbage("zstd")
        if self._frame is not None or self._buffer:
            raise _truncated("zstd")


def _flaw(code: str, message: str) -> ArchiveError:
    return ArchiveError(Flaw(Aspect.ARCHIVE, code, message))


def _garbage(name: str) -> ArchiveError:
    message = f"something that is no {name} follows the {name} data; the file must end with it"
    return _flaw("trailing-garbage", message)


def _truncated(name: str) -> ArchiveError:
    return _flaw("truncated", f"the file ends within its {name} data; copy the archive again")
