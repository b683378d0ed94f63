"""The people are right: every identity accounted for, bound to faces that exist, told from others.

A package's identity is deployed, or it was merged into one that was there before; whatever is
neither, and whatever is deployed and comes from nowhere, is named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from psycopg import sql

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.deployments import Deployments
from pytest_release.evidence import Attachment, Evidence, Finding
from pytest_release.gates._people import Look, Text, account
from pytest_release.gates._tally import (
    gathered,
    listing,
    some,
)

TOLERANCE = 0.01  # that a vector's length may differ from 1
SIMILARITY = 0.95  # cosine of two people's centroids from which on they are one
LONGEST_NAME = 200  # characters
PLACEHOLDER = re.compile(r"(?i)(null|none|undefined|nan|unknown|n/a|todo|\W*redacted\W*|\W+)")


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
    look = Look(case, deployments)
    findings = list(_CHECKS[case.check](look))
    attached = (Attachment("people", look.shown),) if look.shown else ()
    return replace(gathered(case, policy, findings, look.figures), attachments=attached)


def _sources(look: Look) -> Iterator[Finding]:
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


def _tmdb(look: Look) -> Iterator[Finding]:
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
        "SELECT {id}::text, coalesce({tmdb}::text, 'null'), count(*) OVER () FROM {identities}"
        " WHERE {identities_uuid} = {this} AND {source}::text = ANY({numbered})"
        " AND NOT coalesce({tmdb}::text ~ '^[1-9][0-9]*$', false) ORDER BY 1 LIMIT {most}",
        numbered=sql.Literal(list(look.expect.get("numbered", ()))),
    )
    yield from some(
        "identity.tmdb-id",
        lambda one, tmdb: f"{table} {one}: {column} is {tmdb}, expected a positive number",
        rows,
        "ids",
    )


def _bindings(look: Look) -> Iterator[Finding]:
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


def _orphans(look: Look) -> Iterator[Finding]:
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


def _embeddings(look: Look) -> Iterator[Finding]:
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


def _separation(look: Look) -> Iterator[Finding]:
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


def _names(look: Look) -> Iterator[Finding]:
    rows = look.ask(
        "SELECT {id}::text, {name}::text, {source}::text FROM {identities}"
        " WHERE {identities_uuid} = {this} ORDER BY 1"
    )
    patterns: Mapping[str, str] = look.expect.get("patterns", {})
    longest = look.expect.get("max_length", LONGEST_NAME)
    wrong = [
        f"{look.identities.table} {one}: {look.people.name} {str(name)[:80]!r} {problem}"
        for one, name, source in rows
        if (problem := _name_problem(name, patterns.get(source), longest))
    ]
    if wrong:
        yield listing("identity.name", wrong, "names")


def _name_problem(name: Text, pattern: str | None, longest: int) -> str:
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
    if pattern is not None and not re.fullmatch(pattern, name):
        return f"does not match {pattern}"
    return ""


_CHECKS: Mapping[str, Callable[[Look], Iterator[Finding]]] = {
    "counts": account,
    "sources": _sources,
    "tmdb": _tmdb,
    "bindings": _bindings,
    "orphans": _orphans,
    "embeddings": _embeddings,
    "separation": _separation,
    "names": _names,
}
