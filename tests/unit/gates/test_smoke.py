"""The smoke gate's patience, and what it makes of engines and pages; the demo's are elsewhere."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Auth, Environment, GatePolicy, ReleaseSource
from pytest_release.errors import ConfigError, TargetError
from pytest_release.evidence import Evidence, Finding, Severity
from pytest_release.gates import _smoke_database
from pytest_release.gates._check import check
from pytest_release.gates._patience import Patience, Vigil, watch
from pytest_release.gates._scene import Scene
from pytest_release.gates._smoke_containers import Containers, Expected, compare_images
from pytest_release.targets.engine import Container, Engine, Health
from pytest_release.targets.http import HttpTarget
from tests.unit.targets.conftest import Serve
from tests.unit.targets.scripted import Server

HERE = Path("here.yaml")
BAD = Finding("smoke.status", "status 503 instead of 200")
PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\nSeisei"
QUICK = {"interval_s": 0.01, "tries": 3, "deadline_s": 5}


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(round(seconds, 3))
        self.now += seconds


def watched(course: str, **patience: Any) -> tuple[Vigil, Clock, list[str]]:  # noqa: ANN401
    """A vigil over looks that are well (``+``) or not (``-``); the last goes on for ever."""
    clock, said = Clock(), list[str]()
    looks = iter(course)
    last = [course[0]]

    def look(_left_s: float) -> Sequence[Finding]:
        last[0] = next(looks, last[0])
        return [BAD] if last[0] == "-" else []

    vigil = watch(look, Patience(**patience), said.append, clock=clock, sleep=clock.sleep)
    return vigil, clock, said


def codes(vigil: Vigil, flapping: str = "fail") -> list[tuple[str, str]]:
    """Its findings, and how severe they are."""
    return [(f.code, f.severity) for f in vigil.findings("smoke", flapping)]


def test_three_successes_in_a_row_are_needed() -> None:
    """And three are enough, where nothing failed."""
    vigil, clock, _ = watched("+")

    assert (len(vigil.tries), clock.slept, vigil.gave_up) == (3, [5.0, 5.0], "")
    assert vigil.findings("smoke", "fail") == []
    assert {n: float(v[0].value if hasattr(v[0], "value") else v[0]) for n, v in
            vigil.figures.items()} == {"tries": 3, "flaps": 0, "waited_ms": 10_000}  # fmt: skip


def test_a_success_that_needed_the_wait_is_told() -> None:
    """As a note: it says after how long, on which try, and what was wrong at first."""
    vigil, _, said = watched("--+++")

    (found,) = vigil.findings("smoke", "fail")
    assert (found.code, found.severity) == ("smoke.late", Severity.NOTE)
    assert found.message == "was well only after 10.0 s, on try 3: at 0.0 s " + BAD.message
    assert said == [
        "try 1 of 10 at 0.0 s: status 503 instead of 200; next in 5.0 s",
        "try 2 of 10 at 5.0 s: status 503 instead of 200; next in 5.0 s",
        "try 3 of 10 at 10.0 s: well, 1 of 3; next in 5.0 s",
        "try 4 of 10 at 15.0 s: well, 2 of 3; next in 5.0 s",
    ]


@pytest.mark.parametrize(("flapping", "severity"), [("fail", "failure"), ("warn", "warning")])
def test_well_then_not_then_well_is_flapping(flapping: str, severity: str) -> None:
    """Though it was well three times in a row in the end; the policy says how bad that is."""
    vigil, _, _ = watched("+-+-+++")

    (found,) = vigil.findings("smoke", flapping)
    assert (found.code, found.severity) == ("smoke.flapping", severity)
    assert found.message == f"was well, then not, 2 times in 7 tries: at 5.0 s {BAD.message}"


def test_never_well_says_how_often_it_was_and_why_there_was_no_further_try() -> None:
    """The last failure comes first: it is what must be mended."""
    vigil, _, _ = watched("++-", tries=6)

    findings = vigil.findings("smoke", "fail")
    assert [f.code for f in findings] == ["smoke.status", "smoke.not-steady", "smoke.flapping"]
    expected = (
        "was not well 3 in a row: 2 of 6 tries were, at most 2 in a row; gave up after 6 tries"
    )
    assert findings[1].message == expected


def test_the_deadline_ends_it_before_the_tries_do() -> None:
    """The next look is not begun when it would be past it."""
    vigil, clock, _ = watched("-", tries=1000, deadline_s=12)

    assert [round(each.at_s) for each in vigil.tries] == [0, 5, 10]
    assert vigil.gave_up == "gave up after 3 tries: the next would be past 12 s"
    assert clock.now == 110


def test_pauses_grow_with_failures_in_a_row_up_to_a_minute() -> None:
    """And are short again behind a success."""
    _, clock, _ = watched("-----+++", interval_s=8, backoff=2, deadline_s=1000)

    assert clock.slept == [8, 16, 32, 60, 60, 8, 8]


@pytest.mark.parametrize(
    ("course", "successes", "slept"),
    [("+", 3, [5, 25]), ("+", 1, [30]), ("-+", 2, [5, 30])],
)
def test_the_successes_span_the_window(course: str, successes: int, slept: list[int]) -> None:
    """With no look more than are needed; the last closes it."""
    vigil, clock, _ = watched(course, successes=successes, window_s=30)

    assert (clock.slept, vigil.gave_up) == (slept, "")


def test_a_look_is_told_what_time_is_left() -> None:
    """So that no answer is waited for beyond the deadline."""
    left: list[float] = []
    clock = Clock()

    def look(left_s: float) -> Sequence[Finding]:
        left.append(left_s)
        clock.now += 7
        return [BAD]

    watch(look, Patience(deadline_s=20), clock=clock, sleep=clock.sleep)

    assert left == [20, 8]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tries": 2}, "tries: 3 successes in a row do not fit into 2 tries"),
        ({"deadline_s": 9}, "3 successes in a row take 10 s at least, and the deadline is 9 s"),
        ({"window_s": 300}, "3 successes in a row take 300 s at least, and the deadline is 120 s"),
    ],
)
def test_what_can_never_be_reached_is_an_error_of_the_file(
    given: Mapping[str, Any], words: str
) -> None:
    """With the case's line; the case's options come before the policy's."""
    with pytest.raises(ConfigError, match=f"here.yaml:7: .*{re.escape(words)}"):
        Patience.of(case("domain"), {"interval_s": 5, "flapping": "warn"}, given)


