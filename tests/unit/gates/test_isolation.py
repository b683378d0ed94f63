"""The isolation gate where no store is asked: what is declared, what applications are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Auth, Environment, GatePolicy
from pytest_release.errors import ConfigError, TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._isolation_places import server_of
from pytest_release.gates._isolation_sides import Side, pairs
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Secret
from pytest_release.targets.http import HttpTarget

HERE = Path("fixtures") / "environments" / "here.yaml"
DEV: Mapping[str, Mapping[str, Any]] = {
    "postgres": {"dsn": "postgresql://me:hunter2@db/momentry", "schema": "dev"},
    "redis": {"url": "redis://localhost/0", "prefix": "momentry_dev:"},
    "mongodb": {"url": "mongodb://m:27017/", "database": "momentry_dev"},
    "qdrant": {"url": "http://q:6333", "collection": "momentry_dev_rule1"},
    "files": {"output": "/srv/output_dev", "backup": "/srv/backup/momentry_dev"},
    "application": {"log_level": "debug", "worker": False, "api_key": Secret("key-of-dev")},
}
PROD: Mapping[str, Mapping[str, Any]] = {
    "postgres": {"dsn": "host=db user=me password=hunter3 dbname=momentry", "schema": "public"},
    "redis": {"url": "redis://127.0.0.1:6379", "prefix": "momentry:"},
    "mongodb": {"url": "mongodb://m/", "database": "momentry"},
    "qdrant": {"url": "http://q:6333/", "collection": "momentry_rule1"},
    "files": {"output": "/srv/output", "backup": "/srv/backup/momentry"},
    "application": {"log_level": "info", "worker": True, "api_key": Secret("key-of-prod")},
}
ROLES = {
    "development": {"log_level": "debug", "worker": False},
    "production": {"log_level": "info", "worker": True},
}


def laid_over(services: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Services with some options changed: ``{"redis.prefix": "x"}``; None leaves one out."""
    changed = {name: dict(options) for name, options in services.items()}
    for place, value in changes.items():
        service, _, key = place.partition(".")
        changed[service][key] = value
        if value is None:
            del changed[service][key]
    return changed


def seen(
    kind: str,
    ours: Mapping[str, Any] | None = None,
    theirs: Mapping[str, Any] | None = None,
    *,
    role: str = "development",
    port: int = 3002,
    options: Mapping[str, Any] | None = None,
    **expect: Any,  # noqa: ANN401 - any JSON value
) -> Evidence:
    """One check of two declared environments."""
    there = {
        "role": "production",
        "base_url": f"http://localhost:{port}",
        "services": laid_over(PROD, theirs or {}),
    }
    known = {"neighbours": {"there": there}}
    services = {**laid_over(DEV, ours or {}), **known}
    environment = Environment(
        "here", role, "x", "http://127.0.0.1:3003", HERE, "", {}, None, None, services, ("there",)
    )
    case = CheckCase(
        "isolation/x", "isolation", "x", HERE, 1, expect, check=kind, options=options or {}
    )
    with HttpTarget(environment) as target:
        return check(case, GatePolicy(), Scene(environment, target))


def said(evidence: Evidence) -> list[str]:
    """Code and message of each finding."""
    return [f"{finding.code} {finding.message}" for finding in evidence.findings]


