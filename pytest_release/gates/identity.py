"""The people are right: every identity accounted for, bound to faces that exist, told from others.

A package's identity is deployed, or it was merged into one that was there before; whatever is
neither, and whatever is deployed and comes from nowhere, is named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from psycopg import sql

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.config.system import Identities, System
from pytest_release.deployments import Deployments
from pytest_release.evidence import Attachment, Evidence, Finding
from pytest_release.gates._tally import (
    Figures,
    Name,
    Question,
    gathered,
    key_of,
    listing,
    part,
    some,
)
from pytest_release.packages.copy_text import read_fields
from pytest_release.packages.rows import copy_rows

TOLERANCE = 0.01  # that a vector's length may differ from 1
SIMILARITY = 0.95  # cosine of two people's centroids from which on they are one
LONGEST_NAME = 200  # characters
AUTO, TMDB = "auto", "tmdb"
PLACEHOLDER = re.compile(r"(?i)(null|none|undefined|nan|unknown|n/a|todo|\W*redacted\W*|\W+)")

Text = str | None


def measure(case: DataCase, policy: GatePolicy, deployments: Deployments) -> Evidence:
    """Look at one aspect of a file's people.

    Args:
        case: Of this gate; its `check` is the aspect.
        policy: Limits of figures.
        deployments: Where the rows are.

    Raises:
        TargetError: The database cannot be asked, or the system describes no identities.
        PackageError: Counts are to be compared with a package that cannot be read.
    """
    look = _Look(case, deployments)
    findings = list(_CHECKS[case.check](look))
    attached = (Attachment("people", look.shown),) if look.shown else ()
    return replace(gathered(case, policy, findings, look.figures), attachments=attached)


class _Look:
    """One file's people, and the names under which they are asked for."""

    def __init__(self, case: DataCase, deployments: Deployments) -> None:
        self.case = case
        self.uuid = case.uuid
        self.expect = case.expect
        self.deployments = deployments
        self.system: System = deployments.system
        self.people: Identities = part(self.system, "identities")
        tables = self.system.tables
        self.identities = tables[self.people.table]
        self.bindings = tables[self.people.bindings]
        self.faces = tables[self.people.faces]
        self.figures = Figures()
        self.shown = ""
        self.ask = Question(deployments, case.uuid, self._names())

    def _names(self) -> dict[str, Name]:
        people, database = self.people, self.deployments.database
        columns = ("id", "name", "source", "tmdb", "bound_identity", "bound_face", "face")
        names: dict[str, Name] = {c: sql.Identifier(getattr(people, c)) for c in columns}
        names["embedding"] = sql.Identifier(people.embedding)
        for name in ("identities", "bindings", "faces"):
            table = getattr(self, name)
            names[name] = database.relation(self.system, table)
            names[f"{name}_uuid"] = sql.Identifier(table.uuid)
        names["binding_key"] = key_of(self.bindings, "b")
        if people.merges is not None:
            schema = database.schema(self.system)
            names["merges"] = sql.Identifier(schema, people.merges.table)
            for name in ("uuid", "merged", "into", "on"):
                names[f"merge_{name}"] = sql.Identifier(getattr(people.merges, name))
        return names


@dataclass(frozen=True)
class _Packaged:
    """What a package says of people: identities and the value they merge on, bindings."""

    identities: Mapping[str, Text]
    bindings: Mapping[str, tuple[Text, Text]]


def _packaged(look: _Look) -> _Packaged:
    package = look.deployments.package(look.uuid)
    people, system = look.people, look.system
    on = people.merges.on if people.merges else people.tmdb
    identities: dict[str, Text] = {}
    bindings: dict[str, tuple[Text, Text]] = {}
    names = [people.table, people.bindings]
    for name, copy, blocks in copy_rows(package.path, system, names, sha256=package.sha256):
        for block in blocks:
            for line in block.splitlines():
                texts = [
                    None if f is None else f.decode(errors="replace") for f in read_fields(line)
                ]
                row = dict(zip(copy.columns, texts, strict=True))
                if name == people.table:
                    identities[str(row[people.id])] = row[on]
                else:
                    key = "/".join(str(row[k]) for k in look.bindings.key)
                    bindings[key] = (row[people.bound_identity], row[people.bound_face])
    return _Packaged(identities, bindings)


@dataclass(frozen=True)
class _Merge:
    """A record of a merge: the identity that stayed, whether it exists, the value of both."""

    into: str
    exists: bool
    on: Text


