"""Tests of `pytest_release.packages.files`: videos, libraries and scripts by their first bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.packages.contents import Aspect
from pytest_release.packages.files import check_library, check_script, check_video
from tests.unit.packages.forge import (
    UUID,
    archive,
    entry,
    library,
    members,
    only_flaw,
    read,
    read_with,
    video,
)


def box(kind: bytes, length: int, rest: bytes = bytes(16)) -> bytes:
    """A box of ISO/IEC 14496-12."""
    return struct.pack(">I4s", length, kind) + rest


def macho(order: str = "<", magic: int = 0xFEEDFACF, **fields: int) -> bytes:
    """The header of a Mach-O file."""
    values = {"processor": 0x01000007, "sub": 3, "kind": 6, "count": 2, "size": 80, **fields}
    return struct.pack(f"{order}6I", magic, *values.values()).ljust(120, b"\0")


def elf(order: str = "<", bits: int = 2, kind: int = 3) -> bytes:
    """The header of an ELF file."""
    head = b"\x7fELF" + bytes([bits, 1 if order == "<" else 2, 1]) + bytes(9)
    return head + struct.pack(f"{order}HH", kind, 62) + bytes(60)


def fat(count: int = 1, offset: int = 0x1000, length: int = 0x100) -> bytes:
    """The header of a fat file."""
    slices = struct.pack(">5I", 0x0100000C, 0, offset, length, 14) * min(count, 30)
    return struct.pack(">2I", 0xCAFEBABE, count) + slices


def fat64() -> bytes:
    """The header of a fat file with large offsets."""
    return struct.pack(">2I2I2Q2I", 0xCAFEBABF, 1, 0x01000007, 0, 0x1000, 0x100, 14, 0)


@pytest.mark.parametrize(
    ("name", "head", "size"),
    [
        ("a.mp4", video(), 1000),
        ("a.MP4", video(), 1000),
        ("a.mov", box(b"ftyp", 20, b"qt  " + bytes(8)), 1000),
        ("a.mov", box(b"wide", 8), 1000),
        ("a.mov", box(b"moov", 500), 1000),
        ("a.mov", box(b"mdat", 0), 1000),
        ("a.mov", box(b"mdat", 1, struct.pack(">Q", 900)), 1000),
        ("a.mkv", b"\x1a\x45\xdf\xa3" + bytes(20), 1000),
    ],
)
def test_a_video_is_known_by_its_first_box(name: str, head: bytes, size: int) -> None:
    """In MP4 that is ``ftyp``; QuickTime has others."""
    assert check_video(name, head, size) is None


@pytest.mark.parametrize(
    ("name", "head", "size", "problem"),
    [
        ("a.mp4", b"", 0, "it has 0 bytes"),
        ("a.mp4", b"<html>not found</html>", 22, "it starts with 'l>no', expected the box 'ftyp'"),
        ("a.mp4", box(b"moov", 100), 1000, "it starts with 'moov', expected the box 'ftyp'"),
        ("a.mov", box(b"junk", 100), 1000, "it starts with 'junk', expected a box of QuickTime"),
        ("a.mp4", box(b"ftyp", 8), 1000, "it has an 'ftyp' of 8 bytes"),
        ("a.mp4", box(b"ftyp", 2000), 1000, "it has an 'ftyp' of 2000 bytes"),
        ("a.mp4", box(b"ftyp", 19), 1000, "it has an 'ftyp' of 19 bytes"),
        ("a.mp4", box(b"ftyp", 20, b"\0\1\2\3"), 1000, "it has no major brand"),
        ("a.mov", box(b"moov", 5000), 1000, "it starts with a box of 5000 bytes, but has 1000"),
        ("a.mov", box(b"mdat", 1, struct.pack(">Q", 5000)), 99, "with a box of 5000 bytes"),
        ("a.avi", video(), 1000, "it starts with 00 00 00 14 66 74 79 70"),
    ],
)
def test_what_is_no_video_is_found(name: str, head: bytes, size: int, problem: str) -> None:
    """A page of errors, a truncated file, another container."""
    flaw = check_video(name, head, size)

    assert flaw is not None
    assert flaw.message.startswith(f"{name} is no video container: it ")
    assert problem in flaw.message
    assert flaw.aspect is Aspect.MEDIA


@pytest.mark.parametrize(
    "head",
    [
        library(),
        macho(),
        macho(">"),
        macho(magic=0xFEEDFACE, processor=7, kind=8),
        fat(),
        fat64(),
        elf(),
        elf(">", 1),
    ],
)
def test_a_library_is_known_by_its_header(head: bytes) -> None:
    """Mach-O of either order and width, fat files, ELF."""
    assert check_library("vec0.dylib", head, 0x2000) is None


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"", "starts with , expected ELF or Mach-O"),
        (b"#!/bin/sh\n", "starts with 23 21 2f 62 69 6e 2f 73, expected ELF or Mach-O"),
        (macho()[:20], "ends within its Mach-O header"),
        (macho(processor=99), "is for the unknown processor 0x63"),
        (macho(kind=2), "is of the Mach-O type 2, expected 6 or 8"),
        (macho(count=0), "has a damaged Mach-O header"),
        (macho(size=0x9000), "has a damaged Mach-O header"),
        (fat(52), "has a damaged header of 52 slices"),
        (fat(0), "has a damaged header of 0 slices"),
        (fat()[:10], "has a damaged header of 1 slices"),
        (fat()[:5], "has a damaged header of 0 slices"),
        (fat(length=0x9000), "has a damaged slice"),
        (fat(length=0), "has a damaged slice"),
        (elf(kind=2), "is of the ELF type 2, expected 3"),
        (elf()[:10], "has a damaged ELF header"),
        (elf()[:30], "ends within its ELF header"),
        (b"\x7fELF\x09" + bytes(60), "has a damaged ELF header"),
    ],
)
def test_what_is_no_library_is_found(head: bytes, problem: str) -> None:
    """A program, a script, a Java class, half a file."""
    flaw = check_library("vec0.dylib", head, 0x2000)

    assert flaw is not None
    assert flaw.message == f"vec0.dylib is no library: it {problem}"


@given(st.binary(max_size=80), st.integers(0, 200))
def test_any_bytes_are_looked_at(data: bytes, size: int) -> None:
    """Nothing raises, whatever the magic is followed by."""
    for magic in (b"", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf", b"\xcf\xfa\xed\xfe", b"\x7fELF"):
        check_library("x", magic + data, size)
    for start in (b"", b"\0\0\0\x14ftyp", b"\0\0\0\1mdat"):
        check_video("x.mov", start + data, size)


@pytest.mark.parametrize(
    ("head", "mode", "message"),
    [
        (b"#!/bin/sh\n", 0o644, "deploy.sh is not executable: its mode is 644"),
        (b"echo hello\n", 0o755, "deploy.sh does not start with #! and an interpreter: 'echo"),
        (b"#!\n", 0o755, "deploy.sh does not start with #! and an interpreter: '#!'"),
        (b"", 0o755, "deploy.sh does not start with #! and an interpreter: ''"),
    ],
)
def test_a_script_can_be_run(head: bytes, mode: int, message: str) -> None:
    """It has its x bit and an interpreter."""
    flaw = check_script("deploy.sh", head, mode)

    assert flaw is not None
    assert flaw.message.startswith(message)
    assert check_script("deploy.sh", b"#! /usr/bin/env bash\n", 0o700) is None


@pytest.mark.parametrize(
    ("name", "aspect"),
    [
        ("deploy.sh", Aspect.SCRIPTS),
        ("vec0.dylib", Aspect.SCRIPTS),
        ("movie.mp4", Aspect.MEDIA),
    ],
)
def test_files_of_a_package_are_looked_at(name: str, aspect: Aspect, tmp_path: Path) -> None:
    """Each by its kind."""
    flaw = only_flaw(read_with(tmp_path, {name: b"nonsense"}))

    assert flaw.aspect is aspect
    assert flaw.member == name


def test_the_mode_of_a_script_is_the_members(tmp_path: Path) -> None:
    """As the archive has it."""
    content = members()
    del content["deploy.sh"]
    extra = entry(f"{UUID}/deploy.sh", b"#!/bin/sh\n", mode=0o644)
    flaw = only_flaw(read(tmp_path, archive(content, extra)))

    assert flaw.code == "not-executable"
