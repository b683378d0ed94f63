"""Tests of `pytest_release.config.environments`."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config.environment import (
    ROLES,
    Auth,
    Environment,
    GatePolicy,
    ReleaseSource,
    SamplePolicy,
    SandboxPolicy,
)
from pytest_release.config.environments import environment_names, load_environment
from pytest_release.config.validation import schema
from pytest_release.errors import ConfigError, UsageError
from pytest_release.gates import catalogue
from pytest_release.redaction import Secret

SHIPPED = Path(__file__).parents[3] / "fixtures"
LEAST = "name: here\nrole: staging\nsystem: hifate\ngates: {basic: {}}\n"
WITH_URL = f"{LEAST}base_url: https://here.example\n"

Load = Callable[..., Environment]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes ``environments/<name>.yaml`` and loads it."""
    folder = tmp_path / "environments"
    folder.mkdir()

    def load_text(text: str, name: str = "here", **variables: str) -> Environment:
        (folder / f"{name}.yaml").write_text(text)
        return load_environment(tmp_path, name, variables)

    return load_text


def test_environments_are_listed_by_name(tmp_path: Path) -> None:
    """Sorted; a leading underscore marks a base, and other files are none."""
    folder = tmp_path / "environments"
    folder.mkdir()
    for name in ("b.yaml", "a.yaml", "_base.yaml", "notes.txt", "old.yml"):
        (folder / name).touch()

    assert environment_names(tmp_path) == ["a", "b"]
    assert environment_names(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stagin", "unknown environment 'stagin', did you mean 'staging'?; environments in {}: "),
        ("x", "unknown environment 'x'; environments in {}: production, staging"),
        ("_base", "unknown environment '_base'; environments in {}: production, staging"),
        ("../secret", "unknown environment '../secret'; environments in {}: production, staging"),
    ],
)
def test_an_unknown_environment_lists_those_there_are(
    tmp_path: Path, name: str, message: str
) -> None:
    """With the nearest name; a base and a path are no environments."""
    folder = tmp_path / "environments"
    folder.mkdir()
    for known in ("staging", "production", "_base"):
        (folder / f"{known}.yaml").touch()

    with pytest.raises(UsageError, match="^" + re.escape(message.format(folder))):
        load_environment(tmp_path, name, {})


def test_without_any_environment_the_message_says_where_they_are_looked_for(tmp_path: Path) -> None:
    """A wrong folder is recognised by it."""
    expected = rf"environments in {tmp_path}/environments: none \(no \*\.yaml there\)$"

    with pytest.raises(UsageError, match=expected):
        load_environment(tmp_path, "x", {})


def test_what_is_left_out_has_a_default(tmp_path: Path, load: Load) -> None:
    """The least that an environment says, and what follows from it."""
    environment = load(WITH_URL)

    assert environment == Environment(
        name="here",
        role="staging",
        system="hifate",
        base_url="https://here.example",
        source=tmp_path / "environments" / "here.yaml",
        digest=environment.digest,
        gates={"basic": GatePolicy()},
    )
    assert environment.gates["basic"] == GatePolicy(
        required=False, min_cases=1, thresholds={}, samples=SamplePolicy(1, 1, 0.95), concurrency=1
    )
    assert environment.verify_tls is True
    assert environment.redactor.values == frozenset()


