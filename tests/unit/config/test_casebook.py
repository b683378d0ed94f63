"""Tests of `pytest_release.config.casebook`."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config import casebook
from pytest_release.config.casebook import (
    Casebook,
    about,
    declarative_gates,
    load_casebook,
    slug,
)
from pytest_release.config.cases import CheckCase, HttpCase, Multipart, Request
from pytest_release.errors import ConfigError
from pytest_release.gates import catalogue
from pytest_release.redaction import Secret

GATES = ", ".join(catalogue())
SHIPPED = Path(__file__).parents[3] / "fixtures"

Load = Callable[..., Casebook]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes files under ``cases/system/`` and loads them."""
    folder = tmp_path / "cases" / "system"
    folder.mkdir(parents=True)

    def load_texts(*texts: str, **variables: str) -> Casebook:
        for number, text in enumerate(texts):
            (folder / f"{number}.yaml").write_text(text)
        return load_casebook(tmp_path, "system", variables)

    return load_texts


def basic(*cases: str, defaults: str = "{}", gate: str = "basic") -> str:
    """A file of cases, each on a line of its own from line 4; ``/`` is the path."""
    lines = [f"  - {{path: /, {case}}}" for case in cases]
    return "\n".join([f"gate: {gate}", f"defaults: {defaults}", "cases:", *lines]) + "\n"


def test_the_gates_with_cases_are_those_with_a_schema() -> None:
    """A gate is added by adding its schema."""
    assert declarative_gates() == list(catalogue())


def test_a_case_with_everything(tmp_path: Path, load: Load) -> None:
    """Each key of a case comes through to where it belongs."""
    text = """\
$schema: ../cases.basic.schema.json
gate: basic
cases:
  - name: Everything (once)
    method: PUT
    path: /a/{{ source }}
    params: {q: [1, two]}
    headers: {X-Key: "${KEY}"}
    json: {a: [null, "{{source}}"]}
    timeout_s: 1.5
    stall_s: 2
    max_bytes: 3
    follow_redirects: true
    accept_encoding: gzip
    http2: true
    retries: 2
    advisory: true
    capture: {order: data.id}
    expect: {status: [200, 201]}
  - {name: source, path: /, capture: {source: a}}
"""

    book = load(text, KEY="secret-key")

    assert book.of("basic")[1] == HttpCase(
        id="basic/everything-once",
        gate="basic",
        name="Everything (once)",
        request=Request(
            method="PUT",
            path="/a/{{ source }}",
            params={"q": [1, "two"]},
            headers={"X-Key": Secret("secret-key")},
            json={"a": [None, "{{source}}"]},
            timeout_s=1.5,
            stall_s=2,
            max_bytes=3,
            follow_redirects=True,
            accept_encoding="gzip",
            http2=True,
        ),
        file=tmp_path / "cases" / "system" / "0.yaml",
        line=4,
        expect={"status": [200, 201]},
        capture={"order": "data.id"},
        needs=frozenset({"source"}),
        retries=2,
        advisory=True,
    )
    assert book.secrets == {"secret-key"}


def test_a_case_with_nothing(load: Load) -> None:
    """A name and a path are enough."""
    (case,) = load("gate: stream\ncases: [{name: a, path: /b}]\n").requests

    assert case.request == Request(method="GET", path="/b")
    assert (case.id, case.line, case.expect, case.retries) == ("stream/a", 2, {}, 0)


@pytest.mark.parametrize(
    ("defaults", "own", "method"),
    [
        ("{}", "name: a", "GET"),
        ("{}", "json: {}", "POST"),
        ("{}", "json: null", "GET"),
        ("{}", "form: {a: b}", "POST"),
        ("{}", "multipart: {fields: {a: b}}", "POST"),
        ("{}", "json: {}, method: PATCH", "PATCH"),
        ("{json: {}}", "retries: 0", "POST"),
        ("{json: {}}", "json: null", "GET"),
        ("{method: DELETE}", "json: {}", "DELETE"),
    ],
)
def test_a_body_makes_a_post(load: Load, defaults: str, own: str, method: str) -> None:
    """Without a method, a request with a body is a POST and one without is a GET."""
    own = own if own.startswith("name") else f"name: a, {own}"

    assert load(basic(own, defaults=defaults)).requests[0].request.method == method


