"""Values that must not be seen: a `Secret` prints as ``***``, a `Redactor` removes it from text."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from html import escape
from urllib.parse import quote

MASK = "***"
SHORTEST = 4  # characters; a shorter value would mask ordinary words
_ESCAPES = {" ": ("+",), "'": ("'\"'\"'", "&#39;")}  # by forms; by shlex.quote, by HTML in decimal


class Secret:
    """A string that masks itself in str, repr, format and tracebacks; `reveal()` is the way in."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (self._value,)


def reveal(value: str | Secret) -> str:
    """The plain string of a value that may be secret."""
    return value.reveal() if isinstance(value, Secret) else value


def basic_credentials(username: str, password: str) -> str:
    """The word that basic authorisation sends for both: as secret as the password."""
    return b64encode(f"{username}:{password}".encode()).decode()


class Redactor:
    """Replaces known secret values in any text by ``***``.

    A value is found however its characters are escaped: as they are, or as JSON, a URL, a form,
    HTML or a shell command writes them, each by itself. Values that overlap leave nothing behind.
    Values shorter than 4 characters are not looked for.
    """

    def __init__(self, values: frozenset[str] = frozenset()) -> None:
        self.values = values
        longest_first = sorted((v for v in values if len(v) >= SHORTEST), key=len, reverse=True)
        either = "|".join("".join(map(_spellings, value)) for value in longest_first)
        # Looking ahead finds what begins inside a match, too.
        self._pattern = re.compile(f"(?=({either}))") if either else None

    def __call__(self, text: str) -> str:
        """`text` without any known secret."""
        if self._pattern is None:
            return text
        parts: list[str] = []
        end = 0
        for match in self._pattern.finditer(text):
            if match.start(1) >= end:
                parts += text[end : match.start(1)], MASK
            end = max(end, match.end(1))
        return "".join((*parts, text[end:]))

    def __repr__(self) -> str:
        return f"Redactor({len(self.values)} values)"


def _spellings(character: str) -> str:
    """A pattern for one character of a secret, plain or escaped."""
    if character.isascii() and character.isalnum():
        return character
    escapes = {
        quote(character, safe="", errors="surrogatepass"),
        json.dumps(character)[1:-1],
        escape(character),
        f"\\{character}",
        *_ESCAPES.get(character, ()),
    }
    # The longest first: what is escaped may begin like what is not.
    ways = sorted(map(re.escape, escapes - {character}), key=len, reverse=True)
    return f"(?:(?i:{'|'.join(ways)})|{re.escape(character)})"
