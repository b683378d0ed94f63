"""The contract gate against a server that answers whatever a test wants."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Auth, Environment, GatePolicy, ReleaseSource
from pytest_release.evidence import Evidence, Severity
from pytest_release.gates import _contract_answers, contract
from pytest_release.gates import _contract_engine as engines
from pytest_release.gates._check import check
from pytest_release.gates._contract_engine import Engine, EngineError, Order, OutOfTimeError
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Redactor, Secret
from pytest_release.targets.http import HttpTarget

JSON = {"Content-Type": "application/json"}
NOTHING = (404, JSON, b"{}")
Answer = tuple[int, Mapping[str, str], bytes]
Serve = Callable[[str, str, bytes], Answer]
TEXT = {"type": "string"}
SEEN = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
NAMED = {"content": {"application/json": {"schema": SEEN}}}
OK = {"200": {"description": "ok", **NAMED}, "400": {"description": "no"}}
ORDER = {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}}
ORDERS = {
    "post": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": ORDER}}},
        "responses": OK,
    }
}
SHOP = {"get": {"responses": OK}}


class Shop:
    """A server whose answers are a function, and what it was asked."""

    def __init__(self) -> None:
        self.serve: Serve = lambda _method, _path, _body: NOTHING
        self.asked: list[tuple[str, str, bytes]] = []
        self.document: Any = {}
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, headers, content = shop.answer(self.command, self.path, body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = do_OPTIONS = respond  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """The document at its place, anything else as the test says."""
        if path == "/openapi.json":
            return 200, JSON, json.dumps(self.document).encode()
        self.asked.append((method, path, body))
        return self.serve(method, path, body)

    def documents(self, paths: Mapping[str, object], **more: object) -> None:
        """Serve a document of these paths."""
        info = {"title": "shop", "version": "1.0.0"}
        self.document = {"openapi": "3.1.0", "info": info, "paths": paths, **more}

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    """One server a test."""
    server = Shop()
    yield server
    server.close()


def evidence(
    shop: Shop,
    what: str = "answers",
    role: str = "development",
    *,
    expect: Mapping[str, object] | None = None,
    environment: Environment | None = None,
    **given: object,
) -> Evidence:
    """What the gate says of a shop; the rest are the case's options."""
    environment = environment or Environment(
        "here", role, "shop", shop.address, Path("here.yaml"), "", {}
    )
    expect = expect or {}
    case = CheckCase(
        "contract/a", "contract", "a", Path(__file__), 1, expect, check=what, options=given
    )
    return check(case, GatePolicy(), Scene(environment, HttpTarget(environment)))


def codes(found: Evidence) -> list[str]:
    """The codes of all findings, each once."""
    return list(dict.fromkeys(finding.code for finding in found.findings))


def named(name: str | None = "a") -> Answer:
    """A right answer."""
    return 200, JSON, json.dumps({"name": name}).encode()


def orders(_method: str, _path: str, body: bytes) -> Answer:
    """A shop that does what it says."""
    try:
        count = json.loads(body)["count"]
    except (ValueError, TypeError, LookupError):
        count = None
    whole = isinstance(count, int | float) and not isinstance(count, bool) and count == int(count)
    return named() if whole else (400, {}, b"")


def test_a_shop_that_keeps_its_word(shop: Shop) -> None:
    """Nothing is found; the report names seed, engine and counts."""
    shop.documents({"/orders": ORDERS})
    shop.serve = orders
    found = evidence(shop, seed=7)

    assert found.findings == ()
    told = json.loads(found.attachments[0].text)
    assert told["seed"] == 7
    assert told["engine"].startswith("schemathesis 4.")
    assert told["requests"] == {"POST /orders": {"valid": 5, "invalid": 5}}
    requests = found.measurement("requests")
    assert requests is not None
    assert requests.estimate.value == 10


def test_the_same_seed_sends_the_same_requests(shop: Shop) -> None:
    """Byte for byte, multipart bodies too; another seed sends others."""
    form = {"type": "object", "required": ["a"], "properties": {"a": TEXT}}
    body = {"content": {"multipart/form-data": {"schema": form}}, "required": True}
    shop.documents({"/orders": ORDERS, "/forms": {"post": {"requestBody": body, "responses": OK}}})
    shop.serve = orders
    sent = []
    for seed in (7, 7, 8):
        shop.asked.clear()
        evidence(shop, seed=seed)
        sent.append(sorted(shop.asked))

    assert sent[0] == sent[1]
    assert sent[0] != sent[2]


