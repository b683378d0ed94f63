"""Decompresses a body as it arrives, never to more than it may hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 256 * 1024  # bytes decompressed at a time: what a bomb can cost
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class ContentError(Exception):
    """A body that is not what its encoding says; the text says what is wrong."""


class Decoder:
    """Decodes one body.

    Args:
        encoding: The answer's ``Content-Encoding``, empty for none.

    Raises:
        ContentError: The encoding is none of identity, gzip and deflate.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._began = False
        if self._encoding in ("", "identity"):
            self._inflate = None
        elif self._encoding in _WINDOWS:
            self._inflate = zlib.decompressobj(_WINDOWS[self._encoding])
        else:
            raise ContentError(f"its content encoding {encoding[:40]!r} was not asked for")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of what arrived, each of at most `PIECE` bytes when decompressed.

        Raises:
            ContentError: The bytes are not of the encoding.
        """
        if self._inflate is None:
            yield data
            return
        self._began = True
        pending = True
        while pending:
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                reason = str(error).rpartition(": ")[2]
                raise ContentError(f"its body is not {self._encoding}: {reason}") from None
            if piece:
                yield piece
            data = self._inflate.unconsumed_tail
            pending = bool(data) or len(piece) == PIECE
            if self._inflate.eof:  # another member may follow (RFC 1952, 2.2)
                data = self._inflate.unused_data
                pending = bool(data)
                if pending:
                    self._inflate = zlib.decompressobj(_WINDOWS[self._encoding])

    def finish(self) -> None:
        """The body has ended.

        Raises:
            ContentError: The compressed data has not.
        """
        if self._inflate is not None and self._began and not self._inflate.eof:
            raise ContentError(f"its {self._encoding} body ends too early")