def case(name: str, expect: Mapping[str, Any] | None = None, **options: Any) -> CheckCase:  # noqa: ANN401
    """A case of this check."""
    return CheckCase(
        id=f"smoke/{name}", gate="smoke", name=name, file=HERE, line=7, check=name,
        options=options, expect=expect or {},
    )  # fmt: skip


def environment(base_url: str | None = "http://127.0.0.1:9", **more: Any) -> Environment:  # noqa: ANN401
    """One at that address."""
    return Environment("here", "production", "seisei", base_url, HERE, "", {}, **more)


def smoked(asked: CheckCase, there: Environment, say: Any = None) -> Evidence:  # noqa: ANN401
    """What the gate makes of it, quickly."""
    scene = Scene(there, HttpTarget(there), say=say or (lambda _case, _line: None))
    return check(asked, GatePolicy(options=QUICK), scene)


def container(service: str = "web", **more: Any) -> Container:  # noqa: ANN401 - its fields
    """One that is well."""
    fields: dict[str, Any] = {
        "id": "a" * 64, "name": f"{service}-1", "service": service, "image": "x", "image_id": "i1",
        "state": "running", "exit_code": 0, "trouble": "", "started_at": "T1", "restarts": 0,
        "health": None,
    }  # fmt: skip
    return Container(**(fields | more))