def test_everything_that_can_be_said_is_kept(tmp_path: Path, load: Load) -> None:
    """Each key of the design's example comes through, secrets wrapped."""
    text = """\
name: here
role: production
system: hifate
base_url: ${URL}
verify_tls: ca.pem
auth: {scheme: bearer, token: "${TOKEN}"}
release: {health: /health, version: version, commit: build.hash}
services:
  postgres: {dsn: "${DSN}", schema: public}
  redis: {url: redis://localhost, prefix: "momentry:"}
  files: {output: /srv/output, backup: "${BACKUP}"}
isolated_from: [development]
gates:
  stream:
    required: true
    min_cases: 2
    thresholds: {ttfb_ms: 100, p99.9_ms: 5.5, error_rate: 0}
    samples: {min: 3, max: 20, confidence: 0.9}
    concurrency: 4
  basic: {samples: {min: 2}}
"""
    variables = {"URL": "http://h:1/a//", "TOKEN": "tok-en", "DSN": "host=db", "BACKUP": "/b"}

    environment = load(text, **variables)

    assert environment.base_url == "http://h:1/a"
    assert environment.verify_tls == str(tmp_path / "environments" / "ca.pem")
    assert environment.auth == Auth("bearer", token=Secret("tok-en"))
    assert environment.release == ReleaseSource("/health", "version", "build.hash")
    assert environment.services == {
        "postgres": {"dsn": Secret("host=db"), "schema": "public"},
        "redis": {"url": "redis://localhost", "prefix": "momentry:"},
        "files": {"output": "/srv/output", "backup": "/b"},
    }
    assert environment.isolated_from == ("development",)
    assert list(environment.gates) == ["stream", "basic"]
    assert environment.gates["stream"] == GatePolicy(
        required=True,
        min_cases=2,
        thresholds={"ttfb_ms": 100, "p99.9_ms": 5.5, "error_rate": 0},
        samples=SamplePolicy(3, 20, 0.9),
        concurrency=4,
    )
    assert environment.gates["basic"].samples == SamplePolicy(2, 2, 0.95)
    assert environment.redactor("tok-en host=db momentry: /b") == "*** *** momentry: /b"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_accepted(load: Load, role: str) -> None:
    """The code's roles are the schema's."""
    assert load(WITH_URL.replace("staging", role)).role == role
    assert schema("environment")["properties"]["role"]["enum"] == list(ROLES)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{}", SandboxPolicy(2, ())),
        ("{workers: 3, faults: [a, b]}", SandboxPolicy(3, ("a", "b"))),
    ],
)
def test_a_sandbox_takes_the_place_of_an_address(
    load: Load, value: str, expected: SandboxPolicy
) -> None:
    """The address is known only once it has started."""
    environment = load(f"{LEAST}sandbox: {value}\n")

    assert environment.sandbox == expected
    assert environment.base_url is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            WITH_URL.replace("here\n", "there\n", 1),
            "here.yaml:1: name: expected 'here', the file's own name, got 'there'",
        ),
        (LEAST, "here.yaml:1: either base_url or sandbox is needed, and not both"),
        (
            f"{WITH_URL}sandbox: {{}}\n",
            "here.yaml:1: either base_url or sandbox is needed, and not both",
        ),
        (
            WITH_URL.replace("{}", "{samples: {min: 3,\n max: 2}}"),
            "here.yaml:5: gates.basic.samples.max: must not be below min (3)",
        ),
        (
            LEAST.replace("{}", "{samples: {max: 1, min: 3}}").replace("here", "there"),
            """\
here.yaml:1: name: expected 'here', the file's own name, got 'there'
{folder}/here.yaml:1: either base_url or sandbox is needed, and not both
{folder}/here.yaml:4: gates.basic.samples.max: must not be below min (3)""",
        ),
    ],
)
def test_what_a_schema_cannot_say_is_checked(
    tmp_path: Path, load: Load, text: str, message: str
) -> None:
    """All of it at once, each with its line."""
    expected = f"{tmp_path}/environments/{message}".replace("{folder}", f"{tmp_path}/environments")

    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        load(text)


IMAGES = 'release: {{health: /, images: ["r.example/a:1", "r.example/b@sha256:{}"]}}\n'


def test_a_release_may_name_its_images(load: Load) -> None:
    """By tag or by digest, in the order of the file; none without the key."""
    source = load(WITH_URL + IMAGES.format("a" * 64)).release

    assert source is not None
    assert source.images == ("r.example/a:1", f"r.example/b@sha256:{'a' * 64}")
    assert load(f"{WITH_URL}release: {{health: /}}\n").release == ReleaseSource("/")


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ("[shop:1]", "[0]: expected a container image with its registry, like "),
        ("[r.example/Shop:1]", "[0]: expected a container image with its registry, like "),
        ('["r.example/shop:1\\n"]', "[0]: expected a container image with its registry, like "),
        ("[r.example/b@sha256:abc]", "[0]: expected a container image with its registry, like "),
        ("[r.example/a:1, r.example/a:1]", ": expected no item twice, got a list of 2"),
        ("r.example/a:1", ": expected a list, got "),
    ],
)
def test_an_image_has_a_registry_and_a_tag_or_digest(load: Load, images: str, problem: str) -> None:
    """What could not be asked for is said before anything is."""
    expected = f"here.yaml:6: release.images{problem}"

    with pytest.raises(ConfigError, match=re.escape(expected)):
        load(f"{WITH_URL}release: {{health: /, images: {images}}}\n")


def test_the_digest_is_that_of_the_policy(load: Load) -> None:
    """It changes with what the file and its bases say, not with comments or variables."""
    text = f"{LEAST}base_url: ${{URL}}\n"

    digest = load(text, URL="http://one").digest

    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert load(f"# comment\n{text}", URL="http://two").digest == digest
    assert load(text.replace("{}", "{min_cases: 2}"), URL="http://one").digest != digest


