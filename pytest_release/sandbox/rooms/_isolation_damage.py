"""What can be wrong between two environments: in what they declare, and in what they hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_release.sandbox.rooms._isolation_places import DEVELOPMENT, PRODUCTION

Told = Mapping[str, Any]
Damage = Callable[[Told, str], None]  # addresses, and a file that only development knows
SETTINGS = DEVELOPMENT.settings


def declared(sides: dict[str, Any], faults: Collection[str]) -> dict[str, Any]:
    """What the two environments say of themselves, with the faults of what is said."""
    ours, theirs = sides["demo"]["services"], sides["demo-production"]["services"]
    if "isolation.same-schema" in faults:
        ours["postgres"]["schema"] = theirs["postgres"]["schema"]
    if "isolation.another-name" in faults:
        dsn = make_conninfo(ours["postgres"]["dsn"], host=f"{socket_of(ours['postgres']['dsn'])}/.")
        ours["postgres"] = {"dsn": dsn, "schema": theirs["postgres"]["schema"]}
    if "isolation.bare-prefix" in faults:
        theirs["redis"]["prefix"] = "momentry"
    return sides


def socket_of(dsn: str) -> str:
    """The folder of the database's socket."""
    return str(conninfo_to_dict(dsn)["host"])


def _sql(*statements: str) -> Damage:
    def run(told: Told, uuid: str) -> None:
        with psycopg.connect(told["dsn"], autocommit=True) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement.replace("{a}", uuid)))

    return run


def _settings(old: str, new: str) -> Damage:
    def run(told: Told, _uuid: str) -> None:
        file = Path(told["root"]) / SETTINGS
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return run


def _key(name: str) -> Damage:
    def run(told: Told, uuid: str) -> None:
        with redis.Redis.from_url(told["redis"]) as client:
            client.set(name.replace("{a}", uuid), "1")

    return run


def _file(name: str) -> Damage:
    def run(told: Told, uuid: str) -> None:
        (Path(told["root"]) / name.replace("{a}", uuid)).write_text("stray")

    return run


def _link(told: Told, _uuid: str) -> None:
    root = Path(told["root"])
    (root / DEVELOPMENT.output / "latest").symlink_to(root / PRODUCTION.output)


MIRROR = """
CREATE FUNCTION dev.mirror() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.videos VALUES (NEW.*) ON CONFLICT DO NOTHING; RETURN NEW; END $$
"""

DAMAGES: Mapping[str, Damage] = {
    f"isolation.{name}": damage
    for name, damage in {
        "production-settings": _settings("=momentry_dev:", "=momentry:"),
        "view": _sql(
            "DROP TABLE dev.frames", "CREATE VIEW dev.frames AS SELECT * FROM public.frames"
        ),
        "missing-table": _sql("DROP TABLE dev.face_clusters"),
        "shared-sequence": _sql(
            "ALTER TABLE dev.file_registry ALTER id"
            " SET DEFAULT nextval('public.file_registry_id_seq')"
        ),
        "mirrored-rows": _sql(
            MIRROR,
            "CREATE TRIGGER mirror AFTER INSERT ON dev.videos FOR EACH ROW"
            " EXECUTE FUNCTION dev.mirror()",
        ),
        "foreign-rows": _sql(
            "INSERT INTO public.frames (file_uuid) SELECT '{a}' FROM generate_series(1, 3)"
        ),
        "foreign-keys": _key("momentry:file:{a}"),
        "foreign-files": _file("output/{a}.mp4"),
        "bare-key": _key("celery-task-meta-1"),
        "stray-file": _file("export.csv"),
        "link-across": _link,
    }.items()
}
