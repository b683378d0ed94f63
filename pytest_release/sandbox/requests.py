"""What a client sent, and what is wrong with it: a `Refused`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BODY = 8 * 1024 * 1024  # bytes
IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG, JPEG

DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
BIRTH = {"solar_date": DATE, "solar_time": r"([01]\d|2[0-3]):[0-5]\d", "gender": "male|female"}


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """The request is answered with this status and message, and `success: false`."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Request:
    """One HTTP request, its body read.

    Attributes:
        method: Upper case.
        path: Decoded, without the query.
        query: The last value of each parameter.
        content_type: As sent; empty when absent.
        body: At most `MAX_BODY` bytes.
        headers: By lower-case name.
    """

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            Refused: 400, it is none.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Refused(400, "the body must be a JSON object")
        return value

    def parts(self) -> dict[str, bytes]:
        """The parts of a ``multipart/form-data`` body by name (RFC 7578); none if it is no such."""
        boundary = re.search(r'boundary="?([^";]+)', self.content_type)
        if not boundary:
            return {}
        found = {}
        for part in self.body.split(b"--" + boundary[1].encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            if name := re.search(rb'name="([^"]*)"', head):
                found[name[1].decode(errors="replace")] = content.removesuffix(b"\r\n")
        return found


def check_birth(request: Request) -> None:
    """Refuse a body without a birth: solar_date, solar_time, gender, and date if it has one."""
    body = request.json()
    patterns = BIRTH | ({"date": DATE} if "date" in body else {})
    for key, pattern in patterns.items():
        value = body.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise Refused(400, f"{key}: must match {pattern}, got {value!r}")


def check_topic(request: Request) -> None:
    """Refuse a query with neither a category nor a question."""
    if not request.query.get("category") and not request.query.get("question"):
        raise Refused(400, "category or question: one of them must be given")


def check_image(request: Request) -> None:
    """Refuse a form without a PNG or a JPEG in its part `image`."""
    if not request.parts().get("image", b"").startswith(IMAGE_STARTS):
        raise Refused(400, "image: must be a PNG or JPEG in a multipart/form-data body")


def accept(_request: Request) -> None:
    """Refuse nothing."""
