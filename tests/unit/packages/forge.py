"""Makes packages byte by byte, good ones and any bad one that a test thinks of."""

from __future__ import annotations

import functools
import gzip
import json
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import apsw
import sqlite_vec
import zstandard

from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.packages.contents import Flaw, Package
from pytest_release.packages.limits import DEFAULT, Limits
from pytest_release.packages.reading import read_package

UUID = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"
NAME = f"{UUID}_v20250205_143000.tar"
FIXTURES = Path(__file__).parents[3] / "fixtures"
FACES, CHUNKS = 4, 3
COLUMNS = {
    "videos": "file_uuid, file_name, status",
    "chunk": "chunk_id, file_uuid, content",
    "chunk_vectors": "chunk_id, file_uuid, embedding",
    "face_detections": 'face_id, file_uuid, "timestamp", embedding',
    "identities": "identity_uuid, file_uuid, name, tmdb_id",
    "identity_bindings": "binding_id, file_uuid, identity_uuid, face_id",
    "tkg_nodes": "node_id, file_uuid, node_type",
    "tkg_edges": "edge_id, file_uuid, source_id, target_id",
}
Members = dict[str, bytes]


@functools.cache
def system() -> System:
    """The system whose packages are made."""
    found = load_system(FIXTURES, "momentry", {})
    assert found is not None
    return found


def vector(dimensions: int, first: str = "0.5") -> str:
    """A vector as pgvector writes it."""
    return "[" + ",".join([first, *["-0.0125"] * (dimensions - 2), "7.1e-05"]) + "]"


def rows(table: str) -> list[str]:
    """The good rows of a table."""
    return {
        "videos": [f"{UUID}\tmovie.mp4\tprocessed"],
        "chunk": [f"c{i}\t{UUID}\tsome \\\\ text\\t{i}" for i in range(CHUNKS)],
        "chunk_vectors": [f"c{i}\t{UUID}\t{vector(768)}" for i in range(CHUNKS)],
        "face_detections": [f"f{i}\t{UUID}\t{i}.5\t{vector(512)}" for i in range(FACES)],
        "identities": [f"i0\t{UUID}\tZoë\t\\N", f"i1\t{UUID}\tBob\t77"],
        "identity_bindings": [f"b{i}\t{UUID}\ti{i % 2}\tf{i}" for i in range(FACES)],
        "tkg_nodes": [f"n{i}\t{UUID}\tface" for i in range(3)],
        "tkg_edges": [f"e0\t{UUID}\tn0\tn1", f"e1\t{UUID}\tn1\tn2"],
    }[table]


def dump(table: str, lines: list[str] | None = None, columns: str | None = None) -> bytes:
    """The SQL file of a table."""
    lines = rows(table) if lines is None else lines
    listed = COLUMNS[table] if columns is None else columns
    data = "".join(f"{line}\n" for line in lines)
    return f"SET x = 1;\n\nCOPY dev.{table} ({listed}) FROM stdin;\n{data}\\.\n".encode()


def sidecar(name: str) -> bytes:
    """The good content of a sidecar."""
    face = {"frame": 1, "timestamp": 0.5, "x": 1, "y": 2, "width": 9, "height": 9}
    speech = {"start": 0, "end": 1.5, "text": "hello: \u4f60"}
    key, items = {
        "face": ("faces", [{"face_id": f"f{i}", **face, "confidence": 0.9} for i in range(FACES)]),
        "yolo": ("detections", [{"frame": 1, "class": "dog", "confidence": 1}]),
        "asr": ("segments", [speech]),
        "asrx": ("segments", [{**speech, "chunk_id": f"c{i}"} for i in range(CHUNKS)]),
        "cut": ("scenes", [{"start": 0, "end": 2, "scene_type": "indoor"}]),
    }[name]
    return json.dumps({"file_uuid": UUID, "fps": 25, key: items}).encode()