@pytest.mark.parametrize(
    ("defaults", "own", "field", "expected"),
    [
        ("timeout_s: 3", "", "timeout_s", 3),
        ("timeout_s: 3", "timeout_s: 4", "timeout_s", 4),
        ("headers: {a: d, b: d}", "headers: {b: o}", "headers", {"a": "d", "b": "o"}),
        ("params: {a: [1], b: 1}", "params: {a: [2]}", "params", {"a": [2], "b": 1}),
        ("json: {a: {b: 1}}", "json: {a: {c: 2}}", "json", {"a": {"c": 2}}),
        ("json: {a: 1}", "json: [2]", "json", [2]),
        ("json: {a: 1}", "form: {b: 2}", "json", None),
        ("json: {a: 1}", "form: {b: 2}", "form", {"b": 2}),
        ("form: {a: 1}", "multipart: {fields: {b: c}}", "form", None),
        ("form: {a: 1}", "multipart: {fields: {b: c}}", "multipart", Multipart({"b": "c"})),
        ("json: {a: 1}", "json: null", "json", None),
    ],
)  # fmt: skip
def test_a_request_is_laid_over_the_defaults(
    load: Load, defaults: str, own: str, field: str, expected: object
) -> None:
    """Headers and parameters merge by name; a body replaces a body, of whatever kind."""
    text = basic(f"name: a, {own}", defaults=f"{{{defaults}}}")

    assert getattr(load(text).requests[0].request, field) == expected


@pytest.mark.parametrize(
    ("gate", "defaults", "own", "expected"),
    [
        ("basic", "status: 200", "success: true", {"status": 200, "success": True}),
        ("basic", "status: 200", "status: [201, 202]", {"status": [201, 202]}),
        ("basic", "keys: [a]", "keys: [b]", {"keys": ["b"]}),
        (
            "basic",
            "json: {a: {x: 1}, b: 1}",
            "json: {a: {y: 2}}",
            {"json": {"a": {"y": 2}, "b": 1}},
        ),
        (
            "basic",
            "headers: {server: x, etag: y}",
            "headers: {server: null}",
            {"headers": {"server": None, "etag": "y"}},
        ),
        (
            "basic",
            "json_schema: {type: object, required: [a]}",
            "json_schema: {type: array}",
            {"json_schema": {"type": "array"}},
        ),
        ("basic", "text: one", "text: [two]", {"text": ["two"]}),
        (
            "stream",
            "events: {terminal: [done], forbid: [error], schema: {a: {}, b: {}}}",
            "events: {forbid: [], min: 2, schema: {a: true}}",
            {"events": {"terminal": ["done"], "forbid": [], "min": 2, "schema": {"a": True}}},
        ),
        (
            "stream",
            "text: {from: data, path: content}, ttfb_ms: 100",
            "text: {from: data, min_length: 5}",
            {"text": {"from": "data", "path": "content", "min_length": 5}, "ttfb_ms": 100},
        ),
    ],
)
def test_expectations_are_laid_over_the_defaults(
    load: Load, gate: str, defaults: str, own: str, expected: dict[str, Any]
) -> None:
    """One level deep: who wants two events keeps the terminal one; a JSON Schema is replaced."""
    text = basic(f"name: a, expect: {{{own}}}", defaults=f"{{expect: {{{defaults}}}}}", gate=gate)

    assert load(text).cases[0].expect == expected


