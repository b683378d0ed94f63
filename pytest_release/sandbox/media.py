"""The files of an analysed video, beside its rows: what the output folder and a package hold.

The video is a container of the right form without pictures in it; everything else is real, the
vector extension too: sqlite-vec's own library under the name that momentry gives it.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw
import sqlite_vec

from pytest_release.sandbox.build import COMMIT, VERSION
from pytest_release.sandbox.material import CHUNK, FACE, FPS, SECONDS, Material, floats

DEPLOY = """\
#!/bin/sh
# Installs the package beside this script.
exec pytest-release package install "$1" --env "$2"
"""
VERIFY = """\
#!/bin/sh
# Compares the package with what is deployed.
exec pytest -m "package or row_count or tkg or identity" --env "$2" --package "$1"
"""


def write_files(folder: Path, material: Material) -> None:
    """Write every file of a video into its output folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    uuid = material.uuid
    info = {
        "file_uuid": uuid,
        "file_name": material.rows["videos"][0][1],
        "momentry_version": VERSION,
        "momentry_build": COMMIT[:7],
    }
    _write_json(folder / "file_info.json", info)
    for name, value in _sidecars(material):
        _write_json(folder / f"{uuid}.{name}.json", value)
    _write_vectors(folder / f"{uuid}.sqlite", material)
    (folder / f"{uuid}.mp4").write_bytes(container())
    for name, text in (("deploy.sh", DEPLOY), ("verify.sh", VERIFY)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    library = Path(f"{sqlite_vec.loadable_path()}.so")
    (folder / "vec0.dylib").write_bytes(library.read_bytes())


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def _sidecars(material: Material) -> Iterator[tuple[str, Mapping[str, Any]]]:
    head = {"file_uuid": material.uuid, "duration": SECONDS, "fps": FPS}
    names = ("face_id", "frame", "timestamp", "x", "y", "width", "height", "confidence")
    faces = [
        dict(zip(names, (row[0], *row[2:9]), strict=True))
        for row in material.rows["face_detections"]
    ]
    yield "face", head | {"faces": faces}
    things = [
        {"frame": frame, "class": "cup", "confidence": 0.75}
        for frame in range(0, SECONDS * FPS, 2 * FPS)
    ]
    yield "yolo", head | {"detections": things}
    spoken = [
        {
            "chunk_id": row[0],
            "start": row[3],
            "end": row[4],
            "speaker": row[5] or "",
            "text": row[6],
        }
        for row in material.rows["chunk"]
    ]
    plain = [{name: part[name] for name in ("start", "end", "text")} for part in spoken]
    yield "asr", head | {"segments": plain}
    yield "asrx", head | {"segments": spoken}
    scenes = [
        {"start": row[4], "end": row[5], "scene_type": "interior"}
        for row in material.rows["tkg_nodes"]
        if row[2] == "scene"
    ]
    yield "cut", head | {"scenes": scenes}


def _write_vectors(file: Path, material: Material) -> None:
    """A SQLite file with a vec0 table of the chunks' vectors and one of the faces'."""
    file.unlink(missing_ok=True)
    connection = apsw.Connection(str(file))
    try:
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        for name, table, size in (
            ("vec_chunks", "chunk_vectors", CHUNK),
            ("vec_faces", "face_detections", FACE),
        ):
            vectors = material.column(table, "embedding")
            blobs = [array("f", floats(str(vector))).tobytes() for vector in vectors]
            with connection:
                columns = f"embedding float[{size}], chunk_size=64"
                connection.execute(f"CREATE VIRTUAL TABLE {name} USING vec0({columns})")
                insert = f"INSERT INTO {name}(embedding) VALUES (?)"  # noqa: S608 - our own
                connection.executemany(insert, zip(blobs, strict=True))
    finally:
        connection.close()


def container() -> bytes:
    """The boxes of an MP4 file (ISO/IEC 14496-12): its brand, a header without tracks, no data."""
    header = struct.pack(">IIIIIIH", 0, 0, 0, 1000, SECONDS * 1000, 0x00010000, 0x0100)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    header += bytes(10) + matrix + bytes(24) + struct.pack(">I", 1)
    brand = b"isom" + struct.pack(">I", 512) + b"isomiso2mp41"
    return _box(b"ftyp", brand) + _box(b"moov", _box(b"mvhd", header)) + _box(b"mdat", b"")


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
