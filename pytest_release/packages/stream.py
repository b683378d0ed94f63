"""The content of an archive, in order, decompressed and hashed by threads beside the reader.

::

    file ─ thread 1: read, decompress ─► blocks ─► the caller
                │                                    │
                ▼                                    ▼
     thread 2: sha256 of the file     thread 3: sha256 of members (`Stream.hash_beside`)

All queues are bounded, so that memory is, too.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import BinaryIO, Protocol, Self

from pytest_release.packages.compression import HEAD, Compression, Decoder, decoder, told_by
from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import ArchiveError
from pytest_release.packages.limits import BLOCK, Limits

AHEAD = 4  # blocks that wait for the reader
UNHASHED = 6  # blocks that wait to be hashed
READ = 512 * 1024  # bytes of the file that are read at a time


class Digest(Protocol):
    """What ``hashlib.sha256()`` returns."""

    def update(self, data: bytes, /) -> None:
        """Add data."""

    def hexdigest(self) -> str:
        """The digest of what was added."""


class _Hasher:
    """A thread that updates digests in the order it was asked to."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Digest, bytes] | threading.Event | None] = SimpleQueue()
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(UNHASHED):
            self._free.put(None)
        self._thread = threading.Thread(target=self._run, name="package-sha256", daemon=True)
        self._thread.start()

    def update(self, digest: Digest, data: bytes) -> None:
        """Hash it later; waits while too much is waiting."""
        self._free.get()
        self._work.put((digest, data))

    def wait(self) -> None:
        """Until everything that was asked for is hashed."""
        event = threading.Event()
        self._work.put(event)
        event.wait()

    def stop(self) -> None:
        """End the thread."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            if isinstance(task, threading.Event):
                task.set()
                continue
            digest, data = task
            digest.update(data)
            self._free.put(None)


class Stream:
    """The decompressed content of a file; a context manager, for it has threads.

    Args:
        file: At its start, open for reading.
        limits: Of the content's size.
    """

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file, self._limits = file, limits
        self._digest = hashlib.sha256()
        self._hasher, self._beside = _Hasher(), _Hasher()
        self._blocks: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(AHEAD):
            self._free.put(None)
        self._stopped = False
        self._block, self._at = b"", 0
        self._over: BaseException | None = None
        self._ended = False
        self.compression: Compression | None = None
        self.position = 0  # bytes of the file that were read
        self._thread = threading.Thread(target=self._run, name="package-read", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._hasher.stop()
        self._beside.stop()

    def _stop(self) -> None:
        self._stopped = True
        for _ in range(2):  # a block that is at hand, and the end
            self._free.put(None)
        self._thread.join()

    def read(self, most: int) -> bytes:
        """Up to so many bytes, and fewer as it suits; none at the end.

        Raises:
            ArchiveError: The compressed data is flawed, or grows beyond the limits.
        """
        if self._at >= len(self._block) and not self._next():
            return b""
        block, start = self._block, self._at
        if start == 0 and len(block) <= most:
            self._at = len(block)
            return block
        part = block[start : start + most]
        self._at += len(part)
        return part

    def exactly(self, size: int) -> bytes:
        """So many bytes, or what is left."""
        parts: list[bytes] = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def hash_beside(self, digest: Digest, data: bytes) -> None:
        """Update a digest in a thread; see `wait`."""
        self._beside.update(digest, data)

    def wait(self) -> None:
        """Until what was given to `hash_beside` is hashed."""
        self._beside.wait()

    def sha256(self) -> str:
        """The digest of the whole file; reads what was not read yet, without decompressing it."""
        self._stop()
        while data := self._file.read(READ):
            self.position += len(data)
            self._hasher.update(self._digest, data)
        self._hasher.wait()
        return self._digest.hexdigest()

    def _next(self) -> bool:
        if self._over is not None:
            raise self._over
        if self._ended:
            return False
        block = self._blocks.get()
        self._free.put(None)
        if isinstance(block, BaseException):
            self._over = block
            raise block
        self._block, self._at, self._ended = block, 0, not block
        return bool(block)

    def _run(self) -> None:
        try:
            self._pump(self._put)
            self._put(b"")
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            self._put(error)

    def _put(self, block: bytes | BaseException) -> None:
        self._free.get()
        self._blocks.put(block)

    def _pump(self, put: Callable[[bytes], None]) -> None:
        decode: Decoder | None = None
        content = 0
        while not self._stopped and (data := self._file.read(READ)):
            self.position += len(data)
            self._hasher.update(self._digest, data)
            if decode is None:
                decode = self._decoder(data)
            for block in decode.feed(data):
                content += len(block)
                self._check_size(content)
                put(block)
                if self._stopped:
                    return
        if decode is None:
            told_by(b"")
        elif not self._stopped:
            decode.finish()

    def _decoder(self, data: bytes) -> Decoder:
        self.compression = told_by(data[:HEAD])
        return decoder(self.compression)

    def _check_size(self, content: int) -> None:
        limits = self._limits
        if content > limits.content:
            message = f"the archive holds more than {limits.content} bytes, which is the limit"
            raise ArchiveError(Flaw(Aspect.ARCHIVE, "bomb", message, expected=str(limits.content)))
        # What was read ahead of the decoder makes the ratio smaller by a block at most.
        if content > limits.ratio_from and content > limits.ratio * max(self.position, BLOCK // 8):
            message = (
                f"the archive grows to more than {limits.ratio:g} times its size when it is "
                f"decompressed ({content} bytes out of {self.position}), which is the limit"
            )
            flaw = Flaw(
                Aspect.ARCHIVE, "bomb", message, expected=f"{limits.ratio:g}", received=str(content)
            )
            raise ArchiveError(flaw)