@functools.cache
def sqlite(faces: int = FACES, dimensions: int = 512, extra: str = "") -> bytes:
    """A SQLite file with its two vec0 tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.sqlite"
        connection = apsw.Connection(str(path))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        for name, count, size in (("vec_faces", faces, dimensions), ("vec_chunks", CHUNKS, 768)):
            connection.execute(f"CREATE VIRTUAL TABLE {name} USING vec0(embedding float[{size}])")
            for i in range(count):
                blob = struct.pack(f"<{size}f", *[i + 0.5] * size)
                connection.execute(f"INSERT INTO {name}(rowid, embedding) VALUES (?, ?)", (i, blob))
        if extra:
            connection.execute(extra)
        connection.close()
        return path.read_bytes()


def library() -> bytes:
    """A Mach-O library for ARM."""
    return struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 6, 4, 64, 0, 0) + bytes(64)


def video() -> bytes:
    """The beginning of an MP4 file."""
    return struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 512, b"mp41") + bytes(100)


def members() -> Members:
    """The members of a good package."""
    info = {"file_uuid": UUID, "momentry_version": "1.0.0", "momentry_build": "d34bcae"}
    return {
        "file_info.json": json.dumps(info).encode(),
        "data.sql": b"\\ir sql/dev_videos.sql\n",
        "deploy.sh": b"#!/bin/sh\n",
        "verify.sh": b"#!/bin/sh\n",
        "vec0.dylib": library(),
        **{f"sql/dev_{table}.sql": dump(table) for table in COLUMNS},
        **{f"{UUID}.{name}.json": sidecar(name) for name in ("face", "yolo", "asr", "asrx", "cut")},
        f"{UUID}.sqlite": sqlite(),
        "movie.mp4": video(),
    }


def header(name: str | bytes, size: int = 0, kind: bytes = b"0", mode: int = 0o644) -> bytes:
    """A header of ustar, with whatever name."""
    raw = name.encode() if isinstance(name, str) else name
    fields = [
        raw[:100].ljust(100, b"\0"),
        b"%07o\0" % mode,
        *[b"0000000\0"] * 2,
        b"%011o\0" % size,
        b"00000000000\0",
        b" " * 8,
        kind,
        bytes(100),
        b"ustar\x0000",
    ]
    return sealed(b"".join(fields).ljust(512, b"\0"))


def sealed(block: bytes) -> bytes:
    """A header with the right checksum."""
    checksum = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    return block[:148] + checksum + block[156:]


def entry(name: str | bytes, data: bytes = b"", kind: bytes = b"0", mode: int = 0o644) -> bytes:
    """A member: header, content, padding."""
    return header(name, len(data), kind, mode) + data + bytes(-len(data) % 512)


def archive(content: Mapping[str, bytes] | None = None, extra: bytes = b"") -> bytes:
    """A tar archive of these members, with whatever else before its end."""
    parts = []
    for name, data in (members() if content is None else content).items():
        mode = 0o755 if name.endswith(".sh") else 0o644
        parts.append(entry(f"{UUID}/{name}", data, mode=mode))
    return b"".join([*parts, extra, bytes(1024)])


def compressed(data: bytes, suffix: str) -> bytes:
    """The bytes as an archive of that ending has them."""
    match suffix:
        case ".gz":
            return gzip.compress(data, 1, mtime=0)
        case ".zst":
            return zstandard.ZstdCompressor(write_checksum=True).compress(data)
        case _:
            return data


def put(folder: Path, data: bytes, suffix: str = "", name: str = NAME) -> Path:
    """Write an archive."""
    path = folder / f"{name}{suffix}"
    path.write_bytes(data)
    return path


def read(folder: Path, data: bytes, suffix: str = "", limits: Limits = DEFAULT) -> Package:
    """What is found out about an archive of these bytes."""
    return read_package(put(folder, data, suffix), system(), limits)


def read_with(folder: Path, changes: Mapping[str, bytes | None]) -> Package:
    """What is found out about a good package with some members changed, added, or left out."""
    content = {**members(), **changes}
    return read(folder, archive({k: v for k, v in content.items() if v is not None}))


def only_flaw(package: Package) -> Flaw:
    """The one flaw of a package."""
    assert len(package.flaws) == 1, [flaw.message for flaw in package.flaws]
    return package.flaws[0]


def comparable(package: Package) -> Package:
    """What must be the same however the archive is compressed."""
    return replace(package, path=Path(), size=0, sha256="", seconds=0.0)
