"""The text of an expression -> its nodes; see `_promql` for how much of PromQL that is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pytest_release.sandbox.rooms._promql_samples import NAME, Matcher, Selector

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+)(?![\w:])
    |(?P<range>\[\s*[\dsmhd]+\s*\])
    |(?P<name>[A-Za-z_:][\w:]*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>==|!=|=~|!~|>=|<=|[-+*/%(){},=<>]))""",
    re.VERBOSE,
)
SPAN = re.compile(r"(\d+)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LEVELS: tuple[tuple[str, ...], ...] = (
    ("==", "!=", ">", "<", ">=", "<="),
    ("+", "-"),
    ("*", "/", "%"),
)
COMPARED = LEVELS[0]
AGGREGATIONS = frozenset({"sum", "avg", "min", "max", "count"})
ARGUMENTS = {
    "time": 0,
    **dict.fromkeys(("vector", "timestamp", "absent", "rate", "increase"), 1),
    **dict.fromkeys((f"{name}_over_time" for name in sorted(AGGREGATIONS)), 1),
}


class PromError(ValueError):
    """What the real one calls bad_data."""


@dataclass(frozen=True)
class Call:
    """A function or an aggregation."""

    name: str
    arguments: tuple[Any, ...]
    keep: tuple[str, ...] | None = None
    drop: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Operation:
    """Two sides and what is between them."""

    sign: str
    left: Any
    right: Any
    truth: bool = False
    on: tuple[str, ...] | None = None
    ignoring: tuple[str, ...] = ()


@dataclass
class Parser:
    """Text -> nodes; a number is a float."""

    text: str
    tokens: list[tuple[str, str]] = field(default_factory=list)

    def parse(self) -> Any:  # noqa: ANN401 - a node
        """The whole text.

        Raises:
            PromError: There is something in it that is not known here.
        """
        at = 0
        text = self.text.rstrip()
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                raise PromError(f"{at}: parse error: unexpected {text[at : at + 10]!r}")
            self.tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            at = match.end()
        node = self._level(0)
        if self.tokens:
            raise PromError(f"parse error: unexpected {self.tokens[0][1]!r}")
        return node

    def _peek(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def _take(self, *wanted: str) -> str:
        """The next token if it is one of these, else nothing."""
        return self.tokens.pop(0)[1] if self._peek() in wanted else ""

    def _need(self, wanted: str) -> None:
        if not self._take(wanted):
            raise PromError(f"parse error: expected {wanted!r}, found {self._peek()!r}")

    def _level(self, level: int) -> Any:  # noqa: ANN401 - a node
        if level == len(LEVELS):
            return self._unary()
        left = self._level(level + 1)
        while sign := self._take(*LEVELS[level]):
            truth = bool(self._take("bool"))
            on = self._names() if self._take("on") else None
            ignoring = self._names() if self._take("ignoring") else ()
            left = Operation(sign, left, self._level(level + 1), truth, on, ignoring)
        return left

    def _unary(self) -> Any:  # noqa: ANN401 - a node
        if self._take("-"):
            return Operation("*", -1.0, self._unary())
        return self._primary()

    def _primary(self) -> Any:  # noqa: ANN401 - a node
        if self._take("("):
            inside = self._level(0)
            self._need(")")
            return inside
        if self._peek() == "{":
            return self._selector(())
        kind, word = self.tokens.pop(0) if self.tokens else ("", "")
        if kind == "number":
            return float(word)
        if kind != "name":
            raise PromError(f"parse error: unexpected {word or 'end of input'!r}")
        if word in AGGREGATIONS and self._peek() in ("(", "by", "without"):
            return self._aggregation(word)
        if self._peek() == "(":
            return self._call(word)
        return self._selector((Matcher(NAME, "=", word),))

    def _aggregation(self, word: str) -> Call:
        grouping = self._grouping()
        self._need("(")
        inside = self._level(0)
        self._need(")")
        keep, drop = grouping if any(g is not None for g in grouping) else self._grouping()
        return Call(word, (inside,), keep, drop)

    def _grouping(self) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        keep = self._names() if self._take("by") else None
        return keep, self._names() if self._take("without") else None

    def _names(self) -> tuple[str, ...]:
        self._need("(")
        names = []
        while not self._take(")"):
            names.append(self.tokens.pop(0)[1] if self.tokens else self._peek())
            if not self._take(",") and self._peek() != ")":
                raise PromError(f"parse error: unexpected {self._peek()!r} in grouping")
        return tuple(names)

    def _call(self, word: str) -> Call:
        if word not in ARGUMENTS:
            raise PromError(f"parse error: unknown function with name {word!r}")
        self._need("(")
        arguments = []
        while not self._take(")"):
            arguments.append(self._level(0))
            if not self._take(",") and self._peek() != ")":
                raise PromError(f"parse error: unexpected {self._peek()!r} in call")
        if len(arguments) != ARGUMENTS[word]:
            raise PromError(f"expected {ARGUMENTS[word]} argument(s) in call to {word!r}")
        return Call(word, tuple(arguments))

    def _selector(self, matchers: tuple[Matcher, ...]) -> Selector:
        found = list(matchers)
        if self._take("{"):
            while not self._take("}"):
                label = self.tokens.pop(0)[1] if self.tokens else ""
                sign = self._take("=", "!=", "=~", "!~")
                kind, text = self.tokens.pop(0) if self.tokens else ("", "")
                if not sign or kind != "text":
                    raise PromError(f"parse error: unexpected {text!r} in label matching")
                found.append(Matcher(label, sign, re.sub(r"\\(.)", r"\1", text[1:-1])))
                self._take(",")
        if self.tokens and self.tokens[0][0] == "range":
            return Selector(tuple(found), seconds(self.tokens.pop(0)[1][1:-1].strip()))
        return Selector(tuple(found))


def seconds(text: str) -> float:
    """``1m30s`` in seconds.

    Raises:
        PromError: It is no duration.
    """
    parts = SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PromError(f"parse error: not a valid duration string: {text!r}")
    return sum(int(number) * SECONDS[unit] for number, unit in parts)
