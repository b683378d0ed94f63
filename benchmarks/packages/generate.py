"""Makes packages of the real size, the same ones from the same seed, in seconds.

The vectors are drawn from a pool, which is larger than the window of gzip, so that they compress
like real ones. Nothing that is made here is committed.

    .venv/bin/python -m benchmarks.packages.generate FOLDER
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
import tempfile
import uuid as uuids
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import sqlite_vec

from benchmarks.packages.writer import TarWriter, compressed

UUID = "3f2b8c1e-5d64-4a7e-9b1f-0c2d4e6f8a90"
STAMP = "20250205_143000"
POOL = 512  # different vectors of each kind
MIB = 1024**2
TABLES = {
    "videos": "file_uuid, file_name, duration, fps, width, height, status, created_at",
    "chunk": "chunk_id, file_uuid, chunk_index, start_time, end_time, speaker, content, metadata",
    "chunk_vectors": "chunk_id, file_uuid, embedding",
    "face_detections": (
        'face_id, file_uuid, frame, "timestamp", x, y, width, height, confidence, embedding'
    ),
    "identities": "identity_uuid, file_uuid, name, source, tmdb_id, metadata",
    "identity_bindings": "binding_id, file_uuid, identity_uuid, face_id, confidence",
    "tkg_nodes": "node_id, file_uuid, node_type, label, start_time, end_time, ref_id",
    "tkg_edges": (
        "edge_id, file_uuid, source_id, target_id, edge_type, weight, start_time, end_time"
    ),
}
WORDS = [f"word{number:02}" for number in range(46)]


@dataclass(frozen=True)
class Size:
    """How much a package holds; the defaults are a real one's."""

    faces: int = 70_691
    chunks: int = 2_407
    identities: int = 441
    bindings: int = 18_635
    nodes: int = 6_457
    edges: int = 21_028
    detections: int = 20_000
    scenes: int = 310
    video: int = 400 * 1000 * 1000
    face_dimensions: int = 512
    chunk_dimensions: int = 768

    @property
    def duration(self) -> float:
        """Seconds of the video."""
        return self.chunks * 3.0


