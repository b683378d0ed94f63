"""Files that are either whole or absent, and the bytes that digests are taken of."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from tempfile import mkstemp
from typing import Any

CHUNK = 1024 * 1024  # bytes read at a time when hashing


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` to `path` so that a reader sees the old content or the new, never half.

    Writes a temporary file beside it, fsyncs, renames, and fsyncs the folder.

    Raises:
        OSError: The folder cannot be written; `path` is then unchanged.
    """
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """`write_bytes` for a file that must not be there yet: it appears whole, and replaces nothing.

    Raises:
        FileExistsError: Something of that name is there; it is unchanged.
        OSError: The folder cannot be written.
    """
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        path.hardlink_to(temporary)  # a rename would replace
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Encode a JSON value to the one sequence of bytes that is hashed and signed.

    Keys sorted, no spaces, UTF-8, no NaN; floats as Python's shortest repr. The same rules as
    RFC 8785 but for the number format, which no digest here depends on.

    Raises:
        ValueError: The value contains NaN or an infinity.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 lower-case hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
