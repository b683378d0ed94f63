"""Tests of `pytest_release.atomic`."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release import atomic
from pytest_release.atomic import (
    canonical_json,
    fsync_folder,
    sha256_of,
    write_bytes,
    write_new,
)


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_is_written_with_its_mode(tmp_path: Path, mode: int) -> None:
    """The mode is the one asked for, whatever the process's umask."""
    before = os.umask(0o077)
    try:
        write_bytes(tmp_path / "file", b"content", mode)
    finally:
        os.umask(before)

    assert (tmp_path / "file").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content takes the old one's place, and nothing else is left in the folder."""
    (tmp_path / "file").write_bytes(b"old and longer")

    write_bytes(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - hidden names too


def test_what_is_renamed_is_on_disk_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the content is made durable, then the name appears, then the name is made durable."""
    path = tmp_path / "file"
    seen: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: seen.append((stat.S_ISDIR(os.fstat(fd).st_mode), path.exists())),
    )

    write_bytes(path, b"content")

    assert seen == [(False, False), (True, True)]


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    """What is there stays, a link that leads nowhere too; no temporary file is left."""
    write_new(tmp_path / "file", b"first", 0o600)
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError, match="File exists"):
            write_new(tmp_path / name, b"second")

    assert (tmp_path / "file").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]  # noqa: PTH208 - hidden names too


def test_a_failed_write_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old content stays and the temporary file goes, even when interrupted."""
    (tmp_path / "file").write_bytes(b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt("now")

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt, match="now"):
        write_bytes(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - hidden names too


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    """Whoever writes says what the folder was for."""
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        write_bytes(tmp_path / "absent" / "file", b"content")
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        fsync_folder(tmp_path / "absent")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [1, 2.5, True, None]}, '{"a":[1,2.5,true,null],"b":1}'),
        ({"é": "中\n\x00\u2028"}, '{"é":"中\\n\\u0000\u2028"}'),
        ({"10": 1, "9": 2, "": 3}, '{"":3,"10":1,"9":2}'),
        ("</script>", '"</script>"'),
    ],
)
def test_canonical_json_has_one_form(value: object, expected: str) -> None:
    """Keys sorted, no spaces, UTF-8."""
    assert canonical_json(value) == expected.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_canonical_json_refuses_what_json_cannot_say(value: object) -> None:
    """No digest is taken of what another parser would read differently."""
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        canonical_json(value)


def test_canonical_json_refuses_half_a_character() -> None:
    """Nor of what UTF-8 cannot write."""
    with pytest.raises(ValueError, match="surrogates not allowed"):
        canonical_json("\ud800")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\u00e9\U0001f600"), inner),
    max_leaves=10,
)  # fmt: skip


@given(value=JSON)
def test_canonical_json_is_read_back_and_stays_the_same(value: Any) -> None:  # noqa: ANN401 - JSON
    """It loses nothing, and the canonical form of what was read is the same bytes."""
    data = canonical_json(value)

    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 20])
def test_a_digest_is_that_of_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """However many chunks it is read in."""
    monkeypatch.setattr(atomic, "CHUNK", 8)
    data = bytes(range(size))
    (tmp_path / "file").write_bytes(data)

    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()
