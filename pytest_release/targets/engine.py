"""A container engine, asked over its API: which containers a project has, and what became of them.

Docker Engine API, https://docs.docker.com/reference/api/engine/ (podman answers it, too).

- Read-only: nothing but GET is ever sent. Whoever may write to the socket may do anything to the
  machine; this module cannot even start a container.
- Over a unix socket, or over TCP without TLS for an engine behind a tunnel.
- Bounded: in the time and size of an answer, and in the number of containers.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self
from urllib.parse import quote

from pytest_release.errors import TargetError
from pytest_release.hostile import one_line
from pytest_release.redaction import reveal
from pytest_release.targets._httpx import httpx
from pytest_release.targets.closing import Closing

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
ONE_OFF = "com.docker.compose.oneoff"

ANSWER_S = 10.0  # seconds that one answer may take
LARGEST = 8 * 1024 * 1024  # bytes of an answer
MOST_CONTAINERS = 500  # of a project
SHOWN = 300  # characters of what the engine says that are kept

ADDRESS = "expected unix:///path/to/docker.sock or tcp://host:port"
_VERSION = re.compile(r"\d{1,3}\.\d{1,4}", re.ASCII)
_TCP = re.compile(r"tcp://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})/?", re.ASCII)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Health:
    """What a container's own health check came to.

    Attributes:
        status: ``healthy``, ``unhealthy`` or ``starting``; empty when the engine says none.
        failing: Checks that failed in a row.
        said: What the last check printed, cut.
    """

    status: str
    failing: int = 0
    said: str = ""


@dataclass(frozen=True)
class Container:
    """One container as the engine sees it.

    Attributes:
        id: 64 hex digits.
        name: Without the leading slash.
        service: Of the project that it belongs to; empty when it has no such label.
        image: The reference it was created from.
        image_id: Of the image it runs.
        state: ``running``, ``exited``, ``restarting``, ``paused``, ``created``, ``dead``.
        exit_code: Of its last end.
        trouble: Why it could not be started, or that it ran out of memory; empty for none.
        started_at: As the engine writes it.
        restarts: How often the engine has started it again by itself.
        health: None when it has no health check.
    """

    id: str
    name: str
    service: str
    image: str
    image_id: str
    state: str
    exit_code: int
    trouble: str
    started_at: str
    restarts: int
    health: Health | None

    def __str__(self) -> str:
        return f"{self.name} (service {self.service or 'unknown'})"


class Engine(Closing):
    """A connection to an engine; `connect` makes one.

    Args:
        client: Sends to the engine and to nobody else.
        place: ``unix:///var/run/docker.sock``, for messages.
    """

    def __init__(self, client: httpx.Client, place: str) -> None:
        self._client = client
        self.place = place
        self._prefix = ""

    @classmethod
    def connect(cls, options: Mapping[str, Any]) -> Self:
        """Say where the engine is; it is asked for its version with the first question.

        Args:
            options: ``services.engine`` of an environment: ``docker_host``.

        Raises:
            TargetError: The address is none.
        """
        place = reveal(options.get("docker_host", "")).strip()
        return cls(_client(place), place)

    def __str__(self) -> str:
        return f"the engine at {self.place}"

    def containers(self, project: str, seconds: float = ANSWER_S) -> tuple[Container, ...]:
        """Every container of a project, stopped ones too, by name; none of ``compose run``.

        Args:
            project: Name of the compose project.
            seconds: That each answer may take.

        Raises:
            TargetError: The engine does not answer, or not as its API says.
        """
        label = f"{PROJECT}={project}"
        filters = json.dumps({"label": [label]}, separators=(",", ":"))
        query = {"all": "1", "filters": filters}
        listed = self._asked("/containers/json", query, seconds).get("list")
        if not isinstance(listed, list):
            raise TargetError(f"{self} does not answer with a list of containers")
        if len(listed) > MOST_CONTAINERS:
            raise TargetError(f"{self} lists more than {MOST_CONTAINERS} containers of {project}")
        found = (self._inspect(each, seconds) for each in listed)
        belonging = (c for c, labels in filter(None, found) if _belongs(labels, project))
        return tuple(sorted(belonging, key=lambda container: container.name))

    def digests(self, image_id: str, seconds: float = ANSWER_S) -> Mapping[str, frozenset[str]]:
        """What registries call an image: digests as 64 hex digits by repository.

        Empty for an image that was built here, and never pushed or pulled.

        Args:
            image_id: Of a container.
            seconds: That the answer may take.

        Raises:
            TargetError: The engine does not answer, or not as its API says.
        """
        answer = self._asked(f"/images/{quote(image_id, safe=':')}/json", {}, seconds)
        named = answer.get("RepoDigests") or []
        if not isinstance(named, list):
            raise TargetError(f"{self} gives no list of digests of the image {cut(image_id)}")
        found: dict[str, set[str]] = {}
        for each in named:
            repository, _, digest = str(each).partition("@")
            if match := _DIGEST.fullmatch(digest):
                found.setdefault(whole(repository), set()).add(match[1])
        return {repository: frozenset(digests) for repository, digests in found.items()}

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _inspect(
        self,
        listed: Any,  # noqa: ANN401 - any JSON value
        seconds: float,
    ) -> tuple[Container, Mapping[str, Any]] | None:
        """A container and its labels; None when it has gone since it was listed."""
        shown = "a container"
        try:
            identity = _text(listed, "Id")
            shown = f"the container {cut(identity[:12])}"
            answer = self._asked(f"/containers/{quote(identity, safe='')}/json", {}, seconds)
            return _container(answer), _mapping(_mapping(answer, "Config"), "Labels")
        except _MissingError:
            return None
        except _MalformedError as error:
            raise TargetError(f"{self} describes {shown} without {error}") from None

    def _asked(self, path: str, query: Mapping[str, str], seconds: float) -> Mapping[str, Any]:
        """An answer in the newest version of the API that the engine speaks."""
        if not self._prefix:
            version = self._get("/version", {}, seconds).get("ApiVersion")
            if not isinstance(version, str) or not _VERSION.fullmatch(version):
                raise TargetError(f"{self} names no version of its API: it is no Docker engine")
            self._prefix = f"/v{version}"
        return self._get(self._prefix + path, query, seconds)

    def _get(self, path: str, query: Mapping[str, str], seconds: float) -> Mapping[str, Any]:
        """The JSON object of an answer; a list is the member ``list`` of one."""
        with self._errors(seconds):
            self._knock(seconds)
            status, body = self._read(path, query, seconds)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if status != 200:
            said = answer.get("message", "") if isinstance(answer, dict) else ""
            kind = _MissingError if status == 404 else TargetError
            raise kind(f"{self} answers {status} to {path}: {cut(str(said)) or 'it says no more'}")
        if isinstance(answer, list):
            return {"list": answer}
        if not isinstance(answer, dict):
            raise TargetError(f"{self} does not answer with JSON to {path}: it is no Docker engine")
        return answer

    def _knock(self, seconds: float) -> None:
        """See that somebody listens: httpcore leaves the socket of a refused connection open."""
        if self.place.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(seconds)
                client.connect(self.place.removeprefix("unix://"))

    def _read(self, path: str, query: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
        body, ends = b"", monotonic() + seconds
        with self._client.stream("GET", path, params=query, timeout=seconds) as answer:
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > LARGEST:
                    raise TargetError(f"{self} answers more than {LARGEST} bytes to {path}")
                if monotonic() > ends:
                    raise TargetError(f"{self} has not answered {path} within {seconds:g} s")
            return answer.status_code, body

    @contextmanager
    def _errors(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise TargetError(f"{self} does not answer within {seconds:g} s") from None
        except (httpx.ConnectError, OSError) as error:
            advice = "see services.engine.docker_host, and that this user may use the socket"
            raise TargetError(f"{self} cannot be reached: {_said(error)}; {advice}") from None
        except httpx.HTTPError as error:
            raise TargetError(f"{self} does not speak HTTP: {_said(error)}") from None


class _MissingError(TargetError):
    """The engine knows no such thing."""


class _MalformedError(Exception):
    """An answer lacks what the API says it has; the text names it."""


def whole(repository: str) -> str:
    """A repository with its registry, as the short names of Docker Hub leave it out."""
    host, slash, rest = repository.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return f"docker.io/{rest}" if host == "index.docker.io" else repository
    return f"docker.io/{repository}" if slash else f"docker.io/library/{repository}"


def cut(text: str) -> str:
    """What the engine said, harmless, on one line, and not too much of it."""
    shown = one_line(text.strip())
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _client(place: str) -> httpx.Client:
    # A connection for each question: an engine may have closed an idle one between two looks.
    limits = httpx.Limits(max_keepalive_connections=0)
    if place.startswith("unix:///"):
        transport = httpx.HTTPTransport(uds=place.removeprefix("unix://"), limits=limits)
        return httpx.Client(transport=transport, base_url="http://engine", trust_env=False)
    if match := _TCP.fullmatch(place):
        base_url = f"http://{match[1]}:{match[2]}"
        return httpx.Client(base_url=base_url, limits=limits, trust_env=False)
    got = f"got {place!r}: " if place else ""
    raise TargetError(f"services.engine.docker_host is no engine's address: {got}{ADDRESS}")


def _said(error: Exception) -> str:
    """The system's words, if there are any; httpcore wraps them."""
    wrapped = error.__cause__ or error
    origin = error if isinstance(error, OSError) else wrapped.args[0] if wrapped.args else None
    return cut(getattr(origin, "strerror", None) or str(error) or type(error).__name__)


