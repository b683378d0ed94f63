"""What the gates of data share: a question about one UUID, examples of what is wrong, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from psycopg import sql

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.config.system import System, Table
from pytest_release.deployments import Deployments
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Finding, Measurement
from pytest_release.hostile import one_line
from pytest_release.sampling import COUNTED, Decision, Sample, decide, mean_estimate

EXAMPLES = 10  # that a finding names

Name = sql.Composable


class Question:
    """Asks the database about one UUID; its names stand in every statement.

    Args:
        deployments: Where the database is.
        uuid: Of the file.
        names: Of tables and columns, for the statements' fields; ``this`` is the UUID itself.
    """

    def __init__(self, deployments: Deployments, uuid: str, names: Mapping[str, Name]) -> None:
        self.deployments = deployments
        self.uuid = uuid
        self._names = {"this": sql.Literal(uuid), "most": sql.Literal(EXAMPLES), **names}

    def __call__(self, statement: str, **more: Name) -> list[tuple[Any, ...]]:
        """The rows of the answer."""
        return self.deployments.database.query(self.composed(statement, **more))

    def composed(self, statement: str, **more: Name) -> sql.Composed:
        """The statement with its names."""
        return sql.SQL(statement).format(**self._names, **more)

    def relation(self, name: str) -> Name:
        """A table of the system by its logical name."""
        system = self.deployments.system
        return self.deployments.database.relation(system, system.tables[name])


def key_of(table: Table, alias: str) -> Name:
    """A row's key as one text."""
    columns = [
        sql.SQL("{}.{}::text").format(sql.Identifier(alias), sql.Identifier(k)) for k in table.key
    ]
    return (
        columns[0]
        if len(columns) == 1
        else sql.SQL("concat_ws('/', {})").format(sql.SQL(", ").join(columns))
    )


def some(
    code: str, what: Callable[..., str], rows: Sequence[tuple[Any, ...]], noun: str
) -> Iterator[Finding]:
    """One finding for rows that end with how many there are in all.

    Args:
        code: Of the finding.
        what: Says of one row, but for that number, what is wrong with it.
        rows: At most `EXAMPLES`, none when nothing is wrong.
        noun: What they are, in the plural.
    """
    if rows:
        total = int(rows[0][-1])
        yield listing(code, [what(*row[:-1]) for row in rows], noun, total)


def listing(code: str, texts: Sequence[str], noun: str, total: int | None = None) -> Finding:
    """A finding that names the first few, and says how many there are."""
    total = len(texts) if total is None else total
    shown = "; ".join(one_line(text) for text in islice(texts, EXAMPLES))
    more = f"; and {total - EXAMPLES} more" if total > EXAMPLES else ""
    return Finding(code, f"{shown}{more}", expected=f"no such {noun}", received=f"{total} {noun}")


def counted(name: str, value: float, limit: float | None = None) -> Measurement:
    """A figure that was counted, and whether it keeps its limit."""
    samples = (Sample(value, value, value, COUNTED),)
    estimate = mean_estimate(samples, 0.95)
    decision = None if limit is None else decide(estimate, limit)
    return Measurement(name, samples, estimate, limit, decision)


def limited(
    gate: str, measurements: Sequence[Measurement], where: Mapping[str, str]
) -> Iterator[Finding]:
    """A finding for each figure above its limit, with what is known of where."""
    for measured in measurements:
        if measured.decision not in (None, Decision.KEPT):
            value = f"{measured.estimate.value:g}"
            yield Finding(
                f"{gate}.{measured.name.replace('_', '-')}",
                f"{measured.name} is {value}, above the limit {measured.limit:g}"
                + (f": {one_line(place)}" if (place := where.get(measured.name)) else ""),
                expected=f"at most {measured.limit:g}",
                received=value,
            )


def limits_of(case: DataCase, policy: GatePolicy) -> Mapping[str, float]:
    """Limits of figures: the policy's, overridden by the case's own."""
    own = {name: v for name, v in case.expect.items() if isinstance(v, int | float)}
    return {**policy.thresholds, **own}


@dataclass
class Figures:
    """What was counted, by name, and where the worst of it is."""

    values: dict[str, float] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, where: str = "") -> None:
        """Keep a figure; its limit is found later."""
        self.values[name] = value
        self.where[name] = where


def gathered(
    case: DataCase, policy: GatePolicy, findings: Sequence[Finding], figures: Figures
) -> Evidence:
    """The evidence of a look: findings, and figures with their limits."""
    limits = limits_of(case, policy)
    measured = tuple(
        counted(name, value, limits.get(name)) for name, value in figures.values.items()
    )
    found = (*findings, *limited(case.gate, measured, figures.where))
    return Evidence(case.id, case.gate, case.name, measurements=measured, findings=found)


def part(system: System, name: str) -> Any:  # noqa: ANN401 - Graph or Identities
    """A part of the system's description.

    Raises:
        TargetError: It has none.
    """
    found = getattr(system, name)
    if found is None:
        raise TargetError(f"{system.source} does not describe its {name}: add the key {name}")
    return found
