"""Tests of `pytest_release.config.validation` and of the published schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import pytest_release
from pytest_release.config.document import load_document
from pytest_release.config.validation import schema, suggestion, validate
from pytest_release.config.variables import resolve
from pytest_release.errors import ConfigError

SCHEMAS = sorted(
    file.name.removesuffix(".schema.json")
    for file in (Path(pytest_release.__file__).parent / "schemas").glob("*.json")
)
OPEN = {  # what holds data of the user's own, whatever its keys
    "cases.basic: $defs.expect.properties.json",
    "cases.smoke: $defs.expect.properties.json",
    *(
        f"cases.isolation: $defs.options.properties.{where}.properties.{part}"
        for where in ("write", "remove")
        for part in ("form", "json", "params")
    ),
    "cases.isolation: $defs.options.properties.rows.items.properties.values",
    "http-case: properties.expect",  # closed by each gate's own schema
}

ENVIRONMENT = """\
name: here
role: staging
system: hifate
base_url: https://here.example
gates:
  basic: {required: true}
"""
BASIC = "gate: basic\ncases:\n  - name: one\n    path: /one\n"
STREAM = BASIC.replace("basic", "stream")


def check(folder: Path, name: str, text: str, variables: Mapping[str, str] | None = None) -> None:
    """Validate a YAML text against a schema."""
    file = folder / "x.yaml"
    file.write_text(text)
    validate(resolve(load_document(file), variables or {}), name)


@pytest.mark.parametrize(
    ("name", "text"),
    [("environment", ENVIRONMENT), ("cases.basic", BASIC), ("cases.stream", STREAM)],
)
def test_a_right_file_is_accepted(tmp_path: Path, name: str, text: str) -> None:
    """The bases of the tables below are themselves right; editors' ``$schema`` is allowed."""
    check(tmp_path, name, text)
    check(tmp_path, name, f"$schema: ../x.schema.json\n{text}")