def test_one_finding_for_each_endpoint_and_rule(shop: Shop) -> None:
    """With the count, the seed and the shortest request as a command; secrets masked."""
    shop.documents({"/orders": ORDERS, "/other": ORDERS})
    shop.serve = lambda *_: (500, JSON, b'{"trace": "KeyError"}')
    environment = Environment(
        "here",
        "development",
        "shop",
        shop.address,
        Path("here.yaml"),
        "",
        {},
        auth=Auth("bearer", token=Secret("open-sesame")),
        redactor=Redactor(frozenset({"open-sesame"})),
    )
    found = evidence(shop, environment=environment, seed=3)

    failures = [finding for finding in found.failures if finding.code == "contract.server-error"]
    assert [finding.message.partition(":")[0] for finding in failures] == [
        "POST /orders",
        "POST /other",
    ]
    assert "fails with 500; 10 of 10 requests with seed 3, the shortest: " in failures[0].message
    assert "curl -sS" in failures[0].message
    assert "authorization: ***" in failures[0].message
    assert failures[0].received == '500 {"trace": "KeyError"}'
    assert "open-sesame" not in str(dataclasses.asdict(found))
    attached = {attachment.name for attachment in found.attachments}
    assert {"contract examples", "contract.server-error POST /orders"} <= attached


def test_production_gets_safe_methods_only(shop: Shop) -> None:
    """Nothing else is ever sent, and what is left out is noted."""
    shop.documents({"/orders": {**ORDERS, "delete": {"responses": OK}, **SHOP}})
    shop.serve = lambda method, _path, _body: named() if method == "GET" else NOTHING
    found = evidence(shop, role="production")

    (note,) = found.findings
    assert note.severity is Severity.NOTE
    assert note.message == (
        "in production 2 endpoints are not called: POST /orders, DELETE /orders"
    )
    assert {method for method, _, _ in shop.asked} == {"GET"}


def test_production_with_nothing_to_call(shop: Shop) -> None:
    """Nothing looked at is a failure, not a pass."""
    shop.documents({"/orders": ORDERS})
    found = evidence(shop, role="production")

    assert codes(found) == ["contract.nothing-called", "contract.not-called"]
    assert found.failures[0].message == "none of 1 documented endpoints may be called"
    assert shop.asked == []


def test_a_wrong_request_that_is_accepted(shop: Shop) -> None:
    """The finding says what is wrong with the request."""
    shop.documents({"/orders": ORDERS})
    shop.serve = lambda *_: named()
    (finding,) = evidence(shop).failures

    assert finding.code == "contract.accepted-invalid"
    assert finding.message.startswith("POST /orders: accepts a wrong request with 200; ")
    assert finding.expected.startswith("4xx")


def test_a_right_request_that_is_refused(shop: Shop) -> None:
    """A documented refusal is enough for most; who expects more says so."""
    shop.documents({"/orders": ORDERS})
    shop.serve = lambda *_: (400, {}, b"")

    assert codes(evidence(shop)) == ["contract.not-shown"]
    strict = evidence(shop, expect={"valid_accepted": True})
    assert codes(strict) == ["contract.refused-valid", "contract.not-shown"]
    assert "POST /orders: refuses a right request with 400" in strict.failures[0].message


WRONG = {
    "/gone": ((405, JSON, b"{}"), "contract.gone", "is documented and answers 405"),
    "/untyped": ((200, {}, b"{}"), "contract.content-type", "the answer has no content type"),
    "/null": (named(None), "contract.schema", "the answer 200 breaks its schema at $.name: null"),
    "/cut": ((200, JSON, b'{"name": '), "contract.not-json", "the body is not JSON: "),
    "/empty": ((204, {}, b""), "contract.undocumented-status", "answers 204, which is not"),
    "/large": ((200, JSON, b" " * 3_000_000), "contract.broken", "its body has more than 2097152"),
}


def test_answers_that_are_not_as_documented(shop: Shop) -> None:
    """Each is named, with its endpoint; one does not hide another."""
    shop.documents(dict.fromkeys(WRONG, SHOP))
    shop.serve = lambda _method, path, _body: WRONG[path][0]
    messages = {(finding.code, finding.message) for finding in evidence(shop).failures}

    for path, (_, code, message) in WRONG.items():
        assert any(c == code and f"GET {path}: {message}" in said for c, said in messages)