class Told(Engine):
    """An engine that tells what it is told."""

    def __init__(
        self, *looks: Sequence[Container], **digests: Mapping[str, frozenset[str]]
    ) -> None:
        self._looks = iter(looks)
        self._digests = digests
        self.place = "unix:///here"

    def containers(self, project: str, seconds: float = 1.0) -> tuple[Container, ...]:
        """The next look."""
        return tuple(next(self._looks))

    def digests(self, image_id: str, seconds: float = 1.0) -> Mapping[str, frozenset[str]]:
        """As given."""
        return self._digests[image_id]


@pytest.mark.parametrize(
    ("found", "expected", "code", "words"),
    [
        ([], {}, "no-containers", "the engine at unix:///here has no container of the project 'p'"),
        ([container()], {"db": {}}, "missing-service",
         "no container of the service db; there are: web"),
        ([container()], {"web": {"replicas": 3}}, "missing-replica",
         "the service web has 1 of 3 containers"),
        ([container("wep")], {"web": {"replicas": 1}}, "unknown-service", "did you mean 'web'?"),
        ([container(state="exited", exit_code=1, trouble="out of memory")], {}, "not-running",
         "web-1 (service web) is exited, with exit code 1, out of memory"),
        ([container(state="restarting", restarts=4, exit_code=3)], {}, "restarting",
         "is restarting, for the 4. time: it ended with exit code 3"),
        ([container(health=Health("", 0))], {}, "unhealthy",
         "is running and its health is unknown"),
        ([container(health=Health("unhealthy", 5, "no route"))], {}, "unhealthy",
         "is running and unhealthy: 5 checks failed in a row, the last said 'no route'"),
        ([container()], {"web": {"health_check": True}}, "no-health-check", "has no health check"),
        ([container()], {"web": {"completes": True}}, "not-completed",
         "is running and has not completed"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)  # fmt: skip
def test_every_container_counts(
    found: list[Container], expected: Mapping[str, Any], code: str, words: str
) -> None:
    """Whatever its neighbours are."""
    services = {name: Expected(**given) for name, given in expected.items()}
    well = [container("well")] if found and not services else []
    findings = Containers(Told([*well, *found]), "p", services).look(1.0)

    (said,) = [f.message for f in findings if f.code == f"smoke.{code}"]
    assert words in said


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ({"started_at": "T2"}, "was started again: 0 restarts and T1, then 0 and T2, within"),
        ({"restarts": 1}, "was started again: 0 restarts and T1, then 1 and T1, within"),
        ({"id": "b" * 64}, "was replaced: aaaaaaaaaaaa, then bbbbbbbbbbbb, within"),
    ],
)
def test_what_was_restarted_between_two_looks_is_not_up(then: dict[str, Any], words: str) -> None:
    """Though it runs at both."""
    containers = Containers(Told([container()], [container(**then)]), "p", {})

    assert containers.look(1.0) == []
    (found,) = containers.look(1.0)
    assert (found.code, words in found.message) == ("smoke.restarted", True)


def test_each_replica_must_run_an_image_of_the_release() -> None:
    """One that does is no excuse for another that does not; what nobody runs is told, too."""
    ours = "r.example/shop/web"
    engine = Told(
        i1={ours: frozenset({"1" * 64})}, i2={ours: frozenset({"2" * 64})},
        i3={"docker.io/library/redis": frozenset({"3" * 64})}, i4={},
    )  # fmt: skip
    running = [
        container(),
        container(name="web-2", image_id="i2"),
        container("redis", image_id="i3"),
        container("built", image_id="i4", image="web:dev"),
        container("apart", image_id="i3"),
    ]
    images = [f"{ours}@sha256:{'1' * 64}", f"r.example/shop/job@sha256:{'4' * 64}"]

    found = list(compare_images(engine, running, images, ["apart"]))

    assert [f.code for f in found] == [
        "smoke.other-image", "smoke.unattested-image", "smoke.no-digest", "smoke.image-not-run",
    ]  # fmt: skip
    assert found[0].message == (
        f"web-2 (service web) runs {ours}@sha256:{'2' * 64}, the release names sha256:{'1' * 64}"
    )
    assert found[3].message.startswith("the release names r.example/shop/job, and no container")


