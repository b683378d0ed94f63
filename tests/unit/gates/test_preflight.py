"""Tests of the preflight gate, beside those of each fault."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.evidence import Evidence, Severity
from pytest_release.gates._check import check
from pytest_release.gates._preflight_env import PLACEHOLDERS, WEAK
from pytest_release.gates._preflight_stack import is_secret, shown
from pytest_release.gates._scene import Scene
from pytest_release.gates.preflight import CHECKS, MOST
from pytest_release.redaction import Secret
from pytest_release.sandbox.rooms import _stack as good
from pytest_release.sandbox.rooms._stack import Stack
from pytest_release.sandbox.rooms._stack_servers import OCI
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
ROOT = Path(__file__).parents[3]
SETTINGS = {
    "DB_PASSWORD": {
        "service": "odoo",
        "environment": "PASSWORD",
        "config": {"file": "config/odoo.conf", "key": "options.db_password"},
    }
}
Make = Callable[..., Evidence]


@pytest.fixture(scope="module")
def shared() -> Iterator[Stack]:
    """A stack that nobody changes."""
    made = Stack()
    yield made
    made.stop()


@pytest.fixture
def own() -> Iterator[Stack]:
    """A stack to be changed."""
    made = Stack()
    yield made
    made.stop()


def made(
    services: dict[str, Any],
    name: str,
    options: dict[str, Any] | None = None,
    expect: dict[str, Any] | None = None,
    role: str = "staging",
) -> Evidence:
    """One check of an environment with some services."""
    environment = Environment(
        "here", role, "seisei", "http://127.0.0.1:9", HERE, "", {}, services=services
    )
    needed = {"settings": SETTINGS} if name == "effective" else {}
    case = CheckCase(
        f"preflight/{name}",
        "preflight",
        name,
        HERE,
        1,
        check=name,
        options={**needed, **(options or {})},
        expect=expect or {},
    )
    return check(case, GatePolicy(), Scene(environment, _target()))


@cache
def _target() -> HttpTarget:
    """Asked by none of these checks; making one costs more than most of them."""
    return HttpTarget(Environment("here", "staging", "seisei", None, HERE, "", {}))


def of(stack: Stack, name: str, role: str = "staging", **given: Any) -> Evidence:  # noqa: ANN401 - as YAML has it
    """One check of a stack."""
    services = {key: dict(value) for key, value in stack.services.items()}
    for key, value in given.pop("services", {}).items():
        services[key] = {**services.get(key, {}), **value}
    return made(services, name, given.get("options"), given.get("expect"), role)


def codes(evidence: Evidence) -> list[str]:
    """What was found."""
    return [finding.code.removeprefix("preflight.") for finding in evidence.findings]


def said(evidence: Evidence) -> str:
    """The messages."""
    return "\n".join(finding.message for finding in evidence.findings)


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"commands", "disk"}))
def test_without_a_stack_nothing_is_passed(name: str) -> None:
    """The environment is told what to add."""
    evidence = made({}, name)

    (finding,) = evidence.failures
    assert finding.code == "preflight.no-answer"
    assert re.match(
        r"here\.yaml names no \w+: add services\.(compose|source)\.\w+$", finding.message
    )


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"commands"}))
def test_an_empty_folder_is_no_stack_in_order(name: str, tmp_path: Path) -> None:
    """Where nothing is, nothing passes; but a disk is one."""
    services = {
        "compose": {"directory": str(tmp_path)},
        "source": {"repository": str(tmp_path), "stack": "."},
    }
    evidence = made(services, name, expect={"min_free_percent": 0, "min_free_inodes_percent": 0})

    assert bool(evidence.failures) is (name != "disk")


def test_production_holds_every_service_to_it(own: Stack) -> None:
    """Elsewhere it is a note, but for the critical ones."""
    own.replace("compose.yaml", "image: ${REGISTRY}/seisei/ocr:${TAG}@sha256:${OCR_DIGEST}",
                "image: ${REGISTRY}/seisei/ocr:latest\n    build: .")  # fmt: skip
    own.replace("compose.yaml", ":${TAG}@sha256:${ODOO_DIGEST}", ":latest")
    severities = {
        role: [finding.severity for finding in of(own, "images", role).findings]
        for role in ("production", "staging", "sentinel", "development")
    }

    assert severities.pop("production") == [Severity.FAILURE] * 2
    assert all(each == [Severity.NOTE] * 2 for each in severities.values())
    critical = of(own, "images", options={"critical": ["ocr"]})
    assert [finding.code for finding in critical.failures] == ["preflight.build"]


def test_production_wants_digests(own: Stack) -> None:
    """A tag that the registry has is enough elsewhere."""
    own.replace("compose.yaml", "@sha256:${OCR_DIGEST}", "")

    assert codes(of(own, "digests")) == []
    assert codes(of(own, "digests", "production")) == ["not-pinned"]


def test_an_image_that_is_none(own: Stack) -> None:
    """Neither a reference nor a build."""
    own.replace("compose.yaml", "image: ${REGISTRY}/seisei/ocr:${TAG}@sha256:${OCR_DIGEST}",
                "image: Registry/OCR")  # fmt: skip
    assert (
        "compose.yaml: the service ocr has the image 'Registry/OCR', which is no reference"
        in said(of(own, "images"))
    )
    own.replace("compose.yaml", "image: Registry/OCR", "command: [serve]")
    found = of(own, "compose")
    assert codes(found) == ["does-not-parse"]
    assert 'service "ocr" has neither an image nor a build context' in said(found)


def test_a_stack_without_services(own: Stack) -> None:
    """Is none."""
    (own.run / "compose.yaml").write_text("services: {}\n")

    assert set(codes(of(own, "compose"))) <= {"no-services", "does-not-parse"}
    assert of(own, "compose").failures


def test_a_tag_that_is_gone_warns(own: Stack) -> None:
    """What is pinned can be had all the same."""
    del own.images.answers[f"/v2/seisei/ocr/manifests/{good.TAG}"]
    evidence = of(own, "digests", "production")

    assert [(f.code, f.severity) for f in evidence.findings] == [
        ("preflight.tag-gone", Severity.WARNING)
    ]


def test_an_index_is_followed_to_this_machine(own: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its layers are what takes room; an image for another machine is said."""
    manifest = own.images.digests["seisei/ocr"]
    entry = {"digest": f"sha256:{manifest}", "platform": {"os": "linux", "architecture": "amd64"}}
    kind = f"{OCI}.index.v1+json"
    own.images.answers["/v2/seisei/ocr/manifests/many"] = (
        kind,
        json.dumps({"manifests": [7, {"platform": 1}, entry]}).encode(),
    )
    own.replace("compose.yaml", ":${TAG}@sha256:${OCR_DIGEST}", ":many")
    options, expect = {"images": True}, {"min_free_percent": 0, "min_free_inodes_percent": 0}
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert codes(of(own, "disk", options=options, expect=expect)) == []

    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    found = of(own, "disk", options=options, expect=expect)
    assert "the image seisei/ocr is not made for linux/riscv64" in said(found)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no", "/seisei/ocr is no JSON object"),
        (b"{}", "the manifest of seisei/ocr lists no layers"),
        (b'{"layers": [1]}', "the manifest of seisei/ocr lists no layers"),
        (b'{"manifests": 1}', "the image seisei/ocr is not made for linux/"),
    ],
)
def test_a_manifest_that_is_none(own: Stack, body: bytes, message: str) -> None:
    """Nobody knows how much room it takes."""
    own.images.answers["/v2/seisei/ocr/manifests/odd"] = ("application/json", body)
    own.replace("compose.yaml", ":${TAG}@sha256:${OCR_DIGEST}", ":odd")

    assert message in said(of(own, "disk", options={"images": True}))