def test_defaults_reach_every_case_and_no_other(load: Load) -> None:
    """What one case adds is not seen by the next."""
    one, two = load(
        basic(
            "name: one, headers: {b: '2'}, expect: {json: {x: 1}}",
            "name: two",
            defaults="{headers: {a: '1'}, retries: 1, advisory: true, expect: {json: {y: 2}}}",
        )
    ).requests

    assert (one.request.headers, one.expect) == (
        {"a": "1", "b": "2"},
        {"json": {"y": 2, "x": 1}},
    )
    assert (two.request.headers, two.expect) == ({"a": "1"}, {"json": {"y": 2}})
    assert (two.retries, two.advisory) == (1, True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("daily fortune calendar", "daily-fortune-calendar"),
        ("desk feng shui (depends on an outside service)",
         "desk-feng-shui-depends-on-an-outside-service"),
        ("  Über—Café  №5 ", "uber-cafe-no5"),
        ("<img src=x onerror=alert(1)>", "img-src-x-onerror-alert-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("a::b[c]", "a-b-c"),
        ("a\x1b[31m\x00b", "a-31m-b"),
        ("ﬁne print²", "fine-print2"),
        ("健康", "case-aa18b6dc"),
        ("健康 check", "check-" + sha256("健康 check".encode()).hexdigest()[:8]),
        ("???", "case-" + sha256(b"???").hexdigest()[:8]),
        ("straße", "stra-e-" + sha256("straße".encode()).hexdigest()[:8]),
    ],
)  # fmt: skip
def test_a_name_becomes_a_readable_id(name: str, expected: str) -> None:
    """Letters and digits stay; what the alphabet cannot say, a piece of the digest does."""
    assert slug(name) == expected


@given(name=st.text(min_size=1, max_size=20))
def test_an_id_is_safe_whatever_the_name(name: str) -> None:
    """No name can break out of a node id, a path, HTML or a terminal."""
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", slug(name))


def test_names_of_another_script_do_not_collide(load: Load) -> None:
    """Two names without a Latin letter are two cases."""
    assert len({case.id for case in load(basic("name: 健康", "name: 事业")).cases}) == 2