class Maker:
    """The content of one package.

    Args:
        uuid: Of the file.
        size: How much of everything.
        seed: The same seed makes the same package.
    """

    def __init__(self, uuid: str, size: Size, seed: int) -> None:
        self.uuid, self.size, self.seed = uuid, size, seed
        self.prefix = uuid[:8]
        draw = random.Random(seed)
        self.face_pool = _pool(draw, min(POOL, size.faces), size.face_dimensions)
        self.chunk_pool = _pool(draw, min(POOL, size.chunks), size.chunk_dimensions)
        self.face_of = draw.choices(range(len(self.face_pool)), k=size.faces)
        self.people = [
            str(uuids.UUID(int=draw.getrandbits(128), version=4)) for _ in range(size.identities)
        ]

    def rows(self, table: str) -> Iterator[str]:
        """The rows of a table as lines of COPY."""
        rows: Iterator[str] = getattr(self, f"_{table}")()
        return rows

    def dump(self, table: str) -> Iterator[bytes]:
        """The file of a table."""
        yield (
            "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n"
            "SET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);"
            f"\n\nCOPY dev.{table} ({TABLES[table]}) FROM stdin;\n"
        ).encode()
        for row in self.rows(table):
            yield row.encode()
        yield b"\\.\n\n--\n-- PostgreSQL database dump complete\n--\n"

    def _videos(self) -> Iterator[str]:
        d = self.size.duration
        yield f"{self.uuid}\tmovie.mp4\t{d}\t25\t1920\t1080\tprocessed\t2025-02-05 14:30:00+00\n"

    def _chunk(self) -> Iterator[str]:
        draw = random.Random(self.seed + 1)
        for i in range(self.size.chunks):
            text = " ".join(draw.choices(WORDS, k=20))
            speaker = f"SPEAKER_{i % 7:02}" if i % 5 else "\\N"
            meta = f'{{"words": 20, "quote": "\\\\"{draw.choice(WORDS)}\\\\""}}'
            yield (
                f"{self.chunk(i)}\t{self.uuid}\t{i}\t{i * 3}\t{i * 3 + 2.5}\t{speaker}\t{text}"
                f"\t{meta}\n"
            )

    def chunk(self, i: int) -> str:
        """The id of a chunk."""
        return f"{self.prefix}-c{i:06}"

    def face(self, i: int) -> str:
        """The id of a face."""
        return f"{self.prefix}-f{i:07}"

    def node(self, i: int) -> str:
        """The id of a node."""
        return f"{self.prefix}-n{i:06}"

    def _chunk_vectors(self) -> Iterator[str]:
        texts = [_text(vector) for vector in self.chunk_pool]
        for i in range(self.size.chunks):
            yield f"{self.chunk(i)}\t{self.uuid}\t{texts[i % len(texts)]}\n"

    def _face_detections(self) -> Iterator[str]:
        texts = [_text(vector) for vector in self.face_pool]
        for i, which in enumerate(self.face_of):
            x, y = i * 37 % 1700, i * 53 % 900
            yield (
                f"{self.face(i)}\t{self.uuid}\t{i * 2}\t{self.moment(i)}\t{x}\t{y}"
                f"\t{80 + i % 40}\t{90 + i % 30}\t0.{9000 + i % 999}\t{texts[which]}\n"
            )

    def moment(self, i: int) -> float:
        """The second in which a face is seen."""
        return round(self.size.duration * i / self.size.faces, 2)

    def _identities(self) -> Iterator[str]:
        for i, person in enumerate(self.people):
            actor = i % 3 == 0
            name = f"Actor {i:04}" if actor else f"PERSON_{i:04}"
            tmdb = str(10_000 + i) if actor else "\\N"
            source = "tmdb" if actor else "auto"
            yield f'{person}\t{self.uuid}\t{name}\t{source}\t{tmdb}\t{{"rank": {i}}}\n'

    def _identity_bindings(self) -> Iterator[str]:
        for i in range(self.size.bindings):
            person = self.people[i % len(self.people)]
            face = self.face(i * self.size.faces // self.size.bindings)
            yield f"{self.prefix}-b{i:06}\t{self.uuid}\t{person}\t{face}\t0.{800 + i % 199}\n"

    def _tkg_nodes(self) -> Iterator[str]:
        length = self.size.duration
        for i in range(self.size.nodes):
            kind = ("chunk", "identity", "face")[i % 3]
            start = round(length * i / (self.size.nodes + 10), 2)
            reference = {
                "chunk": self.chunk(i % self.size.chunks),
                "identity": self.people[i % len(self.people)],
                "face": self.face(i % self.size.faces),
            }[kind]
            yield (
                f"{self.node(i)}\t{self.uuid}\t{kind}\t{kind} {i}\t{start}\t{start + 1}"
                f"\t{reference}\n"
            )

    def _tkg_edges(self) -> Iterator[str]:
        nodes = self.size.nodes
        for i in range(self.size.edges):
            step = 1 + i // nodes  # no pair twice, none to itself
            source, target = i % nodes, (i % nodes + step) % nodes
            start = round(self.size.duration * i / (self.size.edges + 10), 2)
            yield (
                f"{self.prefix}-e{i:07}\t{self.uuid}\t{self.node(source)}\t{self.node(target)}"
                f"\tco_occurs\t0.{100 + i % 899}\t{start}\t{start + 0.5}\n"
            )

    def sidecar(self, name: str) -> Iterator[bytes]:
        """A JSON file."""
        items, key = self._items(name)
        head = {"file_uuid": self.uuid, "duration": self.size.duration, "fps": 25.0}
        yield (json.dumps(head)[:-1] + f', "{key}": [\n').encode()
        comma = ""
        for item in items:
            yield (comma + json.dumps(item)).encode()
            comma = ",\n"
        yield b"\n]}\n"

    def _items(self, name: str) -> tuple[Iterator[dict[str, Any]], str]:
        size = self.size
        step = size.duration / max(size.scenes, 1)
        match name:
            case "face":
                return (self._face_item(i) for i in range(size.faces)), "faces"
            case "yolo":
                return (
                    {
                        "frame": i * 9,
                        "class": WORDS[i % 20],
                        "confidence": 0.5 + i % 50 / 100,
                        "box": [i % 1900, i % 1000, 64, 128],
                    }
                    for i in range(size.detections)
                ), "detections"
            case "cut":
                return (
                    {"start": i * step, "end": (i + 1) * step, "scene_type": WORDS[i % 20]}
                    for i in range(size.scenes)
                ), "scenes"
            case _:
                return (
                    {
                        "start": i * 3.0,
                        "end": i * 3.0 + 2.5,
                        "text": " ".join(WORDS[:20]),
                        **({"chunk_id": self.chunk(i)} if name == "asrx" else {}),
                    }
                    for i in range(size.chunks)
                ), "segments"

    def _face_item(self, i: int) -> dict[str, Any]:
        return {
            "face_id": self.face(i),
            "frame": i * 2,
            "timestamp": self.moment(i),
            "x": i * 37 % 1700,
            "y": i * 53 % 900,
            "width": 80 + i % 40,
            "height": 90 + i % 30,
            "confidence": 0.9 + i % 99 / 1000,
        }

    def sqlite(self, path: Path) -> None:
        """Write the SQLite file with its two vec0 tables."""
        connection = apsw.Connection(str(path))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.execute("PRAGMA page_size=4096; PRAGMA journal_mode=off; PRAGMA synchronous=off")
        size = self.size
        faces = [_blob(vector) for vector in self.face_pool]
        chunks = [_blob(vector) for vector in self.chunk_pool]
        with connection:
            for name, dimensions, vectors in (
                (
                    "vec_chunks",
                    size.chunk_dimensions,
                    (chunks[i % len(chunks)] for i in range(size.chunks)),
                ),
                ("vec_faces", size.face_dimensions, (faces[which] for which in self.face_of)),
            ):
                connection.execute(
                    f"CREATE VIRTUAL TABLE {name} USING vec0(embedding float[{dimensions}])"
                )
                connection.executemany(
                    f"INSERT INTO {name}(rowid, embedding) VALUES (?, ?)", enumerate(vectors, 1)
                )
        connection.close()

    def video(self) -> Iterator[bytes]:
        """A container whose content does not compress."""
        draw = random.Random(self.seed + 2)
        yield struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41")
        left = max(self.size.video - 24, 16)
        yield struct.pack(">I4s", left, b"mdat")
        left -= 8
        while left:
            block = draw.randbytes(min(left, 4 * MIB))
            yield block
            left -= len(block)


def generate(
    folder: Path,
    size: Size = Size(),
    *,
    uuid: str = UUID,
    seed: int = 1,
    suffix: str = ".tar.gz",
    stamp: str = STAMP,
) -> Path:
    """Make a package, and say where.

    Args:
        folder: Where to put it.
        size: How much it holds.
        uuid: Of its file.
        seed: The same seed makes the same package.
        suffix: ``.tar``, ``.tar.gz`` or ``.tar.zst``.
        stamp: The timestamp in its name.
    """
    maker = Maker(uuid, size, seed)
    path = folder / f"{uuid}_v{stamp}{suffix}"
    with compressed(path, suffix) as out:
        archive = TarWriter(out, uuid)
        info = {"file_uuid": uuid, "momentry_version": "1.0.0", "momentry_build": "d34bcae"}
        archive.add("file_info.json", [json.dumps(info).encode()])
        pointers = "".join(f"\\ir sql/dev_{table}.sql\n" for table in TABLES)
        archive.add("data.sql", [pointers.encode()])
        archive.add("deploy.sh", [b"#!/bin/sh\nexit 0\n"], 0o755)
        archive.add("verify.sh", [b"#!/bin/sh\nexit 0\n"], 0o755)
        archive.add("vec0.dylib", [_library()])
        for table in TABLES:
            archive.add(f"sql/dev_{table}.sql", maker.dump(table))
        for name in ("face", "yolo", "asr", "asrx", "cut"):
            archive.add(f"{uuid}.{name}.json", maker.sidecar(name))
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            file = Path(scratch) / "vectors.sqlite"
            maker.sqlite(file)
            archive.add(f"{uuid}.sqlite", _blocks(file))
        archive.add("movie.mp4", maker.video(), compressible=False)
        out(bytes(1024), True)
    return path


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(4 * MIB):
            yield block


def _pool(draw: random.Random, count: int, dimensions: int) -> list[list[float]]:
    vectors = []
    for _ in range(count):
        vector = [draw.gauss(0, 1) for _ in range(dimensions)]
        length = math.sqrt(sum(x * x for x in vector))
        vectors.append([_single(x / length) for x in vector])
    return vectors


def _single(number: float) -> float:
    """The number as a float4 holds it."""
    value: float = struct.unpack("f", struct.pack("f", number))[0]
    return value


def _text(vector: list[float]) -> str:
    """The vector as pgvector writes it: with as few digits as tell each float4 from the others."""
    return "[" + ",".join(map(_shortest, vector)) + "]"


def _shortest(number: float) -> str:
    for digits in range(6, 10):
        text = f"{number:.{digits}g}"
        if _single(float(text)) == number:
            return text
    return repr(number)


def _blob(vector: list[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


def _library() -> bytes:
    """The header of a 64-bit Mach-O library for ARM, and some of its commands."""
    return struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 6, 4, 256, 0x85, 0) + bytes(4096)


if __name__ == "__main__":
    print(generate(Path(sys.argv[1])))
