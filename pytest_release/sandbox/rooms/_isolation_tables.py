"""The tables of both schemas: momentry's, and those of the lists that a release does not touch."""

from __future__ import annotations

from importlib import resources

import psycopg
from psycopg import sql

from pytest_release.sandbox.rooms._isolation_places import DEVELOPMENT, PRODUCTION

OTHERS = (
    "chunks",
    "pre_chunks",
    "frames",
    "processor_results",
    "file_registry",
    "file_lifecycle",
    "face_clusters",
    "face_identities",
    "face_recognition_results",
)
SHARED = ("api_keys", "api_key_audit_log", "monitor_checks", "backup_runs")


def create_tables(dsn: str) -> None:
    """Create them all."""
    text = (resources.files("pytest_release") / "sandbox" / "momentry.sql").read_text()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for place in (PRODUCTION, DEVELOPMENT):
            connection.execute(sql.SQL(text.replace("{schema}", place.schema)))
            for name in OTHERS:
                statement = "CREATE TABLE {} (id serial PRIMARY KEY, file_uuid uuid NOT NULL)"
                table = sql.Identifier(place.schema, name)
                connection.execute(sql.SQL(statement).format(table))
        for name in SHARED:
            table = sql.Identifier(PRODUCTION.schema, name)
            statement = "CREATE TABLE {} (id serial PRIMARY KEY, name text)"
            connection.execute(sql.SQL(statement).format(table))