ORDERS = {
    "file order": ([("a", "", ""), ("b", "", "")], "a b"),
    "a source stays where it is": ([("a", "", "x"), ("b", "", ""), ("c", "x", "")], "a b c"),
    "a dependent moves behind": ([("a", "x", ""), ("b", "", ""), ("c", "", "x")], "b c a"),
    "a chain": ([("a", "y", ""), ("b", "x", "y"), ("c", "", "x"), ("d", "", "")], "c b a d"),
    "two sources": ([("a", "x y", ""), ("b", "", "y"), ("c", "y", "x")], "b c a"),
    "one source for two": ([("a", "x", ""), ("b", "x", ""), ("c", "", "x")], "c a b"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_cases_run_behind_those_they_need(load: Load, order: str) -> None:
    """In file order otherwise; a placeholder anywhere in the request makes a need."""
    cases, expected = ORDERS[order]
    lines = [
        f"name: {name}, headers: {{h: '{' '.join('{{' + need + '}}' for need in needs.split())}'}}"
        + (f", capture: {{{captured}: p}}" if captured else "")
        for name, needs, captured in cases
    ]

    assert [case.name for case in load(basic(*lines)).cases] == expected.split()


def test_files_are_read_in_the_order_of_their_names(load: Load) -> None:
    """Their gates may differ; a captured value crosses files of one gate, not gates."""
    book = load(
        basic("name: a, json: {t: '{{ t }}'}"),
        basic("name: b, capture: {t: x}", gate="stream"),
        basic("name: c, capture: {t: x}"),
    )

    assert [case.id for case in book.requests] == ["stream/b", "basic/c", "basic/a"]
    assert [case.id for case in book.of("basic")] == ["basic/c", "basic/a"]


@pytest.mark.parametrize(
    ("request_part", "needs"),
    [
        ("params: {a: ['{{x}}']}", {"x"}),
        ("json: {expect: {capture: '{{ x }}{{y}}'}}", {"x", "y"}),
        ("form: {a: '{{x}}'}", {"x"}),
        ("multipart: {fields: {a: '{{x}}'}}", {"x"}),
        ("headers: {a: 'Bearer ${KEY} {{x}}'}", {"x"}),
        ("json: ['{{X}}', '{{1}}', '{x}', '{{x y}}']", set()),
        ("expect: {text: '{{x}}'}", set()),
    ],
)
def test_needs_are_found_wherever_a_request_can_hold_them(
    load: Load, request_part: str, needs: set[str]
) -> None:
    """In every part of the request, at any depth, and nowhere else."""
    sources = "name: source, capture: {x: a, y: b}"

    cases = load(basic(sources, f"name: '{{{{z}}}}', {request_part}"), KEY="k").requests

    assert cases[1].needs == needs


FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "no gate": (("cases: []\n",), f"0.yaml:1: gate: expected one of {GATES}, got nothing"),
    "an unknown gate": (
        ("\ngate: steam\n",),
        f"0.yaml:2: gate: expected one of {GATES}, got 'steam', did you mean 'stream'?",
    ),
    "a gate that is no name": (
        ("gate: [basic]\n",),
        f"0.yaml:1: gate: expected one of {GATES}, got ['basic']",
    ),
    "a schema's deviation": ((basic("nam: a"),), "0.yaml:4: cases[0].nam: unknown key 'nam'"),
    "an unset variable": ((basic("name: '${X}'"),), "0.yaml:4: cases[0].name: the variable X is "),
    "one name twice": (
        (basic("name: a"), basic("name: b", "name: A!")),
        "1.yaml:5: name: the name 'A!' gives the id 'basic/a', which is taken by 0.yaml:4; rename",
    ),
    "one value captured twice": (
        (basic("name: a, capture: {x: y}", "name: b, capture: {x: z}"),),
        "0.yaml:5: capture: 'x' is captured by 'basic/a' already; give it another name",
    ),
    "a missing source": (
        (basic("name: a, json: '{{id_}}'", "name: b, capture: {id: x, z: y}"),),
        "0.yaml:4: {{id_}} is captured by no case of the gate basic, did you mean 'id'?; captured",
    ),
    "a source in another gate": (
        (basic("name: a, json: '{{x}}'"), basic("name: b, capture: {x: y}", gate="stream")),
        "0.yaml:4: {{x}} is captured by no case of the gate basic; captured values: none",
    ),
    "a case that needs itself": (
        (basic("name: a, json: '{{x}}', capture: {x: y}"),),
        "0.yaml:4: cases need each other's values: basic/a -> basic/a",
    ),
    "a missing source, and what there is": (
        (basic("name: a, json: '{{x}}'", "name: b, capture: {order: x, id: y}"),),
        "0.yaml:4: {{x}} is captured by no case of the gate basic; captured values: id, order",
    ),
    "a circle": (
        (
            basic(
                "name: a, json: '{{y}}', capture: {x: p}",
                "name: b, json: '{{x}}', capture: {y: p}",
            ),
        ),
        "0.yaml:4: cases need each other's values: basic/a -> basic/b -> basic/a",
    ),
    "a file to upload that is not there": (
        (basic("name: a, multipart: {files: {image: pixel.png}}"),),
        "0.yaml:4: cases[0].multipart.files.image: there is no file {folder}/pixel.png",
    ),
    "one of the defaults": (
        (basic("name: a", defaults="{multipart: {files: {image: pixel.png}}}"),),
        "0.yaml:2: defaults.multipart.files.image: there is no file {folder}/pixel.png",
    ),
    "a file to upload that is no path": (
        (basic(f"name: a, multipart: {{files: {{image: {'iVBOR' * 99}}}}}"),),
        "0.yaml:4: cases[0].multipart.files.image: there is no file {folder}/iVBORiVBOR",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, load: Load, fault: str) -> None:
    """File, line and key are named, and what to do."""
    texts, message = FAULTS[fault]
    folder = f"{tmp_path}/cases/system"
    expected = f"{folder}/{message}".replace("{folder}", folder)

    with pytest.raises(ConfigError, match="^" + re.escape(expected)):
        load(*texts)


def test_a_file_to_upload_must_be_readable(load: Load) -> None:
    """It is digested before the first case."""
    with pytest.raises(ConfigError, match=r"^/proc/self/mem: cannot be read: Input/output error$"):
        load(basic("name: a, multipart: {files: {image: /proc/self/mem}}"))


def test_files_are_relative_to_the_file_that_names_them(tmp_path: Path, load: Load) -> None:
    """The case's own file, or the one that it extends; every file that counts has a digest."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "pixel.png").write_bytes(b"shared")
    (tmp_path / "cases" / "system" / "pixel.png").write_bytes(b"own")
    files = "multipart: {files: {image: pixel.png}}"
    (tmp_path / "shared" / "base.yaml").write_text(f"gate: basic\ndefaults: {{{files}}}\n")
    cases = f"[{{name: a, path: /}}, {{name: b, path: /, {files}}}]"
    text = f"extends: ../../shared/base.yaml\ncases: {cases}\n"

    book = load(text)

    bodies = [case.request.multipart for case in book.requests]
    sent = [body.files["image"] for body in bodies if body]
    assert [path.read_bytes() for path in sent] == [b"shared", b"own"]
    assert all(path.is_absolute() for path in sent)
    assert list(book.digests) == [
        "cases/system/0.yaml",
        "cases/system/pixel.png",
        "shared/base.yaml",
        "shared/pixel.png",
    ]
    assert book.digests["shared/pixel.png"] == sha256(b"shared").hexdigest()
    assert book.digests["cases/system/0.yaml"] == sha256(text.encode()).hexdigest()


def test_a_system_without_a_folder_has_no_cases(tmp_path: Path) -> None:
    """Its gates will say that they have none."""
    assert load_casebook(tmp_path, "absent", {}) == Casebook()


def test_bases_are_no_files_of_cases(tmp_path: Path, load: Load) -> None:
    """A leading underscore marks what others extend."""
    (tmp_path / "cases" / "system" / "_base.yaml").write_text("gate: basic\nretries: wrong\n")

    assert load() == Casebook()


def test_the_shipped_cases_are_right() -> None:
    """The basic and the stream endpoints of hifate, two of them with an image."""
    book = load_casebook(SHIPPED, "hifate", {})

    assert len(book.of("basic")) >= 6
    assert len(book.of("stream")) == 13
    assert all(case.expect["events"]["terminal"] for case in book.of("stream"))
    assert sum(case.request.multipart is not None for case in book.requests) == 2
    assert "cases/hifate/pixel.png" in book.digests


@given(secret=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=4, max_size=20))
def test_no_secret_is_seen(load: Load, secret: str) -> None:
    """Neither in str nor repr nor after a pickle; expectations are compared in plain."""
    secret = f"§{secret}"
    text = basic(
        "name: a, params: {k: ['${SECRET}']}, expect: {text: '${SECRET}'}",
        "name: b, json: {a: [{b: '${SECRET}'}]}",
        "name: c, form: {a: 'x${SECRET}'}",
        "name: d, multipart: {fields: {a: '${SECRET}'}}",
        defaults="{headers: {d: '${SECRET}'}}",
    )

    book = load(text, SECRET=secret)

    copy = pickle.loads(pickle.dumps(book))
    assert copy == book
    assert secret not in "".join(
        f"{v!r}{v}" for v in (book, copy, *(c.request for c in book.requests))
    )
    assert book.cases[0].expect == {"text": secret}
    assert book.secrets == {secret}


@pytest.mark.parametrize("gate", declarative_gates())
def test_a_schema_says_what_its_cases_are_about(gate: str) -> None:
    """Nothing is guessed from the keys of a case."""
    assert about(gate) in {"requests", "deployments", "environment"}


def test_a_check_of_the_environment(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check and options come through, options merge over the defaults, variables are secrets."""
    monkeypatch.setattr(casebook, "declarative_gates", lambda: ["probe"])
    monkeypatch.setattr(casebook, "about", lambda _gate: "environment")
    monkeypatch.setattr(casebook, "validate", lambda *_: None)
    text = """\
gate: probe
defaults: {options: {amount: "4.10", key: "${KEY}"}}
cases:
  - {name: one, check: create, options: {amount: "0.50"}, expect: {a: 1}}
"""
    (case,) = load(text, KEY="k-e-y").cases

    assert isinstance(case, CheckCase)
    assert (case.id, case.check, case.expect) == ("probe/one", "create", {"a": 1})
    assert case.options == {"amount": "0.50", "key": Secret("k-e-y")}
