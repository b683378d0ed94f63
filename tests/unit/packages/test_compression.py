"""Tests of `pytest_release.packages.compression` and `stream`: whole, strict and bounded."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
import zstandard

from pytest_release.packages.archive import open_archive
from pytest_release.packages.compression import Compression, decoder, told_by
from pytest_release.packages.flaws import ArchiveError
from pytest_release.packages.limits import MIB, Limits
from tests.unit.packages.forge import (
    archive,
    comparable,
    compressed,
    entry,
    only_flaw,
    put,
    read,
)

SUFFIXES = ["", ".gz", ".zst"]
ENDINGS = [".gz", ".zst"]


def test_the_numbers_are_the_same_from_each_format(tmp_path: Path) -> None:
    """Plain, gzip and zstd differ in size and digest only."""
    data = archive()
    packages = [read(tmp_path, compressed(data, suffix), suffix) for suffix in SUFFIXES]

    assert packages[0].flaws == ()
    assert packages[0].complete
    assert len({package.sha256 for package in packages}) == 3
    for package in packages[1:]:
        assert comparable(package) == comparable(packages[0])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_digest_is_of_the_archive(suffix: str, tmp_path: Path) -> None:
    """Of its bytes as they are in the file."""
    data = compressed(archive(), suffix)
    package = read(tmp_path, data, suffix)

    assert package.sha256 == hashlib.sha256(data).hexdigest()
    assert package.size == len(data)


@pytest.mark.parametrize("suffix", ENDINGS)
@pytest.mark.parametrize("cut", [1, 4, 8, 9, 100, 1000])
def test_truncated_data_is_refused(suffix: str, cut: int, tmp_path: Path) -> None:
    """Also when only a part of its checksum is missing."""
    flaw = only_flaw(read(tmp_path, compressed(archive(), suffix)[:-cut], suffix))

    assert flaw.code == "truncated"
    assert f"the file ends within its {'gzip' if suffix == '.gz' else 'zstd'} data" in flaw.message


@pytest.mark.parametrize("suffix", ENDINGS)
@pytest.mark.parametrize("garbage", [b"\0", b"x", bytes(512), b"#!/bin/sh\nrm -rf /\n" * 100])
def test_trailing_garbage_is_refused(suffix: str, garbage: bytes, tmp_path: Path) -> None:
    """Whatever follows the compressed data, zeros included."""
    flaw = only_flaw(read(tmp_path, compressed(archive(), suffix) + garbage, suffix))

    assert flaw.code == "trailing-garbage"
    name = "gzip" if suffix == ".gz" else "zstd"
    assert f"something that is no {name} follows the {name} data" in flaw.message


@pytest.mark.parametrize("suffix", ENDINGS)
def test_a_wrong_checksum_is_refused(suffix: str, tmp_path: Path) -> None:
    """Of the content: CRC-32 in gzip, XXH64 in zstd."""
    data = bytearray(compressed(archive(), suffix))
    data[-8 if suffix == ".gz" else -1] ^= 1
    flaw = only_flaw(read(tmp_path, bytes(data), suffix))

    assert flaw.code == "bad-checksum"
    assert "data does not fit its content" in flaw.message


def test_a_wrong_length_is_refused(tmp_path: Path) -> None:
    """The last four bytes of gzip."""
    data = bytearray(compressed(archive(), ".gz"))
    data[-1] ^= 1

    assert only_flaw(read(tmp_path, bytes(data), ".gz")).code == "bad-checksum"


@pytest.mark.parametrize("suffix", ENDINGS)
def test_damaged_data_is_refused(suffix: str, tmp_path: Path) -> None:
    """The flaw is the compression's, whatever the tar within looks like."""
    data = bytearray(compressed(archive(), suffix))
    data[20:40] = bytes(20)
    package = read(tmp_path, bytes(data), suffix)

    assert not package.complete
    assert only_flaw(package).code in ("broken-compression", "bad-header", "bad-checksum")


def test_a_reserved_block_of_zstd_is_refused() -> None:
    """And one that is larger than zstd allows."""
    head = zstandard.compress(b"x" * 1000)[:7]
    for block in (b"\x07\0\0", b"\xfd\xff\xff"):
        decode = decoder(Compression.ZSTD)
        with pytest.raises(ArchiveError, match="the zstd data is broken: no such block"):
            list(decode.feed(head[:4] + b"\x00\x58" + block + bytes(100)))