def test_networks_that_the_case_names(shared: Stack) -> None:
    """Beside the compose file's; an engine's socket may be another service's."""
    evidence = of(shared, "networks", expect={"networks": ["monitoring"]})
    assert said(evidence) == (
        "there is no network monitoring, which the case expects; the engine has bridge, edge, "
        "host, none"
    )
    for host, expected in {
        f"unix://{shared.socket}": "",
        "tcp://127.0.0.1:2375": "the engine is at tcp://127.0.0.1:2375; its networks are asked for "
        "over a unix socket: add services.compose.socket",
    }.items():
        services = {"compose": {"directory": str(shared.run)}, "engine": {"docker_host": host}}
        assert said(made(services, "networks")) == expected


def test_a_key_may_be_optional_or_retired(own: Stack) -> None:
    """Where the case says so."""
    own.set("S3_ENDPOINT", None)
    own.set("SMTP_HOST", "smtp", own.last)

    assert codes(of(own, "env")) == ["missing-key", "lost-key", "lost-key"]
    options = {"optional": ["S3_ENDPOINT"], "retired": ["SMTP_HOST"]}
    assert codes(of(own, "env", options=options)) == []


def test_a_first_release_has_none_before(shared: Stack) -> None:
    """The environment names none then; the template alone counts."""
    services = {key: dict(value) for key, value in shared.services.items()}
    del services["source"]["last_release"]

    assert codes(made(services, "env")) == []


