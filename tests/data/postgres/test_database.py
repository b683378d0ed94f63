"""`pytest_release.targets.postgres` against a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from pytest_release.errors import TargetError
from pytest_release.targets.postgres import Database


def test_a_session_is_read_only(momentry_url: str) -> None:
    """The server itself refuses a change, and the message is one sentence."""
    with Database.connect({"dsn": momentry_url}) as database:
        assert database.query("SELECT 1") == [(1,)]
        with pytest.raises(TargetError, match=r"cannot execute DELETE in a read-only transaction$"):
            database.query("DELETE FROM dev.videos")


def test_x(momentry_url: str) -> None:
    """Counts."""
    from pathlib import Path

    from pytest_release.config.systems import load_system

    s = load_system(Path("fixtures"), "momentry", {})
    with Database.connect({"dsn": momentry_url}) as database:
        print(database.uuids(s), database.counts(s, ["0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11"]))
        with psycopg.connect(momentry_url) as c:
            c.execute("drop table dev.tkg_edges")
        print(database.counts(s, ["0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11"]))
    with pytest.raises(TargetError) as e:
        Database.connect({"dsn": "postgresql://u:secret@127.0.0.1:1/x"})
    print(e.value)
    with pytest.raises(TargetError) as e:
        Database.connect({"dsn": "nonsense"})
    print(e.value)
