"""Tests of `pytest_release.targets.content`: encodings, bombs and what is not what it says."""

from __future__ import annotations

import gzip
import zlib

import pytest

from pytest_release.targets.content import PIECE, ContentError, Decoder

TEXT = b"data: " + bytes(range(256)) * 40
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
ENCODED = {
    "": TEXT,
    "identity": TEXT,
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "GZip ": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
}


def decode(encoding: str, *chunks: bytes) -> bytes:
    """A whole body."""
    decoder = Decoder(encoding)
    body = b"".join(piece for chunk in chunks for piece in decoder.feed(chunk))
    decoder.finish()
    return body


@pytest.mark.parametrize("encoding", ENCODED)
def test_an_encoding_is_undone_however_it_arrives(encoding: str) -> None:
    """Whole, or byte by byte."""
    body = ENCODED[encoding]

    assert decode(encoding, body) == TEXT
    assert decode(encoding, *(body[n : n + 1] for n in range(len(body)))) == TEXT


def test_what_was_flushed_is_decoded_at_once() -> None:
    """An event that the server flushed does not wait for the next one."""
    compress = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    flushed = compress.compress(b"data: a\n\n") + compress.flush(zlib.Z_SYNC_FLUSH)

    assert b"".join(Decoder("gzip").feed(flushed)) == b"data: a\n\n"


@pytest.mark.parametrize("cut", [0, 1, 30, 31, 32])
def test_gzip_members_follow_one_another(cut: int) -> None:
    """A file of several members is the sum of them, wherever it is split."""
    members = gzip.compress(b"first ") + gzip.compress(b"second")

    assert decode("gzip", members[:cut], members[cut:]) == b"first second"


def test_a_bomb_comes_in_pieces() -> None:
    """What decompresses to 50 MB is never held as a whole."""
    bomb = gzip.compress(bytes(50 * 1024 * 1024), compresslevel=1)

    sizes = [len(piece) for piece in Decoder("gzip").feed(bomb)]

    assert sum(sizes) == 50 * 1024 * 1024
    assert max(sizes) <= PIECE


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_nothing_is_left_in_the_decompressor(size: int) -> None:
    """Output that fills a piece to the brim is followed by the rest without further input."""
    compress = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    flushed = compress.compress(bytes(size)) + compress.flush(zlib.Z_SYNC_FLUSH)

    assert sum(map(len, Decoder("gzip").feed(flushed))) == size


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("gzip", b"plain text", "its body is not gzip: incorrect header check"),
        ("gzip", zlib.compress(TEXT), "its body is not gzip: incorrect header check"),
        ("gzip", gzip.compress(TEXT)[:-8] + bytes(8), "its body is not gzip: incorrect data check"),
        ("gzip", gzip.compress(TEXT) + b"rest of it", "its body is not gzip: incorrect header"),
        ("gzip", gzip.compress(TEXT)[:-1], "its gzip body ends too early"),
        ("gzip", gzip.compress(TEXT) * 2 + b"\x1f", "its gzip body ends too early"),
        ("deflate", RAW.compress(TEXT) + RAW.flush(), "its body is not deflate: "),
        ("br", TEXT, "its content encoding 'br' was not asked for"),
        ("gzip, gzip", TEXT, "its content encoding 'gzip, gzip' was not asked for"),
        ("x" * 5000, TEXT, "its content encoding 'x{40}' was not asked for"),
    ],
)
def test_a_body_that_is_not_what_it_says(encoding: str, body: bytes, message: str) -> None:
    """Invalid, truncated or unknown: one sentence."""
    with pytest.raises(ContentError, match=message):
        decode(encoding, body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_no_body_at_all_is_no_truncated_one(encoding: str) -> None:
    """An answer to HEAD names the encoding of a body that it does not bring."""
    assert decode(encoding) == b""