def test_another_template_and_env_file(own: Stack) -> None:
    """By the names that the environment gives."""
    (own.source / "env.tpl").write_text("ONE=\nTWO=\n")
    for folder in (own.run, own.last):
        (folder / "prod.env").write_text("ONE=1\n")
    given = {"compose": {"env_file": "prod.env"}, "source": {"template": "env.tpl"}}

    assert said(of(own, "env", services=given)) == "prod.env lacks TWO, which env.tpl has"


@pytest.mark.parametrize(
    "value",
    ["***", "***REDACTED***", "<redacted>", "changeme", "Change_Me!", "change-this", "<token>",
     "your_key_here", "YOUR-TOKEN", "TODO", "fixme", "xxxx", "...", "${DB_PASSWORD}", "{{ pw }}",
     "placeholder", "insert key"],
)  # fmt: skip
def test_placeholders(value: str) -> None:
    """Words that no real value is."""
    assert any(pattern.search(value) for pattern in PLACEHOLDERS.values())


@pytest.mark.parametrize(
    "value",
    ["db", "https://s3.example", "a<b>c", "exchange-me-not", "todos", "xx", "sha-4b1ce21", "",
     "pa**word", "1.2.3", "${A}-${B}x", "yourself@x.example"],
)  # fmt: skip
def test_values_that_are_no_placeholders(value: str) -> None:
    """Also where they look a little like it."""
    assert not any(pattern.search(value) for pattern in PLACEHOLDERS.values())
    assert not WEAK.search(value)


def test_what_may_be_empty_and_what_is_secret(own: Stack) -> None:
    """By its name, by the case's list, or by a password in it."""
    own.set("SMTP_PASSWORD", "")
    own.set("RIDDLE", "secret")
    assert codes(of(own, "placeholders")) == ["empty-secret"]

    options = {"may_be_empty": ["SMTP_PASSWORD"], "secrets": ["RIDDLE"]}
    found = of(own, "placeholders", options=options)
    assert said(found) == ".env:14: RIDDLE is a word that everybody tries first, 6 characters"
    secrets = {"DB_PASSWORD": "", "api.apiKey": "", "AUTH": "", "URL": "postgres://me:pw@db/x"}
    assert all(is_secret(key, value) for key, value in secrets.items())
    harmless = {"DB_HOST": "db", "KEYBOARD": "us", "AUTHOR": "me", "URL": "https://db/x"}
    assert not any(is_secret(key, value) for key, value in harmless.items())


def test_without_a_template_no_value_is_a_template_s(own: Stack) -> None:
    """That there is one is another check's business."""
    (own.source / ".env.example").unlink()
    own.set("SESSION_SECRET", good.TEMPLATE_SECRET)

    assert codes(of(own, "placeholders")) == []