def _merges(look: _Look) -> dict[str, _Merge]:
    if look.people.merges is None:
        return {}
    rows = look.ask(
        "SELECT m.{merge_merged}::text, m.{merge_into}::text, i.{id} IS NOT NULL,"
        " i.{merge_on}::text FROM {merges} m LEFT JOIN {identities} i ON i.{id} = m.{merge_into}"
        " WHERE m.{merge_uuid} = {this}"
    )
    return {merged: _Merge(into, exists, on) for merged, into, exists, on in rows}


def _counts(look: _Look) -> Iterator[Finding]:
    packaged = look.deployments.once(("people", look.uuid), lambda: _packaged(look))
    rows = look.ask("SELECT {id}::text FROM {identities} WHERE {identities_uuid} = {this}")
    deployed = {row[0] for row in rows}
    merges = _merges(look)
    look.shown = (
        f"{len(packaged.identities):>9,}  in the package\n{len(deployed):>9,}  deployed\n"
        f"{len(merges):>9,}  merged into identities that were there\n"
        f"{len(packaged.bindings):>9,}  bindings in the package"
    )
    look.figures.add("identities", len(deployed))
    look.figures.add("merged", len(merges))
    table = look.identities.table
    lost = sorted(packaged.identities.keys() - deployed - merges.keys())
    if lost:
        texts = [f"{table} {one}: in the package, neither deployed nor merged" for one in lost]
        yield listing("identity.unexplained", texts, "identities")
    extra = sorted(deployed - packaged.identities.keys())
    if extra:
        texts = [f"{table} {one}: deployed, and not in the package" for one in extra]
        yield listing("identity.extra", texts, "identities")
    if wrong := list(_wrong_merges(look, packaged, merges, deployed)):
        yield listing("identity.merge", wrong, "merges")
    yield from _bound(look, packaged, merges)


def _wrong_merges(
    look: _Look, packaged: _Packaged, merges: Mapping[str, _Merge], deployed: set[str]
) -> Iterator[str]:
    for merged, record in merges.items():
        assert look.people.merges is not None
        name = f"{look.people.merges.table} {merged}"
        own = packaged.identities.get(merged)
        if merged not in packaged.identities:
            yield f"{name}: was merged, and is not in the package"
        elif merged in deployed:
            yield f"{name}: was merged into {record.into}, and is deployed as well"
        elif not record.exists:
            yield f"{name}: was merged into {record.into}, which is no identity"
        elif own is None or own != record.on:
            column = look.people.merges.on
            yield f"{name}: has {column} {own}, and was merged into {record.into} with {record.on}"


def _bound(look: _Look, packaged: _Packaged, merges: Mapping[str, _Merge]) -> Iterator[Finding]:
    rows = look.ask(
        "SELECT {binding_key}, b.{bound_identity}::text, b.{bound_face}::text FROM {bindings} b"
        " WHERE b.{bindings_uuid} = {this}"
    )
    deployed = {key: (identity, face) for key, identity, face in rows}
    look.figures.add("bindings", len(deployed))
    wrong = []
    for key in sorted(packaged.bindings.keys() | deployed.keys()):
        expected, found = packaged.bindings.get(key), deployed.get(key)
        if expected is not None and expected[0] in merges:
            expected = (merges[str(expected[0])].into, expected[1])
        if expected != found:
            wrong.append(f"{look.bindings.table} {key}: {_pair(found)}, expected {_pair(expected)}")
    if wrong:
        yield listing("identity.binding-differs", wrong, "bindings")


def _pair(binding: tuple[Text, Text] | None) -> str:
    return "none" if binding is None else f"{binding[0]} to {binding[1]}"


def _sources(look: _Look) -> Iterator[Finding]:
    bounds: Mapping[str, Mapping[str, int]] = look.expect.get("sources", {})
    rows = look.ask(
        "SELECT {source}::text, count(*), min({id}::text) FROM {identities}"
        " WHERE {identities_uuid} = {this} GROUP BY 1 ORDER BY 1"
    )
    found = {source: count for source, count, _ in rows}
    table = look.identities.table
    for source, count, example in rows:
        if bounds and source not in bounds:
            text = f"{table} {example}: {look.people.source} {source!r} is unknown ({count} rows)"
            yield listing("identity.source", [text], "sources")
    for source, bound in bounds.items():
        count = found.get(source, 0)
        least, most = bound.get("min", 0), bound.get("max", count)
        if not least <= count <= most:
            limit = f"at least {least}" if count < least else f"at most {most}"
            message = f"{table} has {count} with {look.people.source} {source!r}, expected {limit}"
            yield Finding("identity.source-count", message, expected=limit, received=str(count))