# line to add or to put in place of another of the same key -> line, key and message of the problem
WRONG_ENVIRONMENTS = {
    "colour: red": "7: colour: unknown key 'colour'; known: $schema, name, role, system, base_url,",
    "gatse: {}": "7: gatse: unknown key 'gatse', did you mean 'gates'?; known: $schema, name,",
    "role: producton": (
        '2: role: expected one of development, staging, sentinel, production, got "producton"'
    ),
    "role: 1": "2: role: expected one of development, staging, sentinel, production, got 1",
    "name: [here]": "1: name: expected a string, got a list of 1",
    "name: Here": "1: name: expected a name of lower-case letters, digits and '-', as",
    "system: ../x": '3: system: expected the name of a folder under fixtures/cases, got "../x"',
    "base_url: ftp://here": "4: base_url: expected an address that starts with http:// or https://",
    "base_url: https://[here": "4: base_url: expected an address that starts with",
    "base_url: https://here:port": "4: base_url: expected an address that starts with",
    "base_url: https://here/?a=b": "4: base_url: expected an address that starts with",
    "base_url: https://": "4: base_url: expected an address that starts with",
    "base_url: 'https://here '": "4: base_url: expected an address that starts with",
    'base_url: "https://here\\n"': "4: base_url: expected an address that starts with",
    "base_url: null": "4: base_url: expected a string, got null",
    "verify_tls: 1": "7: verify_tls: expected true or false or a string, got 1",
    "auth: {}": "7: auth: the key 'scheme' is missing",
    "auth: {scheme: bearer}": "7: auth: the key 'token' is missing",
    "auth: {scheme: basic, username: u}": "7: auth: the key 'password' is missing",
    "auth: {scheme: header, token: t}": "7: auth: the key 'header' is missing",
    "auth: {scheme: digest}": '7: auth.scheme: expected one of bearer, basic, header, got "digest"',
    "auth: {scheme: bearer, token: ''}": '7: auth.token: expected 1 or more characters, got ""',
    "auth: {scheme: bearer, tokn: t, token: t}": (
        "7: auth.tokn: unknown key 'tokn', did you mean 'token'?; known: scheme, token, "
    ),
    "release: {version: v}": "7: release: the key 'health' is missing",
    "release: {health: health}": "7: release.health: expected a path that starts with '/', got ",
    "services: {postgress: {}}": (
        "7: services.postgress: unknown key 'postgress', did you mean 'postgres'?; known: postgres,"
    ),
    "services: {redis: {uri: x}}": (
        "7: services.redis.uri: unknown key 'uri', did you mean 'url'?; known: url, prefix"
    ),
    "services: {redis: x}": '7: services.redis: expected a mapping, got "x"',
    "isolated_from: other": '7: isolated_from: expected a list, got "other"',
    "isolated_from: [1]": "7: isolated_from[0]: expected a string, got 1",
    "sandbox: {workers: 0}": "7: sandbox.workers: expected a number of at least 1, got 0",
    "sandbox: {workers: 17}": "7: sandbox.workers: expected a number of at most 16, got 17",
    "sandbox: {workers: 2.0}": "7: sandbox.workers: expected a whole number, got 2.0",
    "sandbox: {workers: true}": "7: sandbox.workers: expected a whole number, got true",
    "sandbox: {fault: [x]}": "7: sandbox.fault: unknown key 'fault', did you mean 'faults'?",
    "gates: {}": "5: gates: expected 1 or more keys, got a mapping of 0",
    "gates: {A-b: {}}": (
        "5: gates.A-b: expected a marker of lower-case letters, digits and '_' as the key, "
    ),
    "gates: {basic: null}": "5: gates.basic: expected a mapping, got null",
    "gates: {basic: {reqired: true}}": (
        "5: gates.basic.reqired: unknown key 'reqired', did you mean 'required'?; known: required,"
    ),
    "gates: {basic: {required: 'true'}}": (
        '5: gates.basic.required: expected true or false, got "true"'
    ),
    "gates: {basic: {concurrency: 0}}": (
        "5: gates.basic.concurrency: expected a number of at least 1, got 0"
    ),
    "gates: {basic: {thresholds: {P95: 1}}}": (
        "5: gates.basic.thresholds.P95: expected a figure's name, like p95_ms, error_rate"
    ),
    "gates: {basic: {thresholds: {p95_ms: fast}}}": (
        '5: gates.basic.thresholds.p95_ms: expected a number, got "fast"'
    ),
    "gates: {basic: {thresholds: {error_rate: 1}}}": (
        "5: gates.basic.thresholds.error_rate: expected a number below 1, got 1"
    ),
    "gates: {basic: {samples: {confidence: 1}}}": (
        "5: gates.basic.samples.confidence: expected a number below 1, got 1"
    ),
    "gates: {basic: {samples: {confidence: 0}}}": (
        "5: gates.basic.samples.confidence: expected a number above 0, got 0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG_ENVIRONMENTS)
def test_a_wrong_environment_is_refused_in_one_sentence(tmp_path: Path, line: str) -> None:
    """File, line and key are named, what was expected and what stands there."""
    key = line.partition(":")[0]
    text = re.sub(f"(?m)^{key}:.*(\n  .*)?", line.replace("\\", "\\\\"), ENVIRONMENT)
    text = text if text != ENVIRONMENT else ENVIRONMENT + line

    with pytest.raises(ConfigError, match=r"x\.yaml:\d+: ") as caught:
        check(tmp_path, "environment", text)

    assert str(caught.value).startswith(f"{tmp_path}/x.yaml:{WRONG_ENVIRONMENTS[line]}")
    assert len(caught.value.problems) == 1


# lines of a case -> line, key below the case, and message of the problem
WRONG_CASES = {
    "colour: red": "5: .colour: unknown key 'colour'; known: name, method, path,",
    "expects: {}": "5: .expects: unknown key 'expects', did you mean 'expect'?; known: name,",
    "method: get": "5: .method: expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, got",
    "params: {a: {b: 1}}": "5: .params.a: expected a string or a number or true or false or a",
    "params: {a: [[1]]}": "5: .params.a[0]: expected a string or a number or true or false, got a",
    "form: {a: null}": "5: .form.a: expected a string or a number or true or false or a list, got",
    "headers: {X-Version: 1.10}": "5: .headers.X-Version: expected a string, got 1.1",
    "json: {}\n    form: {}": (
        "3: : expected at most one body: json, form or multipart, got a mapping of 4"
    ),
    "json: {}\n    multipart: {fields: {a: b}}": "3: : expected at most one body: json, form or",
    "form: {}\n    multipart: {fields: {a: b}}": "3: : expected at most one body: json, form or",
    "multipart: {}": "5: .multipart: expected 1 or more keys, got a mapping of 0",
    "multipart: {file: {}}": (
        "5: .multipart.file: unknown key 'file', did you mean 'files'?; known: fields, files"
    ),
    "multipart: {files: {a: 1}}": "5: .multipart.files.a: expected a string, got 1",
    "multipart: {fields: {a: 1}}": "5: .multipart.fields.a: expected a string, got 1",
    "timeout_s: 0": "5: .timeout_s: expected a number above 0, got 0",
    "timeout_s: 10s": '5: .timeout_s: expected a number, got "10s"',
    "retries: 11": "5: .retries: expected a number of at most 10, got 11",
    "accept_encoding: br": '5: .accept_encoding: expected one of identity, gzip, got "br"',
    "capture: {Token: a}": (
        "5: .capture.Token: expected a name of lower-case letters, digits and '_' as the key, got"
    ),
    "expect: 200": "5: .expect: expected a mapping, got 200",
    "expect: {statsu: 200}": (
        "5: .expect.statsu: unknown key 'statsu', did you mean 'status'?; known: status, "
    ),
    "expect: {status: '200'}": (
        '5: .expect.status: expected an HTTP status or a list of them, got "200"'
    ),
    "expect: {status: 99}": "5: .expect.status: expected an HTTP status or a list of them, got 99",
    "expect: {status: []}": "5: .expect.status: expected an HTTP status or a list of them, got a l",
    "expect: {status: [200, x]}": '5: .expect.status[1]: expected a whole number, got "x"',
    "expect: {status: [200, 1000]}": "5: .expect.status[1]: expected a number of at most 599, got",
    "expect: {headers: {server: '('}}": (
        '5: .expect.headers.server: expected a regular expression, got "("'
    ),
}  # fmt: skip
WRONG_EXPECTATIONS = {
    "cases.basic": {
        "{matches: '['}": '.matches: expected a regular expression, got "["',
        "{text: [a, 1]}": ".text[1]: expected a string, got 1",
        "{text: 1}": ".text: expected a text, or texts, that the body must contain, got 1",
        "{json_schema: {type: objekt}}": (
            ".json_schema.type: expected one of array, boolean, integer, null, number, object, "
            'string or a list, got "objekt"'
        ),
        "{json_schema: {properties: {a: {minimum: low}}}}": (
            '.json_schema.properties.a.minimum: expected a number, got "low"'
        ),
        "{json_schema: {pattern: '('}}": ".json_schema.pattern: expected a regular expression, got",
        "{json_schema: 1}": ".json_schema: expected a mapping or true or false, got 1",
        "{events: {}}": ".events: unknown key 'events'; known: status,",
        "{latency_ms: 0}": ".latency_ms: expected a number above 0, got 0",
    },
    "cases.stream": {
        "{json: {}}": ".json: unknown key 'json'; known: status, content_type, headers, events,",
        "{events: {terminals: [a]}}": (
            ".events.terminals: unknown key 'terminals', did you mean 'terminal'?; known: terminal,"
        ),
        "{events: {terminal: []}}": ".events.terminal: expected 1 or more items, got a list of 0",
        "{events: {tolerate: [{type: a}]}}": ".events.tolerate[0]: the key 'text' is missing",
        "{events: {schema: {done: {required: a}}}}": (
            '.events.schema.done.required: expected a list, got "a"'
        ),
        "{text: {contains: a}}": ".text: the key 'from' is missing",
        "{text: {from: a, matches: '('}}": ".text.matches: expected a regular expression, got",
        "{linger_s: -1}": ".linger_s: expected a number of at least 0, got -1",
    },
}  # fmt: skip
ALL_WRONG_CASES = [
    *(("cases.basic", lines, problem) for lines, problem in WRONG_CASES.items()),
    *(
        (name, f"expect: {lines}", f"5: .expect{problem}")
        for name, wrong in WRONG_EXPECTATIONS.items()
        for lines, problem in wrong.items()
    ),
]


@pytest.mark.parametrize(("name", "lines", "problem"), ALL_WRONG_CASES)
def test_a_wrong_case_is_refused_in_one_sentence(
    tmp_path: Path, name: str, lines: str, problem: str
) -> None:
    """The sharpest thing that can be said, once, at the deepest key that is wrong."""
    text = BASIC if name == "cases.basic" else STREAM

    with pytest.raises(ConfigError, match=r"x\.yaml:\d: cases\[0\]") as caught:
        check(tmp_path, name, f"{text}    {lines}\n")

    line, below, message = problem.split(":", 2)
    key = f"cases[0]{below.strip()}"
    assert str(caught.value).startswith(f"{tmp_path}/x.yaml:{line}: {key}:{message}")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("gate: basic\n", ["1: : the key 'cases' is missing"]),
        ("gate: basic\ncases: []\n", ["2: cases: expected 1 or more items, got a list of 0"]),
        (
            "gate: basic\ncases:\n  - path: one\n    nam: x\n  - name: ''\n    path: /\n",
            [
                "3: cases[0].path: expected a path that starts with '/', got \"one\"",
                "3: cases[0]: the key 'name' is missing",
                "4: cases[0].nam: unknown key 'nam', did you mean 'name'?; known: name, method,",
                '5: cases[1].name: expected 1 or more characters, got ""',
            ],
        ),
        (
            f"gate: basic\ncases: [{{name: {'x' * 201}, path: /}}]\n",
            [f"2: cases[0].name: expected 200 or fewer characters, got \"{'x' * 59}..."],
        ),
        (
            "gate: basic\ndefaults: {expect: {colour: 1}}\ncases: [{name: a, path: /}]\n",
            ["2: defaults.expect.colour: unknown key 'colour'; known: status,"],
        ),
    ],
)  # fmt: skip
def test_every_deviation_is_reported_in_file_order(
    tmp_path: Path, text: str, problems: list[str]
) -> None:
    """One run names them all, each once."""
    with pytest.raises(ConfigError, match=r"x\.yaml:\d: ") as caught:
        check(tmp_path, "cases.basic", text)

    found = [
        f"{problem.line}: {problem.key}: {problem.message}" for problem in caught.value.problems
    ]
    assert [text[: len(start)] for text, start in zip(found, problems, strict=True)] == problems


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("gatse", ["gates", "name"], ", did you mean 'gates'?"),
        ("x", ["gates", "name"], ""),
        ("x", [], ""),
    ],
)
def test_a_near_name_is_suggested(name: str, known: list[str], expected: str) -> None:
    """Nothing is suggested where nothing is near."""
    assert suggestion(name, known) == expected


