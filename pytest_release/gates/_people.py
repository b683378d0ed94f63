"""One file's people, and the account of them: in the package, deployed, merged, bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from pytest_release.config.cases import DataCase
from pytest_release.config.system import Identities, System
from pytest_release.deployments import Deployments
from pytest_release.evidence import Finding
from pytest_release.gates._tally import Figures, Name, Question, key_of, listing, part
from pytest_release.packages.copy_text import read_fields
from pytest_release.packages.rows import copy_rows

Text = str | None


class Look:
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


def _packaged(look: Look) -> _Packaged:
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


def _merges(look: Look) -> dict[str, _Merge]:
    if look.people.merges is None:
        return {}
    rows = look.ask(
        "SELECT m.{merge_merged}::text, m.{merge_into}::text, i.{id} IS NOT NULL,"
        " i.{merge_on}::text FROM {merges} m LEFT JOIN {identities} i ON i.{id} = m.{merge_into}"
        " WHERE m.{merge_uuid} = {this}"
    )
    return {merged: _Merge(into, exists, on) for merged, into, exists, on in rows}


def account(look: Look) -> Iterator[Finding]:
    """Every identity and binding of the package is deployed or merged, and no other is."""
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
    look: Look, packaged: _Packaged, merges: Mapping[str, _Merge], deployed: set[str]
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


def _bound(look: Look, packaged: _Packaged, merges: Mapping[str, _Merge]) -> Iterator[Finding]:
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