@pytest.mark.parametrize(
    ("check_", "services", "words"),
    [
        ("containers", {}, "here.yaml names no engine: add services.engine.docker_host"),
        ("containers", {"engine": {"docker_host": "unix:///x"}},
         "here.yaml names no project: add services.compose.project"),
        ("images", {}, "here.yaml names no images to compare with: add release.images"),
        ("database", {}, "here.yaml names no database to ask: add services.postgres.dsn"),
    ],
)  # fmt: skip
def test_an_environment_that_does_not_say_where_to_look(
    check_: str, services: Mapping[str, Any], words: str
) -> None:
    """One sentence: which file, which key."""
    (found,) = smoked(case(check_), environment(services=services)).findings

    assert (found.code, found.message) == ("smoke.no-answer", words)


def test_a_service_without_an_address_is_said() -> None:
    """Also one that has no address because the environment has none."""
    (no_service,) = smoked(case("service", service="ocr"), environment()).findings
    (no_url,) = smoked(case("domain"), environment(None)).findings

    assert no_service.message == "here.yaml names no ocr: add services.ocr.url"
    assert no_url.message == "the environment here has no base_url"


def moved(to: str, status: int = 302) -> bytes:
    """A redirect."""
    return f"HTTP/1.1 {status} Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()


def paths(server: Server) -> list[bytes]:
    """What was asked of it."""
    return [request.split(b" ")[1] for request in server.requests]


def test_a_redirect_counts_only_where_it_is_allowed_to_lead(serve: Serve) -> None:
    """To the letter; what is not allowed is not even asked for."""
    there = serve(PAGE)
    here = serve(moved(f"{there.url}/home#top"))
    allowed = case("domain", {"text": ["Seisei"]}, redirects=[f"{there.url}/home"])
    other = case("domain", redirects=[f"{there.url}/hom", "/home"])

    well, strayed = (smoked(each, environment(here.url)) for each in (allowed, other))

    assert (well.findings, paths(there)) == ((), [b"/home"] * 3)
    assert strayed.failures[0].code == "smoke.redirect"
    assert f"answers 302 and leads to '{there.url}/home'" in strayed.failures[0].message


def test_another_server_is_not_told_how_requests_are_authorised(serve: Serve) -> None:
    """A redirect's target is not, nor a service by its own address; our own server is."""
    there = serve(PAGE)
    here = serve(moved(f"{there.url}/"))
    auth = Auth("bearer", token="tok_1234")

    smoked(case("domain", redirects=[f"{there.url}/"]), environment(here.url, auth=auth))
    smoked(case("service", url=there.url), environment(here.url, auth=auth))

    assert all(b"tok_1234" in request for request in here.requests)
    assert there.requests
    assert not any(b"tok_1234" in request for request in there.requests)


@pytest.mark.parametrize("location", ["http://[::1", "javascript:alert(1)", "//evil.invalid/"])
def test_hostile_locations_are_findings(serve: Serve, location: str) -> None:
    """They are quoted, and not followed."""
    here = serve(moved(location))
    evidence = smoked(case("domain", redirects=["/home"]), environment(here.url))

    assert evidence.failures[0].code == "smoke.redirect"


def test_redirects_that_lead_in_a_circle_end(serve: Serve) -> None:
    """Though each is allowed."""
    here = serve(moved("/"))
    evidence = smoked(case("domain", redirects=["/"]), environment(here.url))

    assert evidence.failures[0].message.endswith("redirects more than 5 times")


def test_the_words_of_another_page_are_found_in_whatever_case(serve: Serve) -> None:
    """With what stands around them."""
    page = b"<h1>Seisei is FOR SALE</h1>"
    here = serve(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page))
    evidence = smoked(case("domain", {"lacks": ["for sale"]}), environment(here.url))

    assert evidence.failures[0].code == "smoke.unwanted-text"
    assert evidence.failures[0].received == "<h1>Seisei is FOR SALE</h1>"