def test_a_large_window_of_zstd_is_refused(tmp_path: Path) -> None:
    """It would take as much memory."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    made = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    flaw = only_flaw(read(tmp_path, made.compress(archive()) + made.flush(), ".zst"))

    assert flaw.code == "broken-compression"
    assert "the zstd data is broken" in flaw.message


@pytest.mark.parametrize("suffix", ENDINGS)
def test_members_and_frames_may_follow_each_other(suffix: str, tmp_path: Path) -> None:
    """Compressors that use all processors write such files."""
    data = archive()
    parts = [compressed(data[i : i + 5000], suffix) for i in range(0, len(data), 5000)]

    assert comparable(read(tmp_path, b"".join(parts), suffix)) == comparable(read(tmp_path, data))


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_data_may_come_in_any_pieces(compression: Compression, step: int) -> None:
    """A header, a block or a checksum may be cut anywhere."""
    content = bytes(range(256)) * 40 + bytes(300_000)
    data = compressed(content, compression.removeprefix(".tar")) if step > 1 else b""
    if step == 1:
        content = b"hello" * 100
        data = compressed(content, compression.removeprefix(".tar"))
    decode = decoder(compression)
    found = b"".join(
        block for at in range(0, len(data), step) for block in decode.feed(data[at : at + step])
    )
    decode.finish()

    assert found == content


@pytest.mark.parametrize("suffix", ENDINGS)
def test_a_bomb_is_refused_by_its_ratio(suffix: str, tmp_path: Path) -> None:
    """As soon as it has grown to more than the limits allow."""
    data = compressed(archive({"movie.mp4": bytes(20 * MIB)}), suffix)
    limits = Limits(ratio=10, ratio_from=MIB)
    flaw = read(tmp_path, data, suffix, limits).flaws[-1]

    assert flaw.code == "bomb"
    assert "the archive grows to more than 10 times its size" in flaw.message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_bomb_is_refused_by_its_size(suffix: str, tmp_path: Path) -> None:
    """Whatever the ratio is."""
    data = compressed(archive({"movie.mp4": bytes(2 * MIB)}), suffix)
    flaw = read(tmp_path, data, suffix, Limits(content=MIB)).flaws[-1]

    assert flaw.code == "bomb"
    assert "the archive holds more than 1048576 bytes, which is the limit" in flaw.message


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD])
def test_a_decoder_makes_blocks_of_bounded_size(compression: Compression) -> None:
    """However much a few bytes stand for."""
    data = compressed(bytes(64 * MIB), compression.removeprefix(".tar"))
    blocks = decoder(compression).feed(data)

    assert max(map(len, blocks)) <= MIB


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", "the file is empty: it is no tar archive"),
        (b"PK\3\4" + bytes(508), "the file starts with 50 4b 03 04 00 00 00 00: it is no tar"),
        (bytes(512), "the file starts with 00 00 00 00 00 00 00 00: it is no tar"),
    ],
)
def test_what_is_no_archive_is_refused(head: bytes, message: str, tmp_path: Path) -> None:
    """Told by its first bytes."""
    with pytest.raises(ArchiveError, match=message):
        told_by(head)
    assert message in only_flaw(read(tmp_path, head)).message


def test_the_rest_of_a_refused_file_is_hashed(tmp_path: Path) -> None:
    """Also what comes after the flaw, which is not decompressed."""
    data = gzip.compress(b"no tar at all" * 1000) + bytes(5 * MIB)
    path = put(tmp_path, data, ".gz")

    with open_archive(path) as opened:
        with pytest.raises(ArchiveError, match="the header at the start of the archive is damaged"):
            list(opened.entries())
        assert opened.sha256() == hashlib.sha256(data).hexdigest()
        assert opened.position == len(data)
        assert opened.compression is Compression.GZIP


def test_an_archive_may_be_left_early(tmp_path: Path) -> None:
    """Its threads end, whatever they wait for."""
    path = put(tmp_path, archive({}, entry("x", bytes(9 * MIB))))

    with open_archive(path, top="x") as opened:
        assert opened.size > 9 * MIB
