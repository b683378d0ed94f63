"""Names of archives."""

from __future__ import annotations

import re

import pytest

from pytest_release.config.system import UUID
from pytest_release.packages.naming import ArchiveName, parse_name

ONE = "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11"


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
@pytest.mark.parametrize("timestamp", ["20261123", "20261123_101500", "20261123T101500Z"])
def test_a_name_says_uuid_and_time(suffix: str, timestamp: str) -> None:
    """Whatever the compression."""
    name = parse_name(f"{ONE}_v{timestamp}{suffix}", re.compile(UUID))

    assert name == ArchiveName(ONE, timestamp)


@pytest.mark.parametrize(
    "name",
    [
        f"{ONE}.tar.gz",
        f"{ONE}_v1.tar.gz",
        f"{ONE}_v20261123.zip",
        f"{ONE}_v20261123",
        f"{ONE[:-1]}_v20261123.tar.gz",
        f"x{ONE}_v20261123.tar.gz",
        f"{ONE}_v20261123/.tar.gz",
        "_v20261123.tar.gz",
        "",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    """A name that is only nearly one is none."""
    assert parse_name(name, re.compile(UUID)) is None


def test_a_system_has_its_own_uuids() -> None:
    """The pattern is the system's."""
    assert parse_name("ALFKI_v20261123.tar", re.compile("[A-Z]{5}")) == ArchiveName(
        "ALFKI", "20261123"
    )
