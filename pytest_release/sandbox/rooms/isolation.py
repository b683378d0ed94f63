"""Isolation in the sandbox: a development and a production environment side by side.

PostgreSQL and Redis are real. MongoDB is nx-27017, which speaks the wire protocol in front of
SQLite; Qdrant is a small stand-in for its REST interface, and so is production's application.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_release.config import system
from pytest_release.sandbox.answers import Answer, json_answer
from pytest_release.sandbox.endpoint import V1, Endpoint, Setting
from pytest_release.sandbox.fault import faults_of
from pytest_release.sandbox.requests import Refused, Request, accept
from pytest_release.sandbox.room import Part, Room, Running

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

NAME = "isolation"
UUID = re.compile(system.UUID)


def _start(faults: frozenset[str], _stores: Stores | None) -> Running:
    from pytest_release.sandbox.rooms._isolation_sides import Sides  # noqa: PLC0415 - an extra

    return Sides(faults)


def _register(request: Request, setting: Setting) -> Answer:
    """The development application learns of a file, and says so in all of its stores."""
    if "isolation.broken-application" in setting.faults:
        raise Refused(503, "updating")
    from pytest_release.sandbox.rooms._isolation_app import Application  # noqa: PLC0415 - an extra

    asked = request.json()
    with Application(setting.parts[NAME], setting.faults) as application:
        application.register(str(asked["file_uuid"]), str(asked["file_name"]))
    return json_answer({"success": True, "file_uuid": asked["file_uuid"]}, 201)


def _forget(request: Request, setting: Setting) -> Answer:
    from pytest_release.sandbox.rooms._isolation_app import Application  # noqa: PLC0415 - an extra

    found = UUID.search(request.path)
    assert found is not None
    with Application(setting.parts[NAME], setting.faults) as application:
        application.forget(found[0])
    return json_answer({"success": True})


def _named(request: Request) -> None:
    """A file has a UUID and a name, and one that nobody could mistake for a path."""
    asked = request.json()
    if not UUID.fullmatch(str(asked.get("file_uuid", ""))) or not asked.get("file_name"):
        raise Refused(422, "file_uuid and file_name are needed")


_FAULTS = (
    ("same-schema", "same-place", "development keeps its rows in production's schema"),
    ("bare-prefix", "overlap", "production's prefix is momentry, without a colon"),
    ("production-settings", "setting-differs", ".env.development names production's prefix"),
    ("view", "table-shared", "dev.frames is a view of production's"),
    ("missing-table", "table-missing", "there is no dev.face_clusters"),
    ("shared-sequence", "reference-across", "a column of dev counts on with production's sequence"),
    ("another-name", "not-written", "development reaches production's schema by another name"),
    ("mirrored-rows", "canary-in-production", "a trigger copies development's videos to public"),
    ("wrong-prefix", "canary-in-production", "the application writes keys with momentry:"),
    ("queue", "canary-in-production", "the application puts its files into production's queue"),
    ("no-prefix", "canary-elsewhere", "the application writes keys without a prefix"),
    ("keeps", "left-behind", "the application does not forget what it is told to forget"),
    ("broken-application", "write-refused", "the application answers 503"),
    ("foreign-rows", "foreign-rows", "rows of a development file stand in public"),
    ("foreign-keys", "foreign-keys", "a key of a development file has production's prefix"),
    ("foreign-files", "foreign-files", "production's output holds a development file"),
    ("bare-key", "key-without-prefix", "a key has no prefix at all"),
    ("stray-file", "file-outside", "a file stands beside the folders"),
    ("link-across", "link-across", "a link in development leads to production's output"),
    ("any-key", "key-accepted", "production's application takes any key"),
)

ROOM = Room(
    endpoints=(
        Endpoint("POST", f"{V1}/files", NAME, _named, _register, waits=True),
        Endpoint("DELETE", f"{V1}/files/{{uuid}}", NAME, accept, _forget, waits=True),
    ),
    faults=faults_of(NAME, _FAULTS),
    parts=(Part(NAME, frozenset({NAME}), _start),),
)
