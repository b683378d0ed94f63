"""What the checks before a release work with: a stack's folder, its source, its registry."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import Any

from pytest_release.config.cases import CheckCase
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._answer import cut
from pytest_release.gates._patience import clocked
from pytest_release.gates._scene import Scene
from pytest_release.hostile import one_line
from pytest_release.redaction import Secret, reveal
from pytest_release.sampling import Sample
from pytest_release.targets.compose import SECRET, Compose, Rendered
from pytest_release.targets.git import Repository
from pytest_release.targets.registry import Login
from pytest_release.targets.settings import Setting, read_lines

NAMED = 10  # things that one finding names
WITH_PASSWORD = re.compile(
    r"://[^/@\s]*:[^/@\s]+@|[?&][\w-]*(?:key|token|secret|signature|sig|password)=", re.IGNORECASE
)
LONGEST = 2_000  # characters of a message
TEMPLATES = (".env.example", ".env.template", ".env.sample", "env.example")
_SALT = secrets.token_bytes(16)  # so that a fingerprint is worth nothing outside this run


def found(
    code: str,
    message: str,
    expected: str = "",
    received: str = "",
    severity: Severity = Severity.FAILURE,
) -> Finding:
    """A finding of this gate; what comes from files is cut and made harmless."""
    message = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
    texts = (one_line(text) for text in (message, cut(expected), cut(received)))
    return Finding(f"preflight.{code}", next(texts), severity, next(texts), next(texts))


def named(names: list[str]) -> str:
    """The first of some names, and how many there are more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(cut, names[:NAMED])) + more


def is_secret(key: str, value: str, others: frozenset[str] = frozenset()) -> bool:
    """Whether a value must not be shown, by its key, by a list of keys, or by a password in it."""
    last = key.rpartition(".")[2]
    return bool(key in others or SECRET.search(last) or WITH_PASSWORD.search(value))


def shown(value: str, *, secret: bool) -> str:
    """A value as a message shows it; of a secret its length, and by what it can be told apart."""
    if not secret:
        return repr(cut(value))
    if not value:
        return "nothing"
    mark = blake2b(value.encode(errors="replace"), digest_size=3, key=_SALT).hexdigest()
    return f"{len(value)} characters (#{mark})"


@dataclass
class Stack:
    """Read when it is asked for; each case has its own."""

    case: CheckCase
    scene: Scene
    figures: dict[str, list[Sample | float]] = field(default_factory=dict)

    def count(self, name: str, value: float) -> None:
        """A figure of the report."""
        self.figures[name] = [value]

    def option(self, name: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - as YAML has it
        """What the case says, any value of a variable revealed."""
        return _plain(self.case.options.get(name, otherwise))

    def expected(self, name: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - as YAML has it
        """What the case expects."""
        return self.case.expect.get(name, otherwise)

    def service(self, name: str) -> Mapping[str, Any]:
        """What the environment says of a service."""
        return _plain(dict(self.scene.environment.services.get(name, {})))  # type: ignore[no-any-return]

    def needed(self, service: str, key: str) -> str:
        """A key without which nothing can be looked at.

        Raises:
            TargetError: The environment does not say it.
        """
        given = self.service(service)
        if key not in given:
            source = self.scene.environment.source
            raise TargetError(f"{source} names no {key}: add services.{service}.{key}")
        return str(given[key])

    @property
    def production(self) -> bool:
        """Whether every service counts, and not the critical ones alone."""
        return self.scene.environment.role == "production"

    def counts(self, service: str) -> bool:
        """Whether a service is held to what production needs."""
        return self.production or service in self.option("critical", [])

    @property
    def directory(self) -> Path:
        """The folder that the stack runs from."""
        return Path(self.needed("compose", "directory"))

    @cached_property
    def compose(self) -> Compose:
        """The stack, as compose sees it."""
        given = self.service("compose")
        return Compose(
            self.directory,
            given.get("project", ""),
            tuple(given.get("files", ())),
            given.get("env_file", ""),
            tuple(given.get("command", ())),
        )

    @cached_property
    def rendered(self) -> Rendered:
        """With everything filled in; how long that took is a figure."""
        begun = monotonic()
        rendered = self.compose.rendered
        self.figures["compose_ms"] = [clocked((monotonic() - begun) * 1000)]
        self.count("services", len(rendered.services))
        return rendered

    @property
    def env_name(self) -> str:
        """The name of the stack's env file."""
        return self.compose.env_file or ".env"

    def env_before(self, release: Path) -> Path:
        """The env file of the last release."""
        name = Path(self.env_name)
        return release / (name.name if name.is_absolute() else name)

    @cached_property
    def settings(self) -> list[Setting]:
        """The lines of the env file."""
        return read_lines(self.directory / self.env_name)

    @property
    def source(self) -> Path:
        """The folder that the stack's folder is a copy of."""
        return self.repository_folder / self.needed("source", "stack")

    @property
    def template(self) -> Path:
        """What an env file is filled in from.

        Raises:
            TargetError: There is none.
        """
        given = self.option("template", self.service("source").get("template"))
        places = [self.source / given] if given else [self.source / name for name in TEMPLATES]
        for place in places:
            if place.is_file():
                return place
        tried = named([place.name for place in places])
        raise TargetError(f"{self.source} has no template of an env file: {tried}")

    @property
    def last_release(self) -> Path | None:
        """The folder of the release before; None where the environment names none.

        Raises:
            TargetError: It is named, and not there.
        """
        given = self.service("source").get("last_release")
        if given is None:
            return None
        folder = Path(str(given))
        if not folder.is_dir():
            advice = "restore it, or take last_release away if this is the first release"
            raise TargetError(f"{folder} is missing, the last release: {advice}")
        return folder

    @property
    def repository_folder(self) -> Path:
        """Where the sources are."""
        given = self.option("repository") or self.service("source").get("repository")
        given = given or self.service("workspace").get("repository")
        return Path(str(given or self.needed("source", "repository")))

    @cached_property
    def repository(self) -> Repository:
        """The sources' git repository."""
        return Repository(self.repository_folder)

    @property
    def login(self) -> Login | None:
        """Who asks the registry."""
        given = self.service("registry")
        if not {"host", "username", "password"} <= given.keys():
            return None
        return Login(given["host"], given["username"], Secret(given["password"]))


def _plain(value: Any) -> Any:  # noqa: ANN401 - as YAML has it
    if isinstance(value, Mapping):
        return {name: _plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return reveal(value) if isinstance(value, Secret) else value
