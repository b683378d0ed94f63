"""What the sandbox deploys: the rows of a small analysed video, seeded, sound in every respect.

The numbers are momentry's, scaled down. Vectors have coordinates of one size and random signs: they
are of unit length, close within a person and far between two, and every client spells them alike.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

_COLUMNS = {
    "videos": "file_uuid file_name duration fps width height status created_at",
    "chunk": "chunk_id file_uuid chunk_index start_time end_time speaker content metadata",
    "chunk_vectors": "chunk_id file_uuid embedding",
    "face_detections": ("face_id file_uuid frame timestamp x y width height confidence embedding"),
    "identities": "identity_uuid file_uuid name source tmdb_id metadata",
    "identity_bindings": "binding_id file_uuid identity_uuid face_id confidence",
    "tkg_nodes": "node_id file_uuid node_type label start_time end_time ref_id",
    "tkg_edges": "edge_id file_uuid source_id target_id edge_type weight start_time end_time",
}
COLUMNS: Mapping[str, Sequence[str]] = {
    table: tuple(names.split()) for table, names in _COLUMNS.items()
}
ACTORS = (
    *("Ada Vale", "Bo Lindqvist", "Carla Nuñez", "Dmitri Orlov", "Emi Sato", "Farid Haddad"),
    *("Greta Holm", "Hugo Brandt", "Ines Duarte", "Jun Park", "林小雨", "Maya O'Neil"),
)
FIRST_TMDB = 9001
FACE = 512  # dimensions
CHUNK = 768
FLIPPED = 10  # signs in which a face differs from its person
FPS = 25
SECONDS = 120
CREATED = "2026-01-02 03:04:05+00"
SIZES = {FACE: "0.044194173", CHUNK: "0.03608439"}  # of a coordinate, as PostgreSQL writes it
NULL = None

Value = str | int | float | None
Row = tuple[Value, ...]


@dataclass(frozen=True)
class Counts:
    """How many of what.

    Attributes:
        chunks: Segments of speech.
        faces: Detections.
        people: Identities, the actors among them.
        bindings: Faces that are bound to a person, at most all.
        scenes: Between two cuts.
        objects: Nodes of things.
    """

    chunks: int = 24
    faces: int = 600
    people: int = 44
    bindings: int = 180
    scenes: int = 12
    objects: int = 40


@dataclass(frozen=True)
class Material:
    """One analysed video: its rows by logical table, in the order of `COLUMNS`."""

    uuid: str
    rows: Mapping[str, Sequence[Row]]

    def lines(self, table: str) -> Iterator[bytes]:
        """The rows as PostgreSQL's COPY writes them, each with its line feed."""
        for row in self.rows[table]:
            yield "\t".join(map(_copied, row)).encode() + b"\n"

    def column(self, table: str, name: str) -> list[Value]:
        """One column of a table."""
        place = COLUMNS[table].index(name)
        return [row[place] for row in self.rows[table]]


def make_material(uuid: str, seed: int = 1, counts: Counts | None = None) -> Material:
    """The rows of one video; the same for the same arguments.

    Args:
        uuid: Of the file.
        seed: Of everything that varies. Seeds share the first two actors, as films do.
        counts: How many of what.
    """
    maker = _Maker(uuid, seed, counts or Counts())
    rows = {
        "videos": maker.videos(),
        "chunk": maker.chunks(),
        "chunk_vectors": maker.chunk_vectors(),
        "face_detections": maker.faces(),
        "identities": maker.identities(),
        "identity_bindings": maker.bindings(),
        "tkg_nodes": maker.nodes(),
        "tkg_edges": maker.edges(),
    }
    return Material(uuid, rows)