def test_parameters_are_taken_from_the_case(shop: Shop) -> None:
    """Where made values would lead nowhere; a secret one is masked in the command."""
    key = {"name": "key", "in": "path", "required": True, "schema": TEXT}
    shop.documents({"/files/{key}": {"get": {"parameters": [key], "responses": OK}}})
    shop.serve = lambda _method, path, _body: named() if path == "/files/of-mine" else NOTHING
    found = evidence(shop, parameters={"key": Secret("of-mine")}, invalid=0)

    assert found.findings == ()
    assert {path for _, path, _ in shop.asked} == {"/files/of-mine"}


def test_a_slow_endpoint(shop: Shop) -> None:
    """The slowest answer counts, and the finding names limit and time."""

    def slowly(*_: object) -> Answer:
        time.sleep(0.06)
        return named()

    shop.documents({"/shop": SHOP})
    shop.serve = slowly
    (finding,) = evidence(shop, expect={"answer_ms": 50}).failures

    assert finding.code == "contract.slow"
    assert finding.expected == "at most 50 ms"
    assert finding.message.startswith("GET /shop: took ")


def test_no_answer_at_all(shop: Shop) -> None:
    """A server that is silent; the command asks it again."""
    shop.documents({"/shop": SHOP})

    def silent(*_: object) -> Answer:
        time.sleep(0.5)
        return named()

    shop.serve = silent
    found = evidence(shop, timeout_s=0.05)
    assert codes(found) == ["contract.no-answer", "contract.not-shown"]
    assert "timed out after 0.05 s" in found.failures[0].message
    assert "the shortest: curl -sS -N -i --max-time 0.05" in found.failures[0].message


def test_hostile_schemas_cost_no_more_than_their_time(shop: Shop) -> None:
    """Examples that nobody could make are findings, and the other endpoints are looked at."""
    huge = {"type": "array", "minItems": 10**9, "items": TEXT}
    body = {"content": {"application/json": {"schema": huge}}, "required": True}
    shop.documents({"/huge": {"post": {"requestBody": body, "responses": OK}}, "/shop": SHOP})
    shop.serve = lambda *_: named()
    began = time.monotonic()
    found = evidence(shop, seconds=8, invalid=0)

    assert time.monotonic() - began < 12
    assert found.failures
    assert all("contract." in code for code in codes(found))


def test_time_is_over(shop: Shop) -> None:
    """What was not sent is never a pass."""

    def slowly(*_: object) -> Answer:
        time.sleep(0.4)
        return named()

    shop.documents({f"/shop/{n}": SHOP for n in range(40)})
    shop.serve = slowly
    found = evidence(shop, seconds=2.5, at_once=1)

    (finding,) = [finding for finding in found.failures if "time" in finding.code]
    assert finding.code == "contract.out-of-time"
    assert "the time is over: " in finding.message