def test_tls_is_wanted_and_verified(
    serve: Serve, certified: Callable[..., ssl.SSLContext], trusted: str
) -> None:
    """Plain HTTP is none, nor is a certificate of another host, nor one that nobody looks at."""
    asked = case("domain", {"tls": True})
    ours, others = serve(PAGE, tls=certified()), serve(PAGE, tls=certified("other.example"))

    plain = smoked(asked, environment(serve(PAGE).url))
    well = smoked(asked, environment(ours.url, verify_tls=trusted))
    unverified = smoked(asked, environment(ours.url, verify_tls=False))
    strange = smoked(asked, environment(others.url, verify_tls=trusted))

    assert "is not encrypted" in plain.failures[0].message
    assert well.findings == ()
    assert "the environment says verify_tls: false" in unverified.failures[0].message
    assert "TLS was refused: certificate verify failed" in strange.failures[0].message


class Session:
    """A database that says where it stands."""

    place = "db:5432/odoo"

    def __init__(self, recovering: bool, tables: int) -> None:
        self.row = (recovering, "odoo", tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def query(self, _statement: str) -> list[tuple[Any, ...]]:
        """One row."""
        return [self.row]


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evidence]:
    """What the gate makes of a database that stands like this."""

    def standing(recovering: bool, there_are: int, **options: Any) -> Evidence:  # noqa: ANN401
        class Connected:
            @staticmethod
            def connect(_options: Any, **_limits: float) -> Session:  # noqa: ANN401
                return Session(recovering, there_are)

        monkeypatch.setattr(_smoke_database, "Database", Connected)
        there = environment(services={"postgres": {"dsn": "postgresql://db/odoo"}})
        return smoked(case("database", **options), there)

    return standing


def test_a_database_must_be_the_primary_and_not_empty(
    standing: Callable[..., Evidence],
) -> None:
    """Unless the case says otherwise."""
    assert standing(False, 4, tables=4).findings == ()
    assert standing(True, 4, standby=True).findings == ()
    assert standing(True, 4).failures[0].message == (
        "postgres db:5432/odoo is a standby, and takes no writes"
    )
    assert "the database odoo has 0 tables, expected at least 1" in (
        standing(False, 0).failures[0].message
    )


def test_what_does_not_answer_is_tried_again_and_told(serve: Serve) -> None:
    """Nobody listens at first: the case's id and a line for whoever waits."""
    said: list[tuple[str, str]] = []
    evidence = smoked(case("domain"), environment(), lambda name, line: said.append((name, line)))

    assert [finding.code for finding in evidence.failures] == [
        "smoke.no-answer",
        "smoke.not-steady",
    ]
    assert {name for name, _ in said} == {"smoke/domain"}
    assert said[0][1].startswith("try 1 of 3 at 0.0 s: GET http://127.0.0.1:9/: cannot be reached")
    assert evidence.attachments[0].text.count("cannot be reached") == 3


def test_images_come_from_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the case names none: those that the attestation names."""
    engine = Told(*[[container()]] * 3, i1={"r.example/web": frozenset({"1" * 64})})
    monkeypatch.setattr(Engine, "connect", lambda _options: engine)
    monkeypatch.setattr(Told, "close", lambda _self: None)
    services = {"engine": {"docker_host": "unix:///x"}, "compose": {"project": "p"}}
    release = ReleaseSource("/health", images=(f"r.example/web@sha256:{'1' * 64}",))
    evidence = smoked(case("images"), environment(services=services, release=release))

    assert evidence.findings == ()
    assert {m.name: m.estimate.value for m in evidence.measurements}["images"] == 1


def test_a_reference_that_is_none_is_refused() -> None:
    """As the registry's module does."""
    with pytest.raises(TargetError, match="'web:1' is no image's reference"):
        list(compare_images(Told(i1={}), [container()], ["web:1"], ()))
