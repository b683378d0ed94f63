"""The fault switches of data: what can be wrong with a deployed video, its files and its package.

Each damages the stores after everything was installed as it should be. ``{a}`` is the first UUID,
``{b}`` the second, ``{p}`` and ``{q}`` are their first digits, with which their rows' ids begin.
Foreign keys are switched off meanwhile: real stores lack many of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_release.sandbox import package_faults as packages

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

Damage = Callable[["Stores"], None]


@dataclass(frozen=True)
class DataFault:
    """One switch.

    Attributes:
        name: ``<gate>.<kebab>``.
        finding: Code of the finding that must be reported.
        description: What is wrong.
        damage: Does it.
    """

    name: str
    finding: str
    description: str
    damage: Damage

    @property
    def gate(self) -> str:
        """The gate that must catch it."""
        return self.name.partition(".")[0]


def damage(stores: Stores, names: Iterable[str]) -> None:
    """Do the damage of those of the faults that are of data."""
    for name in names:
        if name in DATA_FAULTS:
            DATA_FAULTS[name].damage(stores)


def sql(*statements: str) -> Damage:
    """Run statements on the deployed database."""

    def run(stores: Stores) -> None:
        stores.execute(statements)

    return run


def package(edit: packages.Edit) -> Damage:
    """Change the package of the first UUID."""

    def run(stores: Stores) -> None:
        edit(next(iter(stores.packages.values())))

    return run


def deployed_sqlite(*statements: str) -> Damage:
    """Run statements on the first UUID's deployed SQLite file."""

    def run(stores: Stores) -> None:
        uuid = next(iter(stores.packages))
        packages.run_sqlite(stores.output / uuid / f"{uuid}.sqlite", statements)

    return run


_ROW_COUNT = (
    ("lost-row", "row_count.rows", "a face is missing in face_detections",
     sql("DELETE FROM dev.face_detections WHERE face_id = '{p}-f00599'")),
    ("extra-row", "row_count.rows", "a row of chunk stands twice, under another key",
     sql("INSERT INTO dev.chunk SELECT '{p}-again', file_uuid, chunk_index, start_time, end_time,"
         " speaker, content, metadata FROM dev.chunk WHERE chunk_id = '{p}-c00003'")),
    ("doubled-row", "row_count.rows", "a row of tkg_nodes stands twice, key and all",
     sql("ALTER TABLE dev.tkg_nodes DROP CONSTRAINT tkg_nodes_pkey",
         "INSERT INTO dev.tkg_nodes SELECT * FROM dev.tkg_nodes WHERE node_id = '{p}-ns00003'")),
    ("no-rows", "row_count.rows", "chunk_vectors has no row of the file",
     sql("DELETE FROM dev.chunk_vectors WHERE file_uuid = '{a}'")),
    ("changed-byte", "row_count.content", "one letter of one chunk's text is another",
     sql("UPDATE dev.chunk SET content = overlay(content placing 'x' from 3 for 1)"
         " WHERE chunk_id = '{p}-c00007'")),
    ("changed-vector", "row_count.content", "one coordinate of one face's vector has no sign",
     sql("UPDATE dev.face_detections SET embedding ="
         " regexp_replace(embedding::text, '-', '')::vector WHERE face_id = '{p}-f00300'")),
    ("null-instead", "row_count.content", "a chunk has lost its speaker",
     sql("UPDATE dev.chunk SET speaker = NULL WHERE chunk_id = '{p}-c00006'")),
    ("foreign-rows", "row_count.content", "the right number of chunks, of another file",
     sql("DELETE FROM dev.chunk WHERE file_uuid = '{a}'",
         "INSERT INTO dev.chunk SELECT 'x' || chunk_id, '{a}', chunk_index, start_time, end_time,"
         " speaker, content, metadata FROM dev.chunk WHERE file_uuid = '{b}'")),
    ("dev-in-public", "row_count.foreign-schema", "rows of the file stand in the schema public too",
     sql("CREATE TABLE public.chunk AS SELECT * FROM dev.chunk")),
    ("missing-table", "row_count.missing-table", "there is no table tkg_edges",
     sql("ALTER TABLE dev.tkg_edges RENAME TO edges")),
    ("missing-column", "row_count.columns", "chunk has no column speaker",
     sql("ALTER TABLE dev.chunk DROP COLUMN speaker")),
    ("sqlite-without-table", "row_count.sqlite", "the deployed SQLite file has no vec_faces",
     deployed_sqlite("DROP TABLE vec_faces")),
    ("sqlite-lost-row", "row_count.rows", "a vector is missing in the deployed vec_chunks",
     deployed_sqlite("DELETE FROM vec_chunks WHERE rowid = 3")),
)  # fmt: skip