def _tmdb(look: _Look) -> Iterator[Finding]:
    table, column = look.identities.table, look.people.tmdb
    rows = look.ask(
        "SELECT i.{tmdb}::text, count(*), string_agg(i.{id}::text, ', ' ORDER BY i.{id}::text),"
        " count(*) OVER () FROM {identities} i WHERE i.{tmdb} IN (SELECT {tmdb} FROM {identities}"
        "  WHERE {identities_uuid} = {this}) GROUP BY i.{tmdb} HAVING count(*) > 1"
        " ORDER BY 1 LIMIT {most}"
    )
    yield from some(
        "identity.tmdb-twice",
        lambda tmdb, count, ids: f"{table}: {column} {tmdb} stands {count} times: {ids}",
        rows,
        "ids",
    )
    rows = look.ask(
        "SELECT {id}::text, {tmdb}::text, count(*) OVER () FROM {identities}"
        " WHERE {identities_uuid} = {this} AND {source}::text = {tmdb_source}"
        " AND NOT coalesce({tmdb}::text ~ '^[1-9][0-9]*$', false) ORDER BY 1 LIMIT {most}",
        tmdb_source=sql.Literal(TMDB),
    )
    yield from some(
        "identity.tmdb-id",
        lambda one, tmdb: f"{table} {one}: {column} is {tmdb}, expected a positive number",
        rows,
        "ids",
    )


def _bindings(look: _Look) -> Iterator[Finding]:
    table = look.bindings.table
    rows = look.ask(
        "SELECT {binding_key}, b.{bound_identity}::text, count(*) OVER () FROM {bindings} b"
        " WHERE b.{bindings_uuid} = {this} AND NOT EXISTS (SELECT FROM {identities} i"
        "  WHERE i.{id} = b.{bound_identity}) ORDER BY 1 LIMIT {most}"
    )
    yield from some(
        "identity.missing-identity",
        lambda key, to: f"{table} {key}: identity {to} is not in {look.identities.table}",
        rows,
        "bindings",
    )
    rows = look.ask(
        "SELECT {binding_key}, b.{bound_face}::text, f.{faces_uuid}::text, count(*) OVER ()"
        " FROM {bindings} b LEFT JOIN {faces} f ON f.{face} = b.{bound_face}"
        " WHERE b.{bindings_uuid} = {this} AND f.{faces_uuid} IS DISTINCT FROM {this}"
        " ORDER BY 1 LIMIT {most}"
    )
    yield from some(
        "identity.missing-face",
        lambda key, to, owner: (
            f"{table} {key}: face {to} is "
            + (f"of another file, {owner}" if owner else f"not in {look.faces.table}")
        ),
        rows,
        "bindings",
    )
    rows = look.ask(
        "SELECT b.{bound_face}::text, count(*), string_agg({binding_key}, ', ' ORDER BY"
        " {binding_key}), count(*) OVER () FROM {bindings} b WHERE b.{bindings_uuid} = {this}"
        " GROUP BY b.{bound_face} HAVING count(*) > 1 ORDER BY 1 LIMIT {most}"
    )
    yield from some(
        "identity.face-bound-twice",
        lambda face, count, keys: f"{table}: face {face} is bound {count} times: {keys}",
        rows,
        "faces",
    )


def _orphans(look: _Look) -> Iterator[Finding]:
    table = look.identities.table
    rows = look.ask(
        "SELECT i.{id}::text, i.{name}::text, count(*) OVER () FROM {identities} i"
        " WHERE i.{identities_uuid} = {this} AND NOT EXISTS (SELECT FROM {bindings} b"
        "  WHERE b.{bound_identity} = i.{id}) ORDER BY 1 LIMIT {most}"
    )
    allowed = look.expect.get("unbound_max", 0)
    look.figures.add("unbound", rows[0][-1] if rows else 0)
    if rows and rows[0][-1] > allowed:
        yield from some(
            "identity.unbound",
            lambda one, name: f"{table} {one}: no face is bound to {name}",
            rows,
            "identities",
        )
    owner = look.system.tables[look.system.status.table] if look.system.status else None
    if owner is None:
        return
    rows = look.ask(
        "SELECT i.{id}::text, i.{identities_uuid}::text, count(*) OVER () FROM {identities} i"
        " WHERE NOT EXISTS (SELECT FROM {owners} o WHERE o.{owner} = i.{identities_uuid})"
        " AND NOT EXISTS (SELECT FROM {bindings} b WHERE b.{bound_identity} = i.{id})"
        " ORDER BY 1 LIMIT {most}",
        owners=look.ask.relation(owner.name),
        owner=sql.Identifier(owner.uuid),
    )
    yield from some(
        "identity.orphan",
        lambda one, of: f"{table} {one}: is of {of}, which is not in {owner.table}",
        rows,
        "identities",
    )