def test_without_the_engine(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear message, and a failure."""
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    shop.documents({"/shop": SHOP})
    (finding,) = evidence(shop).failures

    assert finding.code == "contract.no-engine"
    assert finding.message == (
        "the contract gate needs schemathesis, which is not installed: "
        "pip install 'pytest-release[contract]'"
    )


def test_an_engine_that_dies() -> None:
    """Its last words are quoted; with too little memory it does not even start."""
    order = Order(document={}, operations=(), memory=30 * 1024 * 1024)
    with (
        Engine(order, time.monotonic() + 30) as engine,
        pytest.raises(EngineError, match=r"the engine ended with status -?\d+: "),
    ):
        list(engine.examples())


def test_an_engine_that_takes_too_long() -> None:
    """Whoever waits gives up at the deadline."""
    order = Order(document={}, operations=())
    with (
        Engine(order, time.monotonic()) as engine,
        pytest.raises(OutOfTimeError, match="the time is over"),
    ):
        list(engine.examples())


def test_an_event_stream_is_read_for_a_moment(shop: Shop) -> None:
    """Its head is compared, its events are the stream gate's business."""
    events = {"200": {"description": "", "content": {"text/event-stream": {"schema": TEXT}}}}
    shop.documents({"/events": {"get": {"responses": events}}})
    shop.serve = lambda *_: (200, {"Content-Type": "text/event-stream"}, b"data: 1\n\n")

    assert evidence(shop).findings == ()


def test_a_long_refusal_by_a_stream_is_read_to_its_end(shop: Shop) -> None:
    """It is JSON, and compared as a whole."""
    media = {"text/event-stream": {}, "application/json": {"schema": SEEN}}
    shop.documents(
        {"/events": {"get": {"responses": {"200": {"description": "", "content": media}}}}}
    )
    shop.serve = lambda *_: named("x" * 20_000)

    assert evidence(shop).findings == ()


def test_answers_that_are_too_many_to_keep(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for being judged, so their bytes are counted."""
    monkeypatch.setattr(_contract_answers, "MAX_KEPT", 1000)
    shop.documents({f"/shop/{n}": SHOP for n in range(9)})
    shop.serve = lambda *_: named("x" * 2000)
    found = evidence(shop, at_once=1)

    assert codes(found) == ["contract.no-answer", "contract.not-shown"]
    assert "not asked, since the answers so far have over 1000 bytes" in found.failures[0].message
    assert len(shop.asked) == 1


def test_a_report_is_not_endless(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile document gets so many findings and no more."""
    monkeypatch.setattr(contract, "MOST", 3)
    shop.documents({f"/shop/{n}": SHOP for n in range(9)})
    found = evidence(shop, "endpoints")

    assert len(found.findings) == 4
    assert found.findings[-1].message == "and 6 findings more"


def test_time_is_over_before_every_endpoint_was_looked_for(shop: Shop) -> None:
    """A slow server does not hold the run."""

    def slowly(*_: object) -> Answer:
        time.sleep(0.3)
        return NOTHING

    shop.documents({f"/shop/{n}": SHOP for n in range(40)})
    shop.serve = slowly
    found = evidence(shop, "endpoints", seconds=1)

    assert codes(found) == ["contract.no-answer"]
    assert "the time is over before OPTIONS /shop/" in found.failures[0].message


def test_paths_that_are_references_and_older_documents(shop: Shop) -> None:
    """Swagger 2.0 has its prefix elsewhere; a path may stand among the components."""
    shop.serve = lambda _method, path, _body: named() if path == "/v2/shop" else NOTHING
    old = {"swagger": "2.0", "info": {"title": "shop", "version": "1"}, "basePath": "/v2"}
    answer = {"200": {"description": "ok", "schema": SEEN}}
    paths = {"/shop": {"get": {"produces": ["application/json"], "responses": answer}}}
    shop.document = {**old, "paths": paths}
    assert evidence(shop).findings == ()

    shop.documents(
        {"/shop": {"$ref": "#/components/pathItems/Shop"}},
        components={"pathItems": {"Shop": SHOP}},
        servers=[{"url": "/v2"}],
    )
    assert evidence(shop).findings == ()
    assert {path for _, path, _ in shop.asked} == {"/v2/shop"}


def test_the_document_of_another_version(shop: Shop) -> None:
    """Compared with what the deployment says of itself, or with what the case says."""
    shop.documents({"/shop": SHOP})
    shop.serve = lambda *_: (200, JSON, b'{"version": "2.0.0"}')
    environment = replace(
        Environment("here", "staging", "shop", shop.address, Path("here.yaml"), "", {}),
        release=ReleaseSource("/health", "version"),
    )
    told = evidence(
        shop, "document", environment=environment, expect={"version": "release"}
    ).failures
    asked = evidence(shop, "document", expect={"version": "3.0.0", "min_operations": 2}).failures

    assert [finding.message for finding in told] == [
        "/openapi.json documents the version 1.0.0, the deployment is 2.0.0"
    ]
    assert [finding.code for finding in asked] == ["contract.version", "contract.too-few"]
    assert asked[1].message == "/openapi.json documents 1 endpoints, expected at least 2"
    nowhere = evidence(shop, "document", expect={"version": "release"}).failures
    assert "the environment does not say where it is read" in nowhere[0].message


def test_a_document_beside_the_case(shop: Shop) -> None:
    """It is read instead of the deployment's; one that is not there is a finding."""
    found = evidence(shop, "document", file="none.json")

    assert codes(found) == ["contract.no-answer"]
    assert "none.json: cannot be read: No such file or directory" in found.failures[0].message


def test_no_document(shop: Shop) -> None:
    """Another status than 200, or another thing than a document."""
    found = evidence(shop, "document", document="/swagger.json")

    assert found.failures[0].message == ("/swagger.json is no OpenAPI document: it answers 404")


def test_an_unusable_document_is_not_given_to_the_engine(shop: Shop) -> None:
    """A reference to another server would make it fetch."""
    reference = {"$ref": "http://198.51.100.7/answer.json"}
    shop.documents({"/shop": {"get": {"responses": {"200": reference}}}})

    assert codes(evidence(shop)) == ["contract.reference"]
    assert shop.asked == []


def test_what_the_engine_finds_invalid(shop: Shop) -> None:
    """What the form's own rules do not see, OpenAPI's schema does."""
    shop.documents({"/shop": SHOP}, tags=[{"description": "no name"}])
    found = evidence(shop)

    assert "contract.invalid" in codes(found)
    assert "the document is no valid OpenAPI document: " in found.failures[0].message


def there(method: str, path: str, _body: bytes) -> Answer:
    """OPTIONS as a framework answers it, and a list of endpoints."""
    if path == "/endpoints":
        return 200, JSON, json.dumps({"endpoints": ["GET /shop", "GET /hidden/{id}"]}).encode()
    if method == "OPTIONS" and path in ("/shop", "/orders"):
        return 405, {**JSON, "Allow": "GET"}, b"{}"
    return named() if path == "/admin" else NOTHING


def test_endpoints_compared_both_ways(shop: Shop) -> None:
    """Gone, undocumented, unlisted, and one that should not be there; all in one look."""
    shop.documents({"/shop": SHOP, "/orders": ORDERS, "/retired": SHOP})
    shop.serve = there
    found = evidence(shop, "endpoints", registry={"path": "/endpoints"}, absent=["/admin"])

    assert sorted(finding.message for finding in found.failures) == [
        "GET /admin answers 200, and nothing should be there",
        "GET /hidden/{} is listed by /endpoints and not documented",
        "GET /retired is documented and not listed by /endpoints",
        "GET /retired is documented, and nothing is there: OPTIONS answers 404",
        "POST /orders is documented and not listed by /endpoints",
        "POST /orders is documented, and its path allows only GET",
    ]
    assert {method for method, _, _ in shop.asked} == {"GET", "OPTIONS"}


def test_a_list_with_patterns(shop: Shop) -> None:
    """The case's own list; each entry must be documented, and each endpoint listed."""
    shop.documents({"/shop": SHOP, "/orders": ORDERS})
    shop.serve = lambda _method, path, _body: (405, {}, b"") if "nothing" not in path else NOTHING
    listed = ["GET /sh*", "/returns"]

    assert [finding.message for finding in evidence(shop, "endpoints", listed=listed).failures] == [
        "/returns is listed by the case and not documented",
        "POST /orders is documented and not listed by the case",
    ]


def test_a_page_that_answers_everything(shop: Shop) -> None:
    """A login page in front of all paths is not taken for endpoints that are there."""
    shop.documents({"/shop": SHOP})
    shop.serve = lambda *_: (200, {"Content-Type": "text/html"}, b"<h1>Sign in</h1>")
    (finding,) = evidence(shop, "endpoints").failures

    assert finding.code == "contract.catch-all"
    assert "answers 200 where nothing is: what is missing cannot be told" in finding.message


def test_options_that_tell_nothing(shop: Shop) -> None:
    """Then only what may be asked with its own method is looked for, and the rest is a warning."""
    shop.documents({"/shop": SHOP, "/gone": SHOP, "/orders": ORDERS})
    shop.serve = lambda method, path, _body: (
        (204, {}, b"") if method == "OPTIONS" else named() if path == "/shop" else NOTHING
    )
    found = evidence(shop, "endpoints")

    assert [finding.message for finding in found.failures] == [
        "GET /gone is documented, and nothing is there: GET answers 404"
    ]
    assert found.warnings[0].message == (
        "1 documented endpoints could not be looked for: "
        "OPTIONS /nothing-is-here-8c1f27 answers 204"
    )
    assert {method for method, _, _ in shop.asked} == {"GET", "OPTIONS"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((503, JSON, b"{}"), "GET /endpoints answers 503 instead of 200"),
        ((200, JSON, b"[]"), "GET /endpoints holds no list of endpoints: there is no 'endpoints'"),
        ((200, JSON, b'{"endpoints": 1}'), "expected a list of at most 10000"),
        ((200, JSON, b'{"endpoints": [1]}'), "1 is no endpoint"),
        ((200, JSON, b'{"endpoints": []}'), "GET /endpoints lists no endpoint"),
    ],
)
def test_a_list_that_is_none(shop: Shop, answer: Answer, message: str) -> None:
    """An empty list is one, too: it would agree with everything."""
    shop.documents({"/shop": SHOP})
    shop.serve = lambda _method, path, _body: answer if path == "/endpoints" else NOTHING
    found = evidence(shop, "endpoints", registry={"path": "/endpoints"})

    assert found.failures[0].code == "contract.registry"
    assert message in found.failures[0].message


def test_a_list_that_production_does_not_get(shop: Shop) -> None:
    """Asking with POST would change something."""
    shop.documents({"/shop": SHOP})
    registry = {"path": "/reload", "method": "POST"}
    found = evidence(shop, "endpoints", role="production", registry=registry)

    assert "the list of endpoints is asked for with POST" in found.failures[0].message
    assert shop.asked == []
