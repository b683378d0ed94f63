"""A large JSON object, most of which is one list, read item by item in bounded memory.

The grammar is that of Python's ``json`` scanner, without NaN and Infinity; a key that an object has
twice is refused. Only a few items, or one value beside the list, are in memory at a time.

Items are parsed many at once: a piece of text that ends where one item seems to end and the next
to begin, within brackets, is a list of whole items if it is JSON at all.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

_SPACE = re.compile(r"[ \t\n\r]*")
_BETWEEN = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
ENDS = (*",]}: \t\n\r",)  # what may follow a value; else a number may go on: 1. or 1e-
PIECE = 64 * 1024  # characters that are parsed at once


class JsonError(ValueError):
    """It is no JSON object of the kind that is read; the text says why and where."""


class TooLargeError(JsonError):
    """A value is larger than the limit."""


class JsonStream:
    """Reads one document.

    Args:
        blocks: Its bytes.
        limit: Characters of one value.

    Attributes:
        head: The document without its list, complete after `items`.
        found: The list was there.
    """

    def __init__(self, blocks: Iterator[bytes], limit: int) -> None:
        self._blocks, self._limit = blocks, limit
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._before = 0  # characters that are no longer in the text
        self._ended = False
        self._head_left = limit
        strict = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
        self._decode, self._decode_piece = strict.raw_decode, strict.decode
        self._decode_fast = json.JSONDecoder(parse_constant=_refuse_constant).decode
        self._joint = ""  # what stands between two items, with a character of each
        self.head: dict[str, Any] = {}
        self.found = False

    def items(self, path: Sequence[str]) -> Iterator[list[Any]]:
        """The items of the list at `path`, a few at a time; the rest is in `head` after them.

        Args:
            path: Keys, from the outermost; empty when there is no list.

        Raises:
            JsonError: The document is broken.
        """
        if self._peek() != "{":
            self._fail("is no JSON object")
        yield from self._object(self.head, path)
        if self._peek():
            self._fail("goes on behind its end")

    def _object(self, into: dict[str, Any], path: Sequence[str]) -> Iterator[list[Any]]:
        self._at += 1
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            key = self._key()
            if key in into or (len(path) == 1 and key == path[0] and self.found):
                self._fail(f"has the key {key[:60]!r} twice in one object")
            start = self._peek()
            if path and key == path[0] and start == "[" and len(path) == 1:
                self.found = True
                yield from self._list()
            elif path and key == path[0] and start == "{" and len(path) > 1:
                into[key] = {}
                yield from self._object(into[key], path[1:])
            else:
                into[key] = self._head_value()
            if self._separator("}"):
                return

    def _list(self) -> Iterator[list[Any]]:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self._piece() or [self._value()]
            text, end = self._text, self._at
            match = _BETWEEN.match(text, end)
            if match and text[match.end() : match.end() + 1] not in ("", "]"):
                self._at = match.end()
                self._joint = text[end - 1 : self._at + 1] if text[end - 1] == "}" else ""
            elif self._separator("]"):
                return

    def _piece(self) -> list[Any]:
        """As many items as are there in one piece; none when that cannot be said."""
        if not self._joint:
            return []
        end = self._text.rfind(self._joint, self._at, self._at + PIECE) + 1
        if not end:
            return []
        piece = self._text[self._at : end]
        try:
            items: list[Any] = self._decode_fast(f"[{piece}]")
            if not _surely_unique(items, piece):
                items = self._decode_piece(f"[{piece}]")
        except (ValueError, RecursionError):  # what is wrong, and where, is found item by item
            return []
        self._at = end
        return items

    def _key(self) -> str:
        if self._peek() != '"':
            self._fail("has no key where one must be")
        key = self._head_value()
        assert isinstance(key, str)
        if self._peek() != ":":
            self._fail(f"has no value of the key {key[:60]!r}")
        self._at += 1
        return key

    def _separator(self, end: str) -> bool:
        """Pass the comma, or the end of the list or object, and say whether it was the end."""
        character = self._peek()
        if character not in (",", end):
            self._fail(f"has neither a comma nor {end!r} where one must be")
        self._at += 1
        if character == "," and self._peek() == end:
            self._fail("has a comma too many")
        return character == end

    def _head_value(self) -> Any:  # noqa: ANN401 - JSON
        start = self._before + self._at
        value = self._value()
        self._head_left -= self._before + self._at - start
        if self._head_left < 0:
            message = f"has more than {self._limit} characters beside its list"
            raise TooLargeError(self._placed(message))
        return value

    def _value(self) -> Any:  # noqa: ANN401 - JSON
        self._peek()
        try:
            value, end = self._decode(self._text, self._at)
            if self._text[end : end + 1] in ENDS:
                self._at = end
                return value
        except (ValueError, RecursionError):
            pass  # it may be cut off where the text ends
        self._fill()
        try:
            value, end = self._decode(self._text, self._at)
        except RecursionError:
            self._fail("is nested too deeply")
        except json.JSONDecodeError as error:
            self._broken(error)
        except JsonError as error:
            self._fail(str(error))
        except ValueError:
            self._fail("holds a number of more digits than a number has")
        if end == len(self._text) and not self._ended:
            self._too_large()
        self._at = end
        return value

    def _broken(self, error: json.JSONDecodeError) -> NoReturn:
        if not self._ended and len(self._text) - self._at > self._limit:
            self._too_large()
        if self._ended and not self._text[self._at :].strip():
            self._fail("ends too early")
        message = error.msg[0].lower() + error.msg[1:]
        raise JsonError(f"is broken at character {self._before + error.pos}: {message}")

    def _too_large(self) -> NoReturn:
        raise TooLargeError(self._placed(f"has a value of more than {self._limit} characters"))

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _fill(self) -> None:
        """Have as much at hand as a value may have."""
        while len(self._text) - self._at <= self._limit and self._more():
            pass

    def _more(self) -> bool:
        if self._ended:
            return False
        block = next(self._blocks, b"")
        try:
            text = self._utf8.decode(block, final=not block)
        except UnicodeDecodeError as error:
            byte = f"{error.object[error.start]:#04x}"
            raise JsonError(self._placed(f"is not UTF-8: byte {byte}")) from None
        self._ended = not block
        self._before += self._at
        self._text, self._at = self._text[self._at :] + text, 0
        return not self._ended

    def _fail(self, message: str) -> NoReturn:
        raise JsonError(self._placed(message))

    def _placed(self, message: str) -> str:
        return f"{message} (at character {self._before + self._at})"


def _surely_unique(items: list[Any], text: str) -> bool:
    """No object has a key twice, for there are no more colons than keys."""
    try:
        return sum(map(len, items)) == text.count(":") and {*map(type, items)} == {dict}
    except TypeError:
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise JsonError(f"has the key {twice[:60]!r} twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"holds {name}, which JSON does not have")