def test_a_secret_is_told_apart_and_not_told() -> None:
    """By its length and a mark that is worth nothing elsewhere."""
    mine, same, other = (shown(value, secret=True) for value in ("hunter2", "hunter2", "hunter3"))

    assert mine == same != other
    assert re.fullmatch(r"7 characters \(#[0-9a-f]{6}\)", mine)
    assert shown("", secret=True) == "nothing"
    assert shown("db", secret=False) == "'db'"


def test_a_setting_that_is_secret_by_its_case(own: Stack) -> None:
    """Whatever its name; and one that is not, whatever its name."""
    own.replace("config/odoo.conf", "db_host = db", "db_host = hidden-host")
    setting = {"service": "odoo", "environment": "HOST", "precedence": ["config"],
               "config": {"file": "config/odoo.conf", "key": "options.db_host"}}  # fmt: skip
    hidden = of(own, "effective", options={"settings": {"DB_HOST": {**setting, "secret": True}}})
    told = of(own, "effective", options={"settings": {"DB_HOST": setting}})

    assert codes(hidden) == codes(told) == ["conflict"]
    assert "hidden-host" not in repr(hidden)
    assert "config/odoo.conf options.db_host says 'hidden-host'" in said(told)


def test_an_env_file_s_own_variables_are_expanded(own: Stack) -> None:
    """As compose does it: the same value by another way is no conflict, half a password is one."""
    settings = {"S3_URL": {"service": "ocr"}}
    own.set("S3_URL", "https://${DB_HOST}.example")
    assert codes(of(own, "effective", options={"settings": settings})) == []

    own.set("S3_URL", "'https://${DB_HOST}.example'")
    assert codes(of(own, "effective", options={"settings": settings})) == []

    own.set("SESSION_SECRET", "abc$def")
    assert "uses the variable def, which .env does not set" in said(of(own, "compose"))


def test_an_environment_of_the_stack_beats_its_env_file(own: Stack) -> None:
    """As docker does it; both are named."""
    mine = "env_file: [.env]\n    environment: [S3_ENDPOINT=https://old.example]"
    own.replace("compose.yaml", "env_file: [.env]", mine)
    found = of(own, "effective", options={"settings": {"S3_ENDPOINT": {"service": "ocr"}}})

    assert said(found) == (
        "S3_ENDPOINT of ocr is not the same everywhere: compose.yaml "
        "ocr.environment.S3_ENDPOINT says 'https://old.example'; .env:8 S3_ENDPOINT says "
        "'https://s3.example'; compose.yaml ocr.environment.S3_ENDPOINT wins"
    )


def test_a_setting_that_nobody_says(shared: Stack) -> None:
    """Not even the last release; one of the env file alone needs no service."""
    found = of(shared, "effective", options={"settings": {"NONE": {}, "DB_HOST": {}}})

    assert said(found) == "NONE has no value: not in .env NONE"


def test_a_disk_that_is_not_large_enough(shared: Stack) -> None:
    """In bytes, in percent, in inodes; the disk is a real one."""
    expect = {"min_free_percent": 100, "min_free_gb": 10**9, "min_free_inodes_percent": 0}
    evidence = of(shared, "disk", expect=expect, options={"paths": [str(shared.root)]})

    assert codes(evidence) == ["disk", "disk"]
    assert f"{shared.root} has " in said(evidence)
    assert "GB free, expected 1e+09 GB" in said(evidence)
    (free,) = (m for m in evidence.measurements if m.name == "free_percent")
    assert 0 <= free.estimate.value <= 100