_EDGE = "INSERT INTO dev.tkg_edges VALUES ('{p}-bad', '{a}', %s, %s, %s, 1, %s, %s)"


def _edge(source: str, target: str, kind: str, start: str = "1", end: str = "2") -> Damage:
    """An edge more."""
    return sql(_EDGE % (f"'{source}'", f"'{target}'", f"'{kind}'", start, end))


_TKG = (
    ("no-edges", "tkg.too-few", "the graph has no edge",
     sql("DELETE FROM dev.tkg_edges WHERE file_uuid = '{a}'")),
    ("lost-node", "tkg.count", "an object is missing in tkg_nodes",
     sql("DELETE FROM dev.tkg_nodes WHERE node_id = '{p}-no00039'",
         "DELETE FROM dev.tkg_edges WHERE source_id = '{p}-no00039'")),
    ("edge-to-nowhere", "tkg.edge-to-nowhere", "an edge reaches a node that does not exist",
     _edge("{p}-nf00001", "{p}-nowhere", "appears_in")),
    ("edge-from-nowhere", "tkg.edge-to-nowhere", "an edge leaves a node that does not exist",
     _edge("{p}-nowhere", "{p}-ns00001", "appears_in")),
    ("edge-across-files", "tkg.edge-across-files", "an edge reaches a node of the other file",
     _edge("{p}-nf00001", "{q}-ns00001", "appears_in")),
    ("unknown-node-type", "tkg.node-type", "a node is of a type that nobody knows",
     sql("UPDATE dev.tkg_nodes SET node_type = 'ghost' WHERE node_id = '{p}-no00001'")),
    ("unknown-edge-type", "tkg.edge-type", "an edge is of a type that nobody knows",
     _edge("{p}-nf00001", "{p}-ns00001", "haunts")),
    ("forbidden-pair", "tkg.type-pair", "a scene appears in a face",
     _edge("{p}-ns00001", "{p}-nf00001", "appears_in")),
    ("duplicate-edge", "tkg.duplicate-edge", "an edge stands twice under two keys",
     sql("INSERT INTO dev.tkg_edges SELECT '{p}-again', file_uuid, source_id, target_id, edge_type,"
         " weight, start_time, end_time FROM dev.tkg_edges WHERE edge_id = '{p}-e00001'")),
    ("self-loop", "tkg.self-loop", "an edge leads from a node to itself",
     _edge("{p}-ni00001", "{p}-ni00001", "co_occurs")),
    ("node-after-end", "tkg.node-time", "a node ends long after the video",
     sql("UPDATE dev.tkg_nodes SET end_time = 9999 WHERE node_id = '{p}-ns00002'")),
    ("time-backwards", "tkg.edge-time", "an edge ends before it starts",
     _edge("{p}-no00001", "{p}-ns00001", "appears_in", "30", "20")),
    ("time-nan", "tkg.node-time", "a node starts at NaN",
     sql("UPDATE dev.tkg_nodes SET start_time = 'NaN' WHERE node_id = '{p}-nf00002'")),
    ("no-duration", "tkg.no-duration", "the video is 0 seconds long",
     sql("UPDATE dev.videos SET duration = 0 WHERE file_uuid = '{a}'")),
    ("isolated-nodes", "tkg.isolated-nodes-share", "fifty nodes have no edge",
     sql("INSERT INTO dev.tkg_nodes SELECT '{p}-lone' || n, '{a}', 'object', 'cup', 0, 1, NULL"
         " FROM generate_series(1, 50) n")),
    ("many-parts", "tkg.components", "the graph falls into sixty parts more",
     sql("INSERT INTO dev.tkg_nodes SELECT '{p}-part' || n, '{a}', 'chunk', 'x', 0, 1, '{p}-c00001'"
         " FROM generate_series(1, 120) n",
         "INSERT INTO dev.tkg_edges SELECT '{p}-part' || n, '{a}', '{p}-part' || n,"
         " '{p}-part' || n + 60, 'follows', 1, 0, 1 FROM generate_series(1, 60) n")),
    ("missing-face", "tkg.reference", "a node stands for a face that does not exist",
     sql("UPDATE dev.tkg_nodes SET ref_id = '{p}-f99999' WHERE node_id = '{p}-nf00004'")),
    ("missing-chunk", "tkg.reference", "a node stands for a chunk that does not exist",
     sql("UPDATE dev.tkg_nodes SET ref_id = 'gone' WHERE node_id = '{p}-nc00004'")),
    ("missing-identity", "tkg.reference", "a node stands for nobody",
     sql("UPDATE dev.tkg_nodes SET ref_id = NULL WHERE node_id = '{p}-ni00020'")),
)  # fmt: skip