class _Maker:
    """Makes one table after the other; ids begin with the UUID's own first digits."""

    def __init__(self, uuid: str, seed: int, counts: Counts) -> None:
        self.uuid = uuid
        self.prefix = uuid[:8]
        self.seed = seed
        self.counts = counts
        self.random = random.Random(seed)  # noqa: S311 - reproducible, and nobody's secret
        self.scene_s = SECONDS / counts.scenes
        self.people = [
            str(UUID(int=self.random.getrandbits(128), version=4)) for _ in range(counts.people)
        ]
        self.signs = [self.random.getrandbits(FACE) for _ in self.people]

    def id(self, kind: str, number: int) -> str:
        return f"{self.prefix}-{kind}{number:05d}"

    def videos(self) -> list[Row]:
        name = f"holiday {self.seed}.mp4"
        return [(self.uuid, name, SECONDS, FPS, 1280, 720, "completed", CREATED)]

    def chunk_span(self, number: int) -> tuple[float, float]:
        length = SECONDS / self.counts.chunks
        return number * length, (number + 1) * length

    def chunks(self) -> list[Row]:
        rows: list[Row] = []
        for number in range(self.counts.chunks):
            content = f"Line {number}:\tsomebody says “C:\\new\\temp”\nand\r leaves."
            metadata = json.dumps({"words": number, "language": "en"})
            speaker = None if number % 5 == 0 else f"SPEAKER_{number % 4:02d}"
            span = self.chunk_span(number)
            chunk = self.id("c", number)
            rows.append((chunk, self.uuid, number, *span, speaker, content, metadata))
        return rows

    def chunk_vectors(self) -> list[Row]:
        return [
            (self.id("c", number), self.uuid, vector(self.random.getrandbits(CHUNK), CHUNK))
            for number in range(self.counts.chunks)
        ]

    def face_frame(self, number: int) -> int:
        return number * SECONDS * FPS // self.counts.faces

    def faces(self) -> list[Row]:
        rows: list[Row] = []
        for number in range(self.counts.faces):
            frame = self.face_frame(number)
            flips = sum(1 << bit for bit in self.random.sample(range(FACE), FLIPPED))
            embedding = vector(self.signs[number % len(self.people)] ^ flips, FACE)
            box = (40 + number % 600, 20 + number % 300, 90, 110)
            confidence = (50 + number % 50) / 100
            face = self.id("f", number)
            rows.append((face, self.uuid, frame, frame / FPS, *box, confidence, embedding))
        return rows

    def identities(self) -> list[Row]:
        rows: list[Row] = []
        for number, person in enumerate(self.people):
            if number < len(ACTORS):
                shared = number < 2
                tmdb = FIRST_TMDB + number + (0 if shared else 100 * self.seed)
                rows.append((person, self.uuid, ACTORS[number], "tmdb", tmdb, None))
            else:
                name = f"PERSON_{number - len(ACTORS) + 1:02d}"
                rows.append((person, self.uuid, name, "auto", None, '{"auto": true}'))
        return rows

    def bindings(self) -> list[Row]:
        return [
            (
                self.id("b", number),
                self.uuid,
                self.people[number % len(self.people)],
                self.id("f", number),
                (60 + number % 40) / 100,
            )
            for number in range(self.counts.bindings)
        ]

    def scene_of(self, seconds: float) -> int:
        return min(int(seconds / self.scene_s), self.counts.scenes - 1)

    def nodes(self) -> list[Row]:
        counts, rows = self.counts, []

        def add(kind: str, number: int, node_type: str, label: str, *rest: Value) -> None:
            rows.append((self.id(kind, number), self.uuid, node_type, label, *rest))

        for number, person in enumerate(self.people):
            add("ni", number, "identity", f"person {number}", 0, SECONDS, person)
        for number in range(counts.bindings):
            at = self.face_frame(number) / FPS
            add("nf", number, "face", f"face {number}", at, at, self.id("f", number))
        for number in range(counts.chunks):
            span = self.chunk_span(number)
            add("nc", number, "chunk", f"chunk {number}", *span, self.id("c", number))
        for number in range(counts.scenes):
            span = (number * self.scene_s, (number + 1) * self.scene_s)
            add("ns", number, "scene", f"scene {number}", *span, None)
        for number in range(counts.objects):
            add("no", number, "object", "cup", *self.object_span(number), None)
        return rows

    def object_span(self, number: int) -> tuple[float, float]:
        start = (number % self.counts.scenes) * self.scene_s
        return start, start + self.scene_s / 2

    def edges(self) -> list[Row]:
        return [
            (self.id("e", number), self.uuid, *edge) for number, edge in enumerate(self._edges())
        ]

    def _edges(self) -> Iterator[Row]:
        counts, people = self.counts, len(self.people)
        for number in range(counts.bindings):
            at = self.face_frame(number) / FPS
            face, scene = self.id("nf", number), self.id("ns", self.scene_of(at))
            yield face, scene, "appears_in", 1, at, at
            yield face, self.id("ni", number % people), "same_as", 0.9, at, at
        for number in range(counts.chunks):
            span, chunk = self.chunk_span(number), self.id("nc", number)
            yield self.id("ni", number % people), chunk, "speaks_in", 0.8, *span
            if number:
                yield chunk, self.id("nc", number - 1), "follows", 1, span[0], span[0]
        for number in range(counts.objects):
            scene = self.id("ns", number % counts.scenes)
            yield self.id("no", number), scene, "appears_in", 1, *self.object_span(number)
        for one in range(people):
            for other in range(one + 1, people):
                pair = self.id("ni", one), self.id("ni", other)
                yield *pair, "co_occurs", 0.5, 0, SECONDS


def vector(signs: int, dimensions: int) -> str:
    """A vector of unit length as pgvector writes it: each bit of `signs` is a coordinate's sign."""
    plus = SIZES[dimensions]
    minus = f"-{plus}"
    bits = f"{signs:0{dimensions}b}"
    return "[" + ",".join([minus if bit == "1" else plus for bit in bits]) + "]"


def floats(text: str) -> list[float]:
    """The coordinates of what `vector` wrote."""
    return [float(part) for part in text[1:-1].split(",")]


_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
)


def _copied(value: Value) -> str:
    """One value in COPY's text format."""
    if value is None:
        return "\\N"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return str(value).translate(_ESCAPES)