def test_an_unset_variable_says_file_line_key_variable_and_remedy() -> None:
    """What ``--env hifate-node1`` prints when ``HIFATE_URL`` is not set."""
    with pytest.raises(ConfigError, match="HIFATE_URL") as caught:
        load_environment(SHIPPED, "hifate-node1", {"HIFATE_NODE2_URL": "http://two.example"})

    assert str(caught.value) == (
        f"{SHIPPED}/environments/hifate-node1.yaml:5: base_url: "
        "the variable HIFATE_URL is not set; "
        "set it (export HIFATE_URL=...) or give it a default (${HIFATE_URL:-...})"
    )


@pytest.mark.parametrize("name", environment_names(SHIPPED))
def test_shipped_environments_are_right(name: str) -> None:
    """Each loads, given the addresses that it asks for."""
    variables = {
        "HIFATE_URL": "http://one.example",
        "HIFATE_NODE2_URL": "http://two.example",
        "MOMENTRY_DSN": "postgresql://db.example/momentry",
        "MOMENTRY_DEV_DSN": "postgresql://db.example/dev",
        "FOOTBALL_URL": "http://football.example",
        "FOOTBALL_STAGING_URL": "http://staging.football.example",
        "SEISEI_ODOO_IMAGE": "registry.example/seisei/odoo:18",
        "SEISEI_URL": "http://odoo.example",
        "SEISEI_STAGING_URL": "http://staging.odoo.example",
    }

    environment = load_environment(SHIPPED, name, variables)

    assert environment.name == name
    assert set(environment.gates) <= set(catalogue())
    assert all(policy.required for policy in environment.gates.values())


@pytest.mark.parametrize(
    ("auth", "wire"),
    [
        ("{scheme: bearer, token: abc-token}", "Bearer abc-token"),
        ("{scheme: header, header: X-Key, token: abc-token}", "abc-token"),
        ("{scheme: basic, username: me, password: abc-word}", "Basic bWU6YWJjLXdvcmQ="),
        ("{scheme: basic, username: me, password: abc-word}", "abc-word"),
    ],
)
def test_authorisation_is_a_secret_even_when_written_out(load: Load, auth: str, wire: str) -> None:
    """What a server echoes of a request's authorisation is masked."""
    environment = load(f"{WITH_URL}auth: {auth}\n")

    assert environment.redactor(f"<{wire}>").removeprefix("<").split() in (
        ["***>"], ["Bearer", "***>"], ["Basic", "***>"],
    )  # fmt: skip
    assert "abc-" not in repr(environment)


def test_the_password_of_an_address_is_masked(load: Load) -> None:
    """The address is kept for sending and never shown whole."""
    environment = load(f"{LEAST}base_url: https://me:abc-word@host\n")

    assert environment.base_url == "https://me:abc-word@host"
    assert environment.redactor(environment.base_url) == "https://me:***@host"
    assert "abc-word" not in repr(environment)


@given(secret=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=4, max_size=20))
def test_no_secret_is_seen(load: Load, secret: str) -> None:
    """Neither in str nor repr nor after a pickle, nor of any part of an environment."""
    secret = f"§{secret}"
    text = f"""\
{LEAST}base_url: "${{URL}}"
auth: {{scheme: basic, username: me, password: "${{SECRET}}"}}
services: {{postgres: {{dsn: "postgres://me:${{SECRET}}@db/x"}}, redis: {{url: "${{SECRET}}"}}}}
"""

    environment = load(text, SECRET=secret, URL=f"https://me:{quote(secret, safe='')}@host")

    copy = pickle.loads(pickle.dumps(environment))
    assert copy == environment
    shown = "".join(
        f"{value!r}{value}"
        for value in (environment, copy, environment.auth, environment.services, copy.redactor)
    )
    redacted = environment.redactor(f"a {secret} b {environment.base_url}")
    assert not any(form in shown + redacted for form in (secret, quote(secret, safe="")))


def test_a_gate_of_its_own_kind_has_options(load: Load) -> None:
    """What only that gate knows is kept apart from what every gate has; variables are secrets."""
    text = WITH_URL.replace(
        "{basic: {}}", "{payment: {required: true, mode: test, max_amounts: {USD: '${CAP}'}}}"
    )
    policy = load(text, CAP="5.00").gates["payment"]

    assert policy.required is True
    assert policy.options == {"mode": "test", "max_amounts": {"USD": Secret("5.00")}}


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("{mode: live}", 'gates.payment.mode: expected one of test, got "live"'),
        ("{required: true}", "the key 'mode' is missing"),
        ("{mode: test, max_amount: 5}", "unknown key 'max_amount', did you mean 'max_amounts'"),
        ("{mode: test, max_amounts: {USD: 5.0}}", "USD: expected a string, got 5.0"),
    ],
)
def test_options_of_a_gate_are_checked(load: Load, policy: str, message: str) -> None:
    """Against the gate's own schema."""
    text = WITH_URL.replace("{basic: {}}", f"{{payment: {policy}}}")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(text)
