"""What PostgreSQL's errors mean, in one sentence: what it said, what that is, what to do."""

from __future__ import annotations

import re

from pytest_release.hostile import one_line

LONGEST = 300  # characters of what the server said
_PREAMBLE = re.compile(r"^connection failed: (?:connection to server .*? failed: )?(?:FATAL: *)?")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LOST = "the connection was lost; see that the server runs, and run again"
_ADVICE = {  # by SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
    "25006": "tests look and do not touch",
    "3D000": "see the database's name in services.postgres.dsn",
    "42501": "grant the user of services.postgres.dsn to read all rows of it",
    "42703": "the schema is of another version than the system's file says; run the migrations",
    "42P01": "see services.postgres.schema, and run the migrations",
    "53300": "too many sessions are open; end some, or raise max_connections",
    "55P03": "somebody holds a lock; wait for the migration or the installation to end",
    "57014": (
        "it took longer than services.postgres.statement_timeout_s; an index on the UUID may help"
    ),
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": "the server is starting or stopping; run again when it is up",
}
_REACHING = {
    "unsupported startup parameter": "name PostgreSQL itself, not a pooler that refuses settings",
    "password authentication failed": "see user and password in services.postgres.dsn",
    "no password supplied": "give the password in services.postgres.dsn",
    "does not exist": "see user and database in services.postgres.dsn",
    "too many clients": _ADVICE["53300"],
}


def explained(error: Exception) -> str:
    """What is wrong with a question, or with the session, and what to do.

    Args:
        error: psycopg's.
    """
    state = getattr(error, "sqlstate", None)
    said = _said(error)
    if state is None:
        return f"{said}: {_LOST}" if type(error).__name__ == "OperationalError" else said
    meaning = _WORD.sub(" ", type(error).__name__).lower()
    named = "" if meaning in said.lower() else f" ({meaning})"
    advice = _ADVICE.get(state, "")
    return f"{said}{named}: {advice}" if advice else f"{said}{named}"


def unreachable(error: Exception) -> str:
    """Why there is no session, and what to do.

    Args:
        error: psycopg's.
    """
    said = _said(error)
    advice = "see that the server runs, and host and port in services.postgres.dsn"
    for words, better in _REACHING.items():
        if words in said:
            advice = better
    return f"{said}: {advice}"


def _said(error: Exception) -> str:
    """The server's or the driver's first line."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    first = str(primary or error).strip().partition("\n")[0] or type(error).__name__
    return one_line(_PREAMBLE.sub("", first))[:LONGEST]
