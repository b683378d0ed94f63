"""The database is ready: it takes a session, answers a question, and is the one it should be.

- What ``pg_isready`` asks is whether sessions are accepted; this opens one, and asks something. A
  server that is starting or stopping refuses.
- A database that was restored from nothing is ready, too, and empty: hence the tables.
- The session is read-only, as every one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_release.evidence import Finding
from pytest_release.gates._patience import clocked
from pytest_release.sampling import Sample
from pytest_release.targets.postgres import Database

ANSWER_S = 10.0  # seconds for the question, where less is not left
STANDING = (
    "SELECT pg_is_in_recovery(), current_database()::text, (SELECT count(*) FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%')"
)


@dataclass
class Readiness:
    """Connects to a database again and again.

    Attributes:
        options: Of the service: its ``dsn``.
        tables: That it must have at least.
        standby: It may be one, which takes no writes.
        took: Of connecting and asking, in ms.
    """

    options: Mapping[str, Any]
    tables: int = 1
    standby: bool = False
    took: list[Sample] = field(default_factory=list)
    found: int = 0

    def look(self, left_s: float) -> list[Finding]:
        """What is wrong with it at this moment; told how many seconds there are left.

        Raises:
            TargetError: There is no session, or no answer.
        """
        began = time.monotonic()
        limit = min(left_s, ANSWER_S)
        with Database.connect(self.options, statement_timeout_s=limit) as database:
            ((recovering, name, self.found),) = database.query(STANDING)
            place = database.place
        self.took.append(clocked((time.monotonic() - began) * 1000))
        findings = []
        if recovering and not self.standby:
            message = f"postgres {place} is a standby, and takes no writes"
            findings.append(Finding("smoke.standby", message, expected="a primary"))
        if self.found < self.tables:
            message = f"postgres {place}: the database {name} has {self.found} tables, "
            message += f"expected at least {self.tables}; is it the right one?"
            wanted, got = str(self.tables), str(self.found)
            findings.append(Finding("smoke.missing-tables", message, expected=wanted, received=got))
        return findings

    @property
    def figures(self) -> Mapping[str, Sequence[Sample | float]]:
        """How long a session with one question took."""
        return {"ready_ms": self.took}