def test_two_environments_that_share_nothing() -> None:
    """momentry_dev: does not begin like momentry:, whatever it looks like."""
    assert said(seen("configuration", roles=ROLES)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ({"postgres.schema": "public"}, {}, (
         "isolation.same-place here and there have the same po"
         "stgres.schema 'public' of postgres db:5432/momentry")),
        ({"redis.prefix": "momentry:"}, {}, (
         "isolation.same-place here and there have the same re"
         "dis.prefix 'momentry:' of redis 127.0.0.1:6379/0")),
        ({}, {"redis.prefix": "momentry"}, (
         "isolation.overlap the prefix 'momentry' of redis 127."
         "0.0.1:6379/0 also matches the keys of 'momentry_dev:': whoever scans for 'momentry*' fi"
         "nds both; end it with a separator")),
        ({"mongodb.database": "momentry"}, {}, (
         "isolation.same-place here and there have the same"
         " mongodb.database 'momentry' of mongodb m:27017")),
        ({"qdrant.collection": "momentry_rule1"}, {}, (
         "isolation.same-place here and there have t"
         "he same qdrant.collection 'momentry_rule1' of qdrant q:6333")),
        ({"files.output": "/srv/output"}, {}, (
         "isolation.same-place here and there share the fold"
         "er /srv/output (files.output, files.output)")),
        ({"files.backup": "/srv/output/b"}, {}, (
         "isolation.overlap the folder /srv/output/b of on"
         "e stands within /srv/output of the other")),
        ({"application.api_key": "key-of-prod"}, {}, (
         "isolation.same-key here and there have the "
         "same API key: whoever knows one has both")),
        ({"application.worker": True}, {}, (
         "isolation.role here (development) has application.wor"
         "ker 'true', expected 'false'")),
        ({}, {"application.log_level": "debug"}, (
         "isolation.role there (production) has applicati"
         "on.log_level 'debug', expected 'info'")),
        ({"application.log_level": None}, {}, (
         "isolation.undeclared here names no services.applic"
         "ation.log_level, expected 'debug'")),
        ({"qdrant.collection": None}, {}, (
         "isolation.undeclared here names no services.qdrant.col"
         "lection, so nothing shows that it is its own")),
    ],
)  # fmt: skip
def test_what_is_shared_is_named(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], message: str
) -> None:
    """One sentence: what, where, and both names."""
    assert said(seen("configuration", ours, theirs, roles=ROLES)) == [message]


def test_one_address_by_two_names() -> None:
    """localhost and 127.0.0.1 are one host; the port must be another."""
    assert said(seen("configuration", port=3003)) == [
        "isolation.same-place here and there have the same address 127.0.0.1:3003"
    ]


def test_another_server_may_have_the_same_name() -> None:
    """Two servers with a schema public are two places."""
    assert said(seen("configuration", {"mongodb.url": "mongodb://n/"})) == []
    both = {"mongodb.url": "mongodb://n/", "mongodb.database": "momentry"}
    assert said(seen("configuration", both)) == []


def test_no_secret_is_shown() -> None:
    """Neither the keys nor the passwords of addresses."""
    shown = repr(seen("configuration", {"postgres.schema": "public"}, {"redis.prefix": "m"}))

    assert not [word for word in ("hunter2", "hunter3", "key-of") if word in shown]


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("redis://:secret@LOCALHOST/3", "127.0.0.1:6379/3"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock?db=1"),
        ("mongodb://a:b@m:27018/admin", "m:27018"),
        ("https://q", "q:443"),
        ("http://[::1]:80/x", "127.0.0.1:80"),
        ("http://q:port", "q:0"),
    ],
)
def test_a_server_has_one_spelling(address: str, server: str) -> None:
    """Without user and password."""
    assert server_of(address) == server


def test_nothing_is_written_but_in_development() -> None:
    """The belt: a run of any other role refuses before it asks a store."""
    for role in ("staging", "sentinel", "production"):
        for kind in ("canary", "application"):
            (finding,) = seen(kind, role=role).findings

            assert finding.code == "isolation.refused"
            assert finding.message.startswith(f"here has the role {role}, and a canary is only wr")


def test_no_store_of_another_role_is_opened_for_writing() -> None:
    """The same belt once more, where a store is opened."""
    there = Side(Environment("there", "production", "x", None, HERE, "", {}))
    with pytest.raises(TargetError, match="there has the role production: nothing is written the"):
        there.writable("redis")


def test_a_store_that_nobody_names() -> None:
    """Names the file to mend."""
    here = Side(Environment("here", "development", "x", None, HERE, "", {}))
    with pytest.raises(TargetError, match=r"here\.yaml names no services\.redis"):
        here.store("redis")


@pytest.mark.parametrize(
    ("service", "key", "message"),
    [
        ("redis", "prefix", "services.redis.prefix is missing, so every key is one's own"),
        ("postgres", "schema", "services.postgres.schema is missing"),
    ],
)
def test_a_store_without_its_own_part(service: str, key: str, message: str) -> None:
    """Nothing is taken for one's own by default."""
    given: Mapping[str, Any] = DEV[service]
    options = {name: value for name, value in given.items() if name != key}
    side = Side(
        Environment("h", "development", "x", None, HERE, "", {}, services={service: options})
    )
    with pytest.raises(TargetError, match=message):
        side.store(service)


def test_folders_that_nobody_names() -> None:
    """The packages' folder is none of them."""
    services = {"files": {"packages": "/srv/packages"}}
    side = Side(Environment("h", "development", "x", None, HERE, "", {}, services=services))
    with pytest.raises(TargetError, match=r"services\.files names neither output nor backup"):
        side.store("files")