_PERSON = "(SELECT identity_uuid FROM dev.identities WHERE file_uuid = '{%s}' AND name = '%s')"
_ONE = _PERSON % ("a", "PERSON_01")
_TWO = _PERSON % ("a", "PERSON_02")
_NEW = "00000000-0000-4000-8000-0000000000"
_INSERT = (
    "INSERT INTO dev.identities SELECT ('" + _NEW + "' || lpad(n::text, 2, '0'))::uuid, '{a}',"
    " %s, %s, %s, NULL FROM generate_series(1, %s) n"
)


def _renamed(name: str) -> Damage:
    """The first automatic identity under another name."""
    return sql(f"UPDATE dev.identities SET name = {name} WHERE identity_uuid = {_ONE}")


_IDENTITY = (
    ("unexplained", "identity.unexplained", "a person is gone, and no merge says where to",
     sql(f"DELETE FROM dev.identities WHERE identity_uuid = {_ONE}")),
    ("no-merge-record", "identity.unexplained", "the records of the second file's merges are gone",
     sql("DELETE FROM dev.identity_merges WHERE file_uuid = '{b}'")),
    ("extra-identity", "identity.extra", "a person is deployed that no package brought",
     sql(_INSERT % ("'PERSON_99'", "'auto'", "NULL", "1"))),
    ("merged-into-nobody", "identity.merge", "a person was merged into one that does not exist",
     sql("UPDATE dev.identity_merges SET into_uuid = '" + _NEW + "77' WHERE file_uuid = '{b}'")),
    ("merged-into-another", "identity.merge", "an actor was merged into another one",
     sql("UPDATE dev.identity_merges SET into_uuid = " + _PERSON % ("a", "Hugo Brandt")
         + " WHERE file_uuid = '{b}'")),
    ("binding-changed", "identity.binding-differs", "a face is bound to somebody else",
     sql(f"UPDATE dev.identity_bindings SET identity_uuid = {_ONE}"
         " WHERE binding_id = '{p}-b00003'")),
    ("binding-lost", "identity.binding-differs", "a binding is gone",
     sql("DELETE FROM dev.identity_bindings WHERE binding_id = '{p}-b00100'")),
    ("unknown-source", "identity.source", "a person comes from a source that nobody knows",
     sql(f"UPDATE dev.identities SET source = 'rumour' WHERE identity_uuid = {_ONE}")),
    ("no-actors", "identity.source-count", "nobody is known to TMDB",
     sql("UPDATE dev.identities SET source = 'auto' WHERE file_uuid = '{a}'")),
    ("tmdb-twice", "identity.tmdb-twice", "two people have one TMDB id",
     sql("UPDATE dev.identities SET tmdb_id = 9001 WHERE file_uuid = '{a}' AND name = 'Emi Sato'")),
    ("tmdb-without-id", "identity.tmdb-id", "an actor has no TMDB id",
     sql("UPDATE dev.identities SET tmdb_id = NULL WHERE file_uuid = '{a}' AND name = 'Emi Sato'")),
    ("binding-to-missing-identity", "identity.missing-identity", "a face is bound to nobody",
     sql("UPDATE dev.identity_bindings SET identity_uuid = '" + _NEW + "88'"
         " WHERE binding_id = '{p}-b00005'")),
    ("binding-to-missing-face", "identity.missing-face", "a face that is bound does not exist",
     sql("DELETE FROM dev.face_detections WHERE face_id = '{p}-f00005'")),
    ("binding-to-foreign-face", "identity.missing-face", "a face that is bound is of another file",
     sql("UPDATE dev.identity_bindings SET face_id = '{q}-f00005'"
         " WHERE binding_id = '{p}-b00005'")),
    ("face-bound-twice", "identity.face-bound-twice", "a face is bound to two people",
     sql("INSERT INTO dev.identity_bindings SELECT '{p}-again', file_uuid, " + _TWO + ", face_id,"
         " confidence FROM dev.identity_bindings WHERE binding_id = '{p}-b00001'")),
    ("unbound", "identity.unbound", "a person has no face",
     sql(f"DELETE FROM dev.identity_bindings WHERE identity_uuid = {_ONE}")),
    ("orphan", "identity.orphan", "a person is of a file that is gone, as after a re-install",
     sql("INSERT INTO dev.identities VALUES ('" + _NEW + "66', '" + _NEW + "55', 'PERSON_01',"
         " 'auto', NULL, NULL)")),
    ("zero-vector", "identity.embedding", "a face's vector is zero",
     sql("UPDATE dev.face_detections SET embedding = array_fill(0::real, ARRAY[512])::vector"
         " WHERE face_id = '{p}-f00010'")),
    ("long-vector", "identity.embedding", "a face's vector is twice as long as it should be",
     sql("UPDATE dev.face_detections SET embedding = embedding + embedding"
         " WHERE face_id = '{p}-f00011'")),
    ("no-vectors", "identity.null-share", "fifty faces have no vector",
     sql("UPDATE dev.face_detections SET embedding = NULL WHERE face_id LIKE '{p}-f000%'"
         " AND face_id < '{p}-f00050'")),
    ("same-person", "identity.too-similar", "two people have the same faces",
     sql("UPDATE dev.face_detections f SET embedding = (SELECT embedding FROM dev.face_detections"
         " WHERE face_id = '{p}-f00012') WHERE face_id IN (SELECT face_id FROM"
         f" dev.identity_bindings WHERE identity_uuid IN ({_ONE}, {_TWO}))")),
    ("empty-name", "identity.name", "a person has no name", _renamed("' '")),
    ("control-character", "identity.name", "a name steers the terminal",
     _renamed("E'A\\x1b[31mda'")),
    ("placeholder", "identity.name", "a name is what a masking left", _renamed("'***REDACTED***'")),
    ("auto-name", "identity.name", "an automatic name is none", _renamed("'Somebody'")),
)  # fmt: skip

