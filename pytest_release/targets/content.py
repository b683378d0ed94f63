"""Decompresses a body as it arrives, never to more than it may hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 256 * 1024  # bytes decompressed at a time: what a bomb can cost


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
        windows = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": 15}
        if self._encoding in ("", "identity"):
            self._inflate = None
        elif self._encoding in windows:
            self._inflate = zlib.decompressobj(windows[self._encoding])
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
        while data:
            self._began = True
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise ContentError(f"its body is not {self._encoding}: {error}") from None
            yield piece
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data = b""

    def finish(self) -> None:
        """The body has ended.

        Raises:
            ContentError: The compressed data has not.
        """
        if self._inflate is not None and self._began and not self._inflate.eof:
            raise ContentError(f"its {self._encoding} body ends too early")