def test_a_disk_without_inodes(shared: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full of small files, with half of its bytes free; one without blocks is full."""
    small = os.statvfs_result((4096, 4096, 100, 60, 50, 1000, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    assert said(of(shared, "disk", options={"paths": ["/srv"]})) == (
        "/srv has 1.0 % of its inodes free, expected 5 %"
    )
    none = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: none)
    assert codes(of(shared, "disk", options={"paths": ["/srv"]})) == ["disk"]


def test_a_disk_that_is_not_there(shared: Stack) -> None:
    """Its path may be misspelt, or not mounted."""
    evidence = of(shared, "disk", options={"paths": ["/nowhere"]})

    assert said(evidence) == "the disk of /nowhere cannot be looked at: No such file or directory"


def test_commands_and_their_versions(own: Stack) -> None:
    """On PATH or of the stack; a folder is none, and neither is one that tells no version."""
    for name, text in {
        "old": "echo old 1.9.2",
        "mute": "echo ready",
        "loud": "echo v3 >&2",
    }.items():
        (own.run / name).write_text(f"#!/bin/sh\n{text}\n")
        (own.run / name).chmod(0o755)
    wanted = [{"name": f"./{name}", "version": "1.10"} for name in ("old", "mute", "loud")]
    evidence = of(own, "commands", expect={"commands": [*wanted, "no-such-program", "./bin"]})

    assert said(evidence).splitlines() == [
        "the command ./old is of version 1.9.2, expected at least 1.10",
        "the command ./mute does not tell its version: it says 'ready'",
        "the command no-such-program is missing: not in PATH",
        "the command ./bin is missing: not in the stack's folder",
    ]


def test_drift_of_links_modes_and_other_things(own: Stack) -> None:
    """A link is compared by where it leads, and never followed; a pipe is not opened."""
    options = {"ignore": ["config"]}
    for folder, target in ((own.run, "/etc/passwd"), (own.source, "/etc/hosts")):
        (folder / "link").symlink_to(target)
    os.mkfifo(own.run / "pipe")
    (own.run / "bin" / "backup.sh").chmod(0o600)
    (own.run / "config" / "ignored").touch()
    evidence = of(own, "drift", options=options)

    assert said(evidence).splitlines() == [
        f"{own.run}: 2 files differ from {own.source}: bin/backup.sh, link",
        f"{own.run}: 1 files are not in {own.source}: pipe",
    ]


def test_drift_of_what_is_not_there(own: Stack) -> None:
    """A folder that is missing is no empty one; and an empty one is no source."""
    given = {"source": {"stack": "stacks/none"}}
    assert said(of(own, "drift", services=given)).endswith("/source/stacks/none is no folder")
    (own.repository / "stacks" / "none").mkdir()
    assert codes(of(own, "drift", services=given)) == ["no-source", "drift-added"]


def test_many_findings_are_counted(own: Stack) -> None:
    """After fifty."""
    (own.source / ".env.example").write_text("".join(f"KEY_{n}=\n" for n in range(60)))
    evidence = of(own, "env")

    assert len(evidence.findings) == MOST + 1
    assert evidence.findings[-1].message == "10 findings more are not told"


def test_versions_of_every_kind(own: Stack) -> None:
    """A dynamic one is none; poetry's counts; what cannot be read is no version."""
    files = {
        "pyproject.toml": '[project]\ndynamic = ["version"]\n[tool.poetry]\nversion = "1.0.1"\n',
        "package.json": "{",
        "Cargo.toml": "x",
    }
    own.commit(files, push=True)
    evidence = of(own, "versions", options={"require": ["Cargo.toml"]})

    assert [f.message for f in evidence.findings] == [
        f"Cargo.toml says no version, as committed in {own.git('rev-parse', 'HEAD')[:10]}",
        "pyproject.toml has the version 1.0.1, and build.rs has 1.0.0",
        "package.json has the version 'unreadable', which is none",
    ]


def test_versions_in_folders(own: Stack) -> None:
    """Where a repository has several parts, or none that says one."""
    evidence = of(own, "versions", options={"folders": ["stacks"]})
    assert said(evidence).endswith("/source: none of Cargo.toml, build.rs, pyproject.toml, "
                                   "package.json, package-lock.json says a version")  # fmt: skip
    assert codes(of(own, "versions", options={"folders": [".", "stacks"]})) == []


def test_the_repository_of_a_workspace_is_taken(shared: Stack) -> None:
    """Where the environment names no other; the case may name one."""
    services = {"workspace": {"directory": "/nowhere", "repository": str(shared.repository)}}

    assert codes(made(services, "git")) == []
    assert codes(made({}, "git", {"repository": str(shared.repository)})) == []


def test_a_branch_that_follows_none(own: Stack) -> None:
    """Nobody knows whether it was pushed."""
    own.git("checkout", "--quiet", "--detach")
    evidence = of(own, "git", expect={"branch": "main"})

    assert codes(evidence) == ["unpushed", "other-branch"]
    assert "is on no branch, expected main" in said(evidence)


def test_a_registry_s_login_is_the_environment_s(shared: Stack) -> None:
    """Its password is sealed; the registry here does not want it."""
    login = {"host": shared.registry, "username": "ci", "password": Secret("hunter2")}

    assert codes(of(shared, "digests", services={"registry": login})) == []
    assert codes(of(shared, "digests", services={"registry": {"host": "x"}})) == []


@pytest.mark.parametrize("name", ["compose", "placeholders", "effective", "env", "disk"])
def test_no_credential_is_told(own: Stack, name: str) -> None:
    """Whatever is wrong with it, wherever it stands."""
    for key, value in own.credentials.items():
        own.set(key, f"changeme-{value}")
    own.set("COPIED", f"***{own.credentials['DB_PASSWORD']}")
    own.replace("compose.yaml", "    networks: [default, edge]",
                '    networks: [default, edge]\n    ports: ["${DB_PASSWORD}"]')  # fmt: skip
    first = of(own, name, options={"files": ["config/odoo.conf"]})
    own.replace("compose.yaml", '    ports: ["${DB_PASSWORD}"]\n', "")
    second = of(own, name, options={"files": ["config/odoo.conf"]})

    text = repr(first) + repr(second)
    assert first.findings or second.findings or name in ("disk", "env")
    assert [key for key, value in own.credentials.items() if value in text] == []


def test_every_code_is_in_the_page() -> None:
    """Those that a fault makes, and those that none does."""
    page = (ROOT / "docs" / "gates" / "preflight.md").read_text()
    sources = (ROOT / "pytest_release" / "gates").glob("_preflight*.py")
    named = {
        code
        for file in sources
        for code in re.findall(r'(?:found\(\s*|^\s+)"([a-z-]+)"[,:]', file.read_text(), re.M)
    }

    named -= {"asterisks", "changeme"}  # kinds of placeholders
    assert len(named) > 30
    assert sorted(code for code in named if f"`preflight.{code}`" not in page) == []


def test_a_setting_of_a_service_that_is_not_there(shared: Stack) -> None:
    """The services that there are are named."""
    found = of(shared, "effective", options={"settings": {"A": {"service": "web"}}})

    assert said(found) == "compose.yaml has no service web, only db, ocr, odoo"


def test_a_folder_that_we_may_not_look_at() -> None:
    """Is no answer, and no crash."""
    long = f"/{'a' * 300}"
    evidence = made({"compose": {"directory": long}}, "compose")

    assert said(evidence) == f"{long} cannot be looked at: File name too long"


def test_what_is_long_is_cut(own: Stack) -> None:
    """Names of files, and messages."""
    for number in range(10):
        (own.run / f"{number}{'x' * 240}").touch()
        (own.run / "sub").mkdir(exist_ok=True)
    own.replace("compose.yaml", "@sha256:${OCR_DIGEST}", "")
    own.set("TAG", "x" * 3000)

    assert len(said(of(own, "drift"))) < 4000
    assert len(said(of(own, "images"))) < 10_000


def test_an_absolute_env_file_has_its_name_in_the_last_release(own: Stack) -> None:
    """And is not compared with itself."""
    own.set("SMTP_HOST", "smtp", own.last)
    given = {"compose": {"env_file": str(own.run / ".env")}}

    assert codes(of(own, "env", services=given)) == ["lost-key"]