_EDITS = (
    ("truncated", "package.truncated", "the archive ends early", packages.truncated),
    ("trailing-garbage", "package.trailing-garbage", "something follows the archive's end",
     packages.followed(b"garbage")),
    ("bad-checksum", "package.bad-checksum", "the gzip checksum is wrong", packages.bad_checksum),
    ("bad-header", "package.bad-header", "a member's header is damaged", packages.bad_header),
    ("not-an-archive", "package.not-an-archive", "a web page that is called a package",
     packages.replaced(b"<!doctype html><title>Not found</title>")),
    ("dot-dot", "package.unsafe-name", "a member leads out of the folder",
     packages.added("../../etc/cron.d/x")),
    ("absolute-name", "package.unsafe-name", "a member has an absolute name",
     packages.added("/etc/passwd")),
    ("symlink", "package.link-or-device", "a member is a symbolic link", packages.linked),
    ("duplicate-member", "package.duplicate-name", "a member stands twice",
     packages.added("{a}/deploy.sh")),
    ("case-clash", "package.duplicate-name", "two names differ in case alone",
     packages.added("{a}/DEPLOY.sh")),
    ("wrong-folder", "package.wrong-folder", "a member is of another UUID's folder",
     packages.added("{b}/notes.txt")),
    ("unexpected-member", "package.unexpected-member", "a member that no package has",
     packages.added("{a}/notes.txt")),
    ("bomb", "package.bomb", "a member that unpacks to 256 MiB of zeros", packages.bomb),
    ("missing-script", "package.missing-member", "there is no deploy.sh",
     packages.without("deploy.sh")),
    ("not-executable", "package.not-executable", "deploy.sh has no x bit",
     packages.moded("deploy.sh", 0o644)),
    ("text-library", "package.not-a-library", "vec0.dylib is a text",
     packages.filled("vec0.dylib", b"version https://git-lfs.example/spec/v1\n" * 4)),
    ("html-video", "package.not-a-video", "the video is a web page",
     packages.filled("{a}.mp4", b"<!doctype html><title>Not found</title>" * 4)),
    ("old-build", "package.build-differs", "an older build made the package",
     packages.edited("file_info.json", b"d34bcae", b"0ddba11")),
    ("no-version", "package.no-version", "file_info.json names no version",
     packages.edited("file_info.json", b"momentry_version", b"version")),
    ("truncated-dump", "package.truncated-dump", "a dump ends without its last line",
     packages.edited("sql/dev_chunk.sql", b"\n\\.\n", b"\n")),
    ("insert", "package.statement", "a dump has INSERT statements",
     packages.edited("sql/dev_videos.sql", b"-- videos", b"INSERT INTO dev.x VALUES (1);\n--")),
    ("no-key-column", "package.missing-column", "a dump lacks the column of the key",
     packages.edited("sql/dev_tkg_nodes.sql", b'("node_id", ', b'("other", ')),
    ("empty-table", "package.no-rows", "a dump has no rows",
     packages.emptied("sql/dev_tkg_edges.sql")),
    ("foreign-uuid", "package.foreign-uuid", "a dump holds rows of another UUID",
     packages.edited("sql/dev_identities.sql", b"\t{a}\t", b"\t{b}\t", 1)),
    ("vector-of-511", "package.vector-dimensions", "a face's vector has 511 dimensions",
     packages.edited("sql/dev_face_detections.sql", b"[0.044194173,", b"[", 1)),
    ("nan", "package.not-finite", "a face's vector holds NaN",
     packages.edited("sql/dev_face_detections.sql", b"[0.044194173,", b"[NaN,", 1)),
    ("sidecar-differs", "package.count-differs", "face.json has a face less than its table",
     packages.edited("{a}.face.json", packages.FIRST_FACE, b"[", 1)),
    ("sidecar-schema", "package.schema", "a face's confidence is a text",
     packages.edited("{a}.face.json", b'"confidence": 0.5', b'"confidence": "high"', 1)),
    ("sidecar-not-json", "package.not-json", "cut.json ends early",
     packages.halved("{a}.cut.json")),
    ("sidecar-of-another", "package.foreign-uuid", "asr.json is of another UUID",
     packages.edited("{a}.asr.json", b"{a}", b"{b}", 1)),
    ("missing-sidecar", "package.missing-member", "there is no yolo.json",
     packages.without("{a}.yolo.json")),
    ("vec-table-missing", "package.no-vector-table", "the SQLite file has no vec_faces",
     packages.vectors("DROP TABLE vec_faces")),
    ("vec-dimensions", "package.vector-dimensions", "vec_faces has 511 dimensions",
     packages.vectors("DROP TABLE vec_faces",
                      "CREATE VIRTUAL TABLE vec_faces USING vec0(embedding float[511])")),
    ("vec-rows", "package.count-differs", "vec_chunks lacks a vector",
     packages.vectors("DELETE FROM vec_chunks WHERE rowid = 3")),
    ("broken-sqlite", "package.broken-sqlite", "the SQLite file is damaged",
     packages.filled("{a}.sqlite", b"SQLite format 3\x00" + bytes(5000))),
    ("manifest-differs", "package.size-differs", "the manifest has another size of a member",
     packages.edited("manifest.json", b'"size": ', b'"size": 1', 1)),
)  # fmt: skip


def _named(gate: str, rows: Iterable[tuple[str, str, str, Damage]]) -> Iterable[DataFault]:
    return (DataFault(f"{gate}.{name}", code, words, damage) for name, code, words, damage in rows)


DATA_FAULTS: Mapping[str, DataFault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            *_named("row_count", _ROW_COUNT),
            *_named("tkg", _TKG),
            *_named("identity", _IDENTITY),
            *_named("package", ((n, code, words, package(e)) for n, code, words, e in _EDITS)),
        )
    }
)
