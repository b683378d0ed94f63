"""Writes an archive as ``tar`` and ``gzip`` do, with two processors and without their leisure."""

from __future__ import annotations

import struct
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard
from isal import isal_zlib

PIECE = 1024**2  # bytes that are compressed at a time


class TarWriter:
    """Writes members one after the other.

    Args:
        out: Takes the archive's bytes, and whether they compress at all.
        top: Name of the folder.
    """

    def __init__(self, out: Callable[[bytes, bool], None], top: str) -> None:
        self._out, self._top = out, top

    def add(
        self, name: str, parts: Iterable[bytes], mode: int = 0o644, *, compressible: bool = True
    ) -> None:
        """Write a member whose size is known only when it is written: it waits in a file."""
        with tempfile.TemporaryFile() as waiting:
            for part in parts:
                waiting.write(part)
            info = tarfile.TarInfo(f"{self._top}/{name}")
            info.size, info.mode, info.mtime = waiting.tell(), mode, 1738765800
            waiting.seek(0)
            self._out(info.tobuf(tarfile.USTAR_FORMAT), True)
            while block := waiting.read(PIECE):
                self._out(block, compressible)
            self._out(bytes(-info.size % 512), True)


class _Gzip:
    """One gzip member; what does not compress is stored, as gzip does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._crc, self._size = file, 0, 0
        self._pool = ThreadPoolExecutor(2)
        self._waiting: deque[Future[bytes]] = deque()
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\x03")

    def write(self, data: bytes, compressible: bool) -> None:
        self._crc, self._size = isal_zlib.crc32(data, self._crc), self._size + len(data)
        self._waiting.append(self._pool.submit(_deflate if compressible else _store, data))
        while len(self._waiting) > 8:
            self._file.write(self._waiting.popleft().result())

    def close(self) -> None:
        while self._waiting:
            self._file.write(self._waiting.popleft().result())
        self._file.write(b"\x03\0" + struct.pack("<2I", self._crc, self._size & 0xFFFFFFFF))
        self._pool.shutdown()


def _deflate(data: bytes) -> bytes:
    deflate = isal_zlib.compressobj(2, wbits=-15)
    return deflate.compress(data) + deflate.flush(isal_zlib.Z_SYNC_FLUSH)


def _store(data: bytes) -> bytes:
    parts = []
    for start in range(0, len(data), 65535):
        part = data[start : start + 65535]
        parts += [struct.pack("<B2H", 0, len(part), len(part) ^ 0xFFFF), part]
    return b"".join(parts)


@contextmanager
def compressed(path: Path, suffix: str) -> Iterator[Callable[[bytes, bool], None]]:
    """A function that takes the content of an archive, and whether it compresses at all."""
    with path.open("wb") as file:
        if suffix == ".tar.gz":
            gzip = _Gzip(file)
            yield gzip.write
            gzip.close()
        elif suffix == ".tar.zst":
            zstd = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
            yield lambda data, _: _void(file.write(zstd.compress(data)))
            file.write(zstd.flush())
        else:
            yield lambda data, _: _void(file.write(data))


def _void(_: object) -> None:
    """Nothing is returned."""