def test_nothing_to_compare_with() -> None:
    """An empty list is no isolation."""
    with pytest.raises(TargetError, match=r"names no environment to compare with: add isolated_f"):
        pairs(Environment("here", "development", "x", None, HERE, "", {}))


def test_the_other_side_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same folder, with its own variables; what is wrong in it is said."""
    folder = tmp_path / "environments"
    folder.mkdir()
    (folder / "there.yaml").write_text(
        "name: there\nrole: production\nsystem: x\nbase_url: http://127.0.0.1:1\ngates: {}\n"
        'services: {redis: {url: "${THEIR_REDIS}", prefix: "p:"}}\n'.replace("{}", "{basic: {}}")
    )
    here = Environment(
        "here", "development", "x", None, folder / "here.yaml", "", {}, isolated_from=("there",)
    )
    with pytest.raises(ConfigError, match="THEIR_REDIS"):
        pairs(here)
    monkeypatch.setenv("THEIR_REDIS", "redis://r")
    (pair,) = pairs(here)

    assert (pair.theirs.declared("redis.url"), pair.theirs.role) == ("redis://r", "production")


NAMES = {"PREFIX": "redis.prefix", "WORKER": "application.worker", "PORT": "base_url.port"}


def told(folder: Path, ours: str, theirs: str, **expect: Any) -> list[str]:  # noqa: ANN401
    """What is found in two settings files, without their paths."""
    for name, text in (("ours", ours), ("theirs", theirs)):
        (folder / name).write_text(text)
    changed = [{"application.settings": str(folder / name)} for name in ("ours", "theirs")]
    found = said(seen("settings", *changed, **expect))
    return [text.replace(f"{folder}/", "") for text in found]


def test_settings_are_what_is_declared(tmp_path: Path) -> None:
    """Of each side its own."""
    ours = "PREFIX=momentry_dev:\nWORKER=false\nPORT=3003\nKEY=a"
    theirs = "PREFIX='momentry:'\nexport WORKER=true\nPORT=3002\nKEY=b"

    assert told(tmp_path, ours, theirs, settings=NAMES, differ=["KEY"]) == []


def test_settings_that_are_the_other_sides(tmp_path: Path) -> None:
    """A copied file is recognised; a secret is compared and never shown."""
    theirs = "PREFIX=momentry:\nWORKER=true\nPORT=3002\nAPI_KEY=s3cret"
    found = told(tmp_path, theirs, theirs, settings=NAMES, differ=["API_KEY"])

    assert found == [
        (
            "isolation.setting-differs ours: PREFIX is 'momentry:', which is what there declares; "
            "here declares 'momentry_dev:' as redis.prefix"
        ),
        (
            "isolation.setting-differs ours: WORKER is 'true', which is what there declares; here "
            "declares 'false' as application.worker"
        ),
        (
            "isolation.setting-differs ours: PORT is '3002', which is what there declares; here "
            "declares '3003' as base_url.port"
        ),
        "isolation.setting-same API_KEY is *** in the settings of both here and there",
    ]


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    """A default may be the other side's."""
    found = told(tmp_path, "", "PREFIX=momentry:\nKEY=b", settings={"PREFIX": "redis.prefix"},
                 differ=["KEY"])  # fmt: skip

    assert found == [
        "isolation.setting-missing ours has no PREFIX, so its default counts, whatever that is",
        "isolation.setting-missing ours has no KEY, so its default counts, whatever that is",
    ]


def test_no_settings_file_is_named() -> None:
    """Of either side."""
    assert said(seen("settings")) == [
        "isolation.undeclared here names no services.application.settings",
        "isolation.undeclared there names no services.application.settings",
    ]


def test_no_api_key_is_named() -> None:
    """Then nothing is asked."""
    without = {"application.api_key": None}
    assert said(seen("api_key", without, without, options={"path": "/x"})) == [
        "isolation.undeclared here names no key: neither auth nor services.application.api_key",
        "isolation.undeclared there names no key: neither auth nor services.application.api_key",
    ]


def test_the_token_is_the_api_key() -> None:
    """Where the application names none of its own."""
    auth = Auth("bearer", token=Secret("abc"))
    assert Side(Environment("h", "staging", "x", None, HERE, "", {}, auth)).api_key == "abc"
