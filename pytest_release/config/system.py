"""A system: what a kind of product puts into its packages and its stores, and under which names.

Everything that a data gate needs to know about tables, columns and files is said here, by one file
a system under ``fixtures/systems``, so that another product is another file and no other code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Table:
    """One table of a deployment, and the member of a package that fills it.

    Attributes:
        name: As cases and reports call it.
        table: In the database, without its schema.
        file: Member of the package, below the top folder.
        key: Columns that name a row.
        uuid: Column with the file UUID that a row belongs to.
        vectors: Dimensions by column of pgvector's type.
        masked: Columns whose values no report shows.
        rewritten: Columns that an installation may change; they are not compared.
    """

    name: str
    table: str
    file: str
    key: tuple[str, ...]
    uuid: str = "file_uuid"
    vectors: Mapping[str, int] = field(default_factory=dict)
    masked: frozenset[str] = frozenset()
    rewritten: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sidecar:
    """A JSON file beside the dump: an object with one long list in it.

    Attributes:
        name: As reports call it.
        file: Member of the package, ``{uuid}`` in it stands for the package's own.
        schema: JSON Schema (2020-12) of the object without its list; None for any.
        items: Dotted path of the list; None when there is none.
        item_schema: JSON Schema of each item of the list; None for any.
        table: Logical name of the table that has one row for each item; None for none.
    """

    name: str
    file: str
    schema: Mapping[str, Any] | None = None
    items: str | None = None
    item_schema: Mapping[str, Any] | None = None
    table: str | None = None


@dataclass(frozen=True)
class VectorTable:
    """A vec0 virtual table of the package's SQLite file.

    Attributes:
        name: In the SQLite file.
        column: Of the vectors.
        dimensions: That each vector has.
        table: Logical name of the table that has one row for each of its rows; None for none.
    """

    name: str
    column: str
    dimensions: int
    table: str | None = None


@dataclass(frozen=True)
class PackageLayout:
    """What a package of the system holds. In every name ``{uuid}`` stands for the package's own.

    Attributes:
        info: Member with the JSON object that names version and build.
        version: Key of the version in it.
        build: Key of the build's git commit in it.
        executables: Members that must be there with their x bits.
        extensions: Members that must be a Mach-O or ELF library; glob patterns.
        videos: Glob patterns of the videos, of which there must be one or more; empty for none.
        sidecars: The JSON files.
        sqlite: Member that is a SQLite file; None for none.
        vector_tables: Of the SQLite file.
        others: Glob patterns of further members that may be there.
    """

    info: str
    version: str
    build: str
    executables: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    sqlite: str | None = None
    vector_tables: tuple[VectorTable, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """What a node of some type stands for: a row of another table.

    Attributes:
        table: Logical name.
        column: Of that table, with the value that the node's `Graph.reference` column holds.
    """

    table: str
    column: str


@dataclass(frozen=True)
class Graph:
    """The temporal knowledge graph: a table of nodes, a table of edges, and their columns.

    Attributes:
        nodes: Logical name of the table of nodes.
        edges: Logical name of the table of edges.
        node: Column of a node's id.
        node_type: Column of its type.
        source: Column of an edge with the node it leaves.
        target: Column of an edge with the node it reaches.
        edge_type: Column of its type.
        start: Column of nodes and edges, seconds from the beginning of the video; None for none.
        end: Likewise.
        reference: Column of a node with the id of the row it stands for; None for none.
        references: By node type, where that row is.
        videos: Logical name of the table with each video's length; None for none.
        duration: Column of that table, in seconds.
    """

    nodes: str
    edges: str
    node: str
    node_type: str
    source: str
    target: str
    edge_type: str
    start: str | None = None
    end: str | None = None
    reference: str | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    videos: str | None = None
    duration: str = "duration"


@dataclass(frozen=True)
class Merges:
    """The table that says which imported identity became part of one that was there before.

    Attributes:
        table: In the database, without its schema; it is no part of a package.
        uuid: Column with the file UUID of the package that brought the merged identity.
        merged: Column with its id.
        into: Column with the id of the identity that stayed.
        on: Column of the identities in which both agreed (``tmdb_id``).
    """

    table: str
    uuid: str
    merged: str
    into: str
    on: str


@dataclass(frozen=True)
class Identities:
    """People: a table of identities, one that binds faces to them, and their columns.

    Attributes:
        table: Logical name of the table of identities.
        id: Column of an identity's id.
        name: Column of its name.
        source: Column that says where it comes from (``tmdb``, ``auto``, ...).
        tmdb: Column of its TMDB id.
        bindings: Logical name of the table that binds faces to identities.
        bound_identity: Column of a binding with the identity.
        bound_face: Column of a binding with the face.
        faces: Logical name of the table of faces.
        face: Column of a face's id.
        embedding: Column of a face's vector.
        merges: Where merged identities are recorded; None when nothing is ever merged.
    """

    table: str
    id: str
    name: str
    source: str
    tmdb: str
    bindings: str
    bound_identity: str
    bound_face: str
    faces: str
    face: str
    embedding: str
    merges: Merges | None = None


@dataclass(frozen=True)
class Status:
    """How a deployment is marked as complete.

    Attributes:
        table: Logical name of the table.
        column: That is set for the rows of the UUID.
        value: That it is set to.
    """

    table: str
    column: str
    value: str


@dataclass(frozen=True)
class System:
    """One system file.

    Attributes:
        name: Of the file, and of the folder of its cases.
        schema: Of the database, where the environment does not say another.
        foreign_schemas: Schemas in which no row of a UUID may stand beside its own.
        pattern: Regular expression of a whole UUID.
        tables: By logical name, in the order of import.
        package: None when the system has no packages.
        graph: None when it has none.
        identities: None when it has none.
        status: None when a deployment is not marked.
        source: The file it was read from.
        files: That file, those it extends, and the schemas that they name.
    """

    name: str
    tables: Mapping[str, Table]
    source: Path
    files: frozenset[Path]
    schema: str = "public"
    foreign_schemas: tuple[str, ...] = ()
    pattern: re.Pattern[str] = re.compile(UUID)
    package: PackageLayout | None = None
    graph: Graph | None = None
    identities: Identities | None = None
    status: Status | None = None
