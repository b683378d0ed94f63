"""What answers over HTTP: the domain that users see, and the services behind it.

- A redirect is an answer of its own, and none that counts, unless the case allows the address that
  it leads to: a login or a parking page answers 200, too.
- The certificate must be the host's; where the case asks for TLS, one that nobody checks is none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from pytest_release.config.cases import CheckCase, HttpCase, Request
from pytest_release.config.environment import Environment
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._answer import cut
from pytest_release.gates._scene import Scene
from pytest_release.gates.basic import check_answer
from pytest_release.redaction import reveal
from pytest_release.sampling import Sample
from pytest_release.targets.http import Exchange, HttpTarget

MOST_BYTES = 4 * 1024 * 1024  # of a page
MOST_HOPS = 5
TIMEOUT_S = 10.0  # seconds for an answer, where the case says nothing else
_MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass
class Answers:
    """Asks one address again and again.

    Attributes:
        case: What is expected.
        environment: At the address where the case's path is asked for.
        redirects: Addresses that a redirect may lead to, whole or as paths of the same server.
        took: Of each answer, in ms.
    """

    case: CheckCase
    environment: Environment
    redirects: Collection[str] = ()
    took: list[Sample] = field(default_factory=list)
    _targets: dict[str, HttpTarget] = field(default_factory=dict)

    def look(self, left_s: float) -> list[Finding]:
        """What is wrong with the answer at this moment; told how many seconds there are left."""
        seconds = min(float(self.case.options.get("timeout_s", TIMEOUT_S)), left_s)
        base_url = self.environment.base_url or ""
        path = str(self.case.options.get("path", "/"))
        url = base_url + path
        for _ in range(MOST_HOPS + 1):
            exchange = self._target(base_url).send(_request(path, seconds))
            location = _location(exchange)
            if location is None:
                return self._judged(exchange, exchange.url)
            to = _joined(exchange.url, location)
            if not any(to == _joined(exchange.url, allowed) for allowed in self.redirects):
                return [_strayed(exchange, to or location, self.redirects)]
            base_url, path = _split(to)
        message = f"{url} redirects more than {MOST_HOPS} times"
        return [Finding("smoke.redirect", message)]

    def _target(self, base_url: str) -> HttpTarget:
        """Who is asked; another server is not told how requests are authorised."""
        if base_url not in self._targets:
            home = self.environment.base_url or ""
            own = _origin(base_url) == _origin(home)
            auth = self.environment.auth if own else None
            there = replace(self.environment, base_url=base_url, auth=auth)
            self._targets[base_url] = HttpTarget(there)
        return self._targets[base_url]

    def _judged(self, exchange: Exchange, url: str) -> list[Finding]:
        expect = {name: v for name, v in self.case.expect.items() if name not in ("lacks", "tls")}
        seen = HttpCase(
            id=self.case.id,
            gate="smoke",
            name=self.case.name,
            file=self.case.file,
            line=self.case.line,
            expect=expect,
            request=_request("/", 1.0),
        )
        found = [
            replace(
                each, code=each.code.replace("basic.", "smoke."), message=f"{url}: {each.message}"
            )
            for each in check_answer(seen, exchange)
        ]
        found += _unwanted(self.case.expect.get("lacks", ()), exchange, url)
        if self.case.expect.get("tls") and (wrong := self._unsafe(url)):
            found.append(Finding("smoke.tls", f"{url}: {wrong}", expected="https, verified"))
        if not found:
            self.took.append(exchange.total)
        return found

    def _unsafe(self, url: str) -> str:
        if not url.startswith("https://"):
            return "is not encrypted"
        if self.environment.verify_tls is False:
            return "its certificate is not verified: the environment says verify_tls: false"
        return ""

    @property
    def figures(self) -> Mapping[str, Sequence[Sample | float]]:
        """How long good answers took."""
        return {"latency_ms": self.took}


def answers_of(case: CheckCase, scene: Scene) -> Answers:
    """Where the case's answer comes from.

    Its ``service`` is one of the environment's with a ``url``, its ``url`` any address; without
    either it is the environment's own.

    Raises:
        TargetError: The environment has no such service, or no address.
    """
    environment, options = scene.environment, case.options
    redirects = [reveal(address) for address in options.get("redirects", ())]
    if "service" in options:
        name = options["service"]
        given = environment.services.get(name, {}).get("url")
        if not given:
            raise TargetError(f"{environment.source} names no {name}: add services.{name}.url")
        url = reveal(given).rstrip("/")
    elif "url" in options:
        url = reveal(options["url"]).rstrip("/")
    elif environment.base_url:
        return Answers(case, environment, redirects)
    else:
        raise TargetError(f"the environment {environment.name} has no base_url")
    return Answers(case, replace(environment, base_url=url, auth=None), redirects)


def _request(path: str, seconds: float) -> Request:
    return Request("GET", path, timeout_s=seconds, stall_s=seconds, max_bytes=MOST_BYTES)


def _location(exchange: Exchange) -> str | None:
    if exchange.status not in _MOVED:
        return None
    return next((value for name, value in exchange.headers if name == "location" and value), None)


def _joined(url: str, location: str) -> str:
    """Where a location leads from an address; empty for nowhere."""
    try:
        return urlsplit(urljoin(url, location))._replace(fragment="").geturl()
    except ValueError:
        return ""


def _split(url: str) -> tuple[str, str]:
    """An address's server, and what is asked of it."""
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="").geturl()
    return f"{parts.scheme}://{parts.netloc}", path or "/"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _strayed(exchange: Exchange, to: str, redirects: Collection[str]) -> Finding:
    expected = " or ".join(redirects) or "no redirect"
    message = f"{exchange.url} answers {exchange.status} and leads to {cut(to)!r}, "
    message += "which the case does not allow"
    return Finding("smoke.redirect", message, expected=expected, received=cut(to))


def _unwanted(texts: Iterable[str], exchange: Exchange, url: str) -> Iterator[Finding]:
    body = exchange.body.decode(errors="replace")
    lower = body.lower()
    for text in texts:
        if (at := lower.find(text.lower())) >= 0:
            shown = cut(body[max(at - 40, 0) : at + len(text) + 40])
            message = f"{url}: the body contains {text!r}, as another page than ours does"
            yield Finding("smoke.unwanted-text", message, expected=f"no {text!r}", received=shown)
