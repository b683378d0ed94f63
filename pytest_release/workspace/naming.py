"""``YYYY-MM-DD_<topic>[_response|_test_report|_record].md``: what a document's name says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

LONGEST = 120  # characters of a topic
_DAY = r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
_TOPIC = rf"(?P<topic>[\w][\w.+-]{{0,{LONGEST - 1}}}?)"
_NAME = re.compile(rf"{_DAY}_{_TOPIC}(?P<kind>_response|_test_report|_record)?\.md")
_RELEASE = re.compile(r"v(?P<version>[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]{1,40})?)")


class Kind(StrEnum):
    """What a document is; the value is how its name ends."""

    REPORT = ""
    RESPONSE = "_response"
    TEST_REPORT = "_test_report"
    RECORD = "_record"


@dataclass(frozen=True)
class Name:
    """A name that fits.

    Attributes:
        day: The date it begins with.
        topic: Without the ending that says the kind.
    """

    day: date
    topic: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.day}_{self.topic}{self.kind}.md"


def read_name(text: str) -> Name | None:
    """What a file's name says; None when it does not fit."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    try:
        day = date.fromisoformat(match["day"])
    except ValueError:
        return None
    return Name(day, match["topic"], Kind(match["kind"] or ""))


def read_version(text: str) -> str | None:
    """The version of ``v1.2.3``; None when it is none."""
    match = _RELEASE.fullmatch(text)
    return match["version"] if match else None