def _belongs(labels: Mapping[str, Any], project: str) -> bool:
    return labels.get(PROJECT) == project and str(labels.get(ONE_OFF, "False")).lower() != "true"


def _container(answer: Mapping[str, Any]) -> Container:
    config, state = _mapping(answer, "Config"), _mapping(answer, "State")
    trouble = cut(str(state.get("Error") or ""))
    if state.get("OOMKilled") is True:
        trouble = "it ran out of memory"
    return Container(
        id=_text(answer, "Id"),
        name=cut(_text(answer, "Name").removeprefix("/")),
        service=cut(str(_mapping(config, "Labels").get(SERVICE, ""))),
        image=cut(_text(config, "Image")),
        image_id=_text(answer, "Image"),
        state=cut(_text(state, "Status")),
        exit_code=_number(state, "ExitCode"),
        trouble=trouble,
        started_at=cut(_text(state, "StartedAt")),
        restarts=_number(answer, "RestartCount"),
        health=_health(config.get("Healthcheck"), state.get("Health")),
    )


def _health(configured: Any, told: Any) -> Health | None:  # noqa: ANN401 - any JSON value
    """What became of a health check that was configured; None without one.

    A check that was configured and of which the engine says nothing is no good sign.
    """
    test = configured.get("Test") if isinstance(configured, dict) else None
    if not isinstance(told, dict):
        told = {}
    status = str(told.get("Status") or "")
    if status in ("", "none") and not (isinstance(test, list) and test and test[0] != "NONE"):
        return None
    log = told.get("Log")
    last = log[-1] if isinstance(log, list) and log else {}
    said = str(last.get("Output", "")) if isinstance(last, dict) else ""
    failing = told.get("FailingStreak")
    streak = failing if isinstance(failing, int) else 0
    return Health("" if status == "none" else cut(status), streak, cut(said))


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if found is None and name == "Labels":  # null when there are none
        return {}
    if not isinstance(found, dict):
        raise _MalformedError(name)
    return found


def _text(value: Any, name: str) -> str:  # noqa: ANN401 - any JSON value
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise _MalformedError(name)
    return found


def _number(value: Mapping[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise _MalformedError(name)
    return found
