"""``${VAR}``, ``${VAR:-default}`` and ``${file:PATH}`` in the values of a document.

What comes from one of them is a secret, unless its key is known to be harmless: it becomes a
`Secret` and joins the values that are removed from every text; so does the password of an address,
wherever it came from. ``$${`` stands for a plain ``${``. All unset variables and unreadable files
of a document are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pytest_release.config.document import Document, Key
from pytest_release.errors import ConfigError, Problem
from pytest_release.redaction import Secret, basic_credentials

REFERENCE = re.compile(
    r"\$(?P<escaped>\$\{)"
    r"|\$\{file:(?P<path>[^}]+)\}"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-(?P<default>[^{}]*))?\}"
    r"|(?P<malformed>\$\{[^}]*\}?)"
)
SURROGATE = re.compile("[\ud800-\udfff]")  # how Python keeps bytes that are not UTF-8
# The password reaches to the last @, although a / would have to be escaped: rather too much.
USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<user>[^/?#:@]*):(?P<password>.+)@")

HARMLESS = frozenset(
    [
        "accept_encoding",
        "backup",
        "base_url",
        "collection",
        "commit",
        "database",
        "date",
        "directory",
        "docker_host",
        "header",
        "health",
        "last_release",
        "method",
        "name",
        "output",
        "packages",
        "path",
        "prefix",
        "project",
        "repository",
        "role",
        "schema",
        "scheme",
        "system",
        "username",
        "verify_tls",
        "version",
    ]
)


@dataclass(frozen=True)
class Resolved:
    """A document with its variables replaced.

    Attributes:
        document: Values are plain strings, for validation.
        secret_keys: The keys whose values came from a variable and are not harmless.
        secrets: The values to remove from any text.
    """

    document: Document = field(repr=False)
    secret_keys: frozenset[Key]
    secrets: frozenset[str] = field(repr=False)

    def sealed(self, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        """The value at `key`, its secret strings wrapped."""
        value = self.document.value
        for part in key:
            value = value[part]
        return self._seal(value, key)

    def _seal(self, value: Any, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, dict):
            return {name: self._seal(child, (*key, name)) for name, child in value.items()}
        if isinstance(value, list):
            return [self._seal(child, (*key, index)) for index, child in enumerate(value)]
        return Secret(value) if key in self.secret_keys else value


def resolve(document: Document, variables: Mapping[str, str]) -> Resolved:
    """Replace every reference in the document's strings.

    Raises:
        ConfigError: A variable is not set, a file cannot be read, or a reference is malformed.
    """
    resolver = _Resolver(document, variables)
    value = resolver.walk(document.value, ())
    if resolver.problems:
        raise ConfigError(*resolver.problems)
    replaced = Document(document.file, value, document.places)
    return Resolved(replaced, frozenset(resolver.secret_keys), frozenset(resolver.secrets))


class _Resolver:
    def __init__(self, document: Document, variables: Mapping[str, str]) -> None:
        self.document = document
        self.variables = variables
        self.problems: list[Problem] = []
        self.secret_keys: set[Key] = set()
        self.secrets: set[str] = set()

    def walk(self, value: Any, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, dict):
            return {name: self.walk(child, (*key, name)) for name, child in value.items()}
        if isinstance(value, list):
            return [self.walk(child, (*key, index)) for index, child in enumerate(value)]
        return self._string(value, key) if isinstance(value, str) else value

    def _string(self, text: str, key: Key) -> str:
        found: list[str] = []

        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            value = self._lookup(match, key)
            found.append(value)
            return value

        replaced = REFERENCE.sub(replace, text)
        listed = key[-2:-1] == ("images",) or key[-3:-1] == ("multipart", "files")
        harmless = key[-1] in HARMLESS or listed
        secrets = {*(() if harmless else found), *credentials(replaced)} - {""}
        self.secrets |= secrets
        if secrets and not harmless:
            self.secret_keys.add(key)
        return replaced

    def _lookup(self, match: re.Match[str], key: Key) -> str:
        if match["malformed"]:
            expected = "expected ${VAR}, ${VAR:-default} or ${file:PATH}"
            return self._problem(key, f"{match[0]} is no reference; {expected}")
        if match["path"]:
            return self._read(match["path"], key)
        name = match["name"]
        value = self.variables.get(name)
        if not value and match["fallback"]:
            return match["default"]
        if value and not SURROGATE.search(value):
            return value
        state = {None: "is not set", "": "is set to nothing"}.get(value, "is not UTF-8")
        remedy = f"set it (export {name}=...) or give it a default (${{{name}:-...}})"
        return self._problem(key, f"the variable {name} {state}; {remedy}")

    def _read(self, path: str, key: Key) -> str:
        file = self.document.place(key).file.parent / path
        try:
            text = file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            return self._problem(key, f"the file {file} cannot be read: {error.strerror}")
        except ValueError:  # a path with NUL, too, raises one
            return self._problem(key, f"the file {file} cannot be read: it is not UTF-8")
        return text or self._problem(key, f"the file {file} is empty")

    def _problem(self, key: Key, message: str) -> str:
        self.problems.append(self.document.problem(key, message))
        return ""


def credentials(address: str) -> tuple[str, ...]:
    """The password in an address, as it stands there, decoded, and as basic authorisation."""
    match = USERINFO.match(address)
    if match is None:
        return ()
    password = unquote(match["password"])
    return match["password"], password, basic_credentials(unquote(match["user"]), password)