def test_an_unknown_schema_is_our_own_mistake() -> None:
    """No user can ask for one."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.schema\.json"):
        schema("nothing")


@pytest.mark.parametrize("name", SCHEMAS)
def test_published_schemas_are_valid(name: str) -> None:
    """Each is a JSON Schema of 2020-12 whose id is its file name."""
    Draft202012Validator.check_schema(schema(name))

    assert schema(name)["$id"] == f"{name}.schema.json"
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def objects(value: object, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every part of a schema that describes a mapping, with its path."""
    if isinstance(value, dict):
        if value.get("type") == "object":
            yield path, value
        for name, child in value.items():
            yield from objects(child, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from objects(child, f"{path}[{index}]")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_mapping_refuses_unknown_keys(name: str) -> None:
    """Either its keys are listed, or what stands under any key is constrained."""
    lax = {
        f"{name}: {path}"
        for path, part in objects(schema(name), "")
        if part.get("additionalProperties", True) is True
    }

    assert lax <= OPEN


SECRETS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=6, max_size=20)
NO_URL = ENVIRONMENT.replace("base_url: https://here.example\n", "")
FIELDS = [
    ("environment", "base_url: ${SECRET}", NO_URL),
    ("environment", "auth: '${SECRET}'", ENVIRONMENT),
    ("environment", "auth: {scheme: bearer, token: '${SECRET}', tokne: '${SECRET}'}", ENVIRONMENT),
    ("environment", "services: {redis: '${SECRET}'}", ENVIRONMENT),
    ("environment", "services: {redis: ['${SECRET}'], x: {a: '${SECRET}'}}", ENVIRONMENT),
    ("environment", "sandbox: {workers: '${SECRET}'}", ENVIRONMENT),
    ("environment", "isolated_from: {a: '${SECRET}'}", ENVIRONMENT),
    ("cases.basic", "    json: {}\n    form: {a: '${SECRET}'}", BASIC),
    ("cases.basic", "    headers: '${SECRET}'", BASIC),
    ("cases.basic", "    timeout_s: '${SECRET}'", BASIC),
    ("cases.basic", "    expect: {matches: '(${SECRET}', status: '${SECRET}'}", BASIC),
    ("cases.basic", "    capture: ['${SECRET}']", BASIC),
]


@given(secret=SECRETS, field=st.sampled_from(FIELDS))
def test_no_message_shows_a_secret(
    tmp_path: Path, secret: str, field: tuple[str, str, str]
) -> None:
    """Whatever is wrong with a value that came from a variable, the value is not shown."""
    name, lines, text = field
    secret = f"§{secret}"  # in no word of ours
    variables = {"SECRET": f"ftp://u:{secret}@host" if lines.startswith("base_url") else secret}

    with pytest.raises(ConfigError, match=r"x\.yaml:\d+") as caught:
        check(tmp_path, name, f"{text}{lines}\n", variables)

    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)