def _embeddings(look: _Look) -> Iterator[Finding]:
    table, column = look.faces.table, look.people.embedding
    dimensions = look.faces.vectors[column]
    slack = look.expect.get("tolerance", TOLERANCE)
    rows = look.ask(
        "SELECT f.{face}::text, vector_dims(f.{embedding}),"
        " vector_norm(f.{embedding}), count(*) OVER () FROM {faces} f"
        " WHERE f.{faces_uuid} = {this} AND f.{embedding} IS NOT NULL"
        " AND NOT (vector_dims(f.{embedding}) = {dimensions}"
        "  AND vector_norm(f.{embedding}) BETWEEN {low} AND {high}) ORDER BY 1 LIMIT {most}",
        dimensions=sql.Literal(dimensions),
        low=sql.Literal(1 - slack),
        high=sql.Literal(1 + slack),
    )
    wanted = f"expected {dimensions} dimensions of length 1 ± {slack:g}"
    yield from some(
        "identity.embedding",
        lambda face, size, norm: (
            f"{table} {face}: {column} has {size} dimensions and length {norm:.4g}, {wanted}"
        ),
        rows,
        "vectors",
    )
    ((faces, empty, example),) = look.ask(
        "SELECT count(*), count(*) FILTER (WHERE f.{embedding} IS NULL),"
        " min(f.{face}::text) FILTER (WHERE f.{embedding} IS NULL)"
        " FROM {faces} f WHERE f.{faces_uuid} = {this}"
    )
    share = empty / faces if faces else 0.0
    look.figures.add("null_share", share, f"{empty} of {faces} rows of {table}, {example} for one")


def _separation(look: _Look) -> Iterator[Finding]:
    limit = look.expect.get("max_similarity", SIMILARITY)
    rows = look.ask(
        "WITH people AS MATERIALIZED (SELECT b.{bound_identity} AS id,"
        " avg(f.{embedding}) AS centre FROM {bindings} b"
        " JOIN {faces} f ON f.{face} = b.{bound_face}"
        " WHERE b.{bindings_uuid} = {this} AND f.{embedding} IS NOT NULL"
        " AND vector_norm(f.{embedding}) > 0 GROUP BY 1)"
        " SELECT a.id::text, b.id::text, 1 - (a.centre <=> b.centre),"
        " count(*) OVER () FROM people a JOIN people b ON a.id < b.id"
        " WHERE 1 - (a.centre <=> b.centre) > {limit} ORDER BY 1, 2 LIMIT {most}",
        limit=sql.Literal(limit),
    )
    yield from some(
        "identity.too-similar",
        lambda one, other, near: (
            f"{look.identities.table} {one} and {other}: their faces are alike ({near:.3f}, "
            f"expected at most {limit:g}), perhaps one person"
        ),
        rows,
        "pairs",
    )


def _names(look: _Look) -> Iterator[Finding]:
    rows = look.ask(
        "SELECT {id}::text, {name}::text, {source}::text FROM {identities}"
        " WHERE {identities_uuid} = {this} ORDER BY 1"
    )
    pattern = look.expect.get("auto_pattern")
    longest = look.expect.get("max_length", LONGEST_NAME)
    wrong = [
        f"{look.identities.table} {one}: {look.people.name} {str(name)[:80]!r} {problem}"
        for one, name, source in rows
        if (problem := _name_problem(name, source, pattern, longest))
    ]
    if wrong:
        yield listing("identity.name", wrong, "names")


def _name_problem(name: Text, source: str, pattern: str | None, longest: int) -> str:
    if name is None or not name.strip():
        return "is empty"
    if name != name.strip():
        return "begins or ends with white space"
    if len(name) > longest:
        return f"is longer than {longest} characters"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") for c in name):
        return "holds a control character"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in normal form C"
    if PLACEHOLDER.fullmatch(name):
        return "is a placeholder"
    if source == AUTO and pattern and not re.fullmatch(pattern, name):
        return f"is no automatic name, expected {pattern}"
    return ""


_CHECKS: Mapping[str, Callable[[_Look], Iterator[Finding]]] = {
    "counts": _counts,
    "sources": _sources,
    "tmdb": _tmdb,
    "bindings": _bindings,
    "orphans": _orphans,
    "embeddings": _embeddings,
    "separation": _separation,
    "names": _names,
}
