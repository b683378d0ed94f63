"""Values that must not be seen: a `Secret` prints as ``***``, a `Redactor` removes it from text."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

MASK = "***"
SHORTEST = 4  # characters; a shorter value would mask ordinary words


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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (self._value,)


def reveal(value: str | Secret) -> str:
    """The plain string of a value that may be secret."""
    return value.reveal() if isinstance(value, Secret) else value


class Redactor:
    """Replaces known secret values in any text by ``***``.

    Each value is looked for as it is, as JSON writes it and as a URL quotes it, the longest first,
    so that a secret that contains another leaves nothing behind. Values shorter than 4 characters
    are not looked for.
    """

    def __init__(self, values: frozenset[str] = frozenset()) -> None:
        self.values = values
        spellings = {
            spelling
            for value in values
            if len(value) >= SHORTEST
            for spelling in (value, json.dumps(value)[1:-1], quote(value, safe=""))
        }
        ordered = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """`text` without any known secret."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def __repr__(self) -> str:
        return f"Redactor({len(self.values)} values)"
