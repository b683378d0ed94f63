"""Reading takes little memory, however large a package is; measured in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.packages.forge import FIXTURES, NAME, UUID, compressed, dump, header, rows

MIB = 1024**2
MOST = 128  # MiB
SCRIPT = """
import sys
from pathlib import Path
from pytest_release.config.systems import load_system
from pytest_release.packages.limits import Limits
from pytest_release.packages.reading import read_package

system = load_system(Path(sys.argv[2]), "momentry", {})
package = read_package(Path(sys.argv[1]), system, Limits(ratio=float("inf")))
status = Path("/proc/self/status").read_text()  # not getrusage, which knows of the parent, too
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
print(sum(member.size for member in package.members.values()) // 1024**2)
print(package.complete)
print(sorted({flaw.code for flaw in package.flaws} - {"missing-member"}))
"""


def measured(path: Path) -> list[str]:
    """Peak memory in MiB, content in MiB, whether it was complete, and the flaws."""
    command = [sys.executable, "-c", SCRIPT, str(path), str(FIXTURES)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def written(folder: Path, *parts: tuple[bytes, int]) -> Path:
    """A compressed archive of pieces, each so many times; a compressed piece may be repeated."""
    path = folder / f"{NAME}.gz"
    with path.open("wb") as file:
        for piece, times in parts:
            packed = compressed(piece, ".gz")
            for _ in range(times):
                file.write(packed)
    return path


def test_a_package_of_three_gigabytes(tmp_path: Path) -> None:
    """A table, a sidecar and a video, made on the fly from a few hundred kilobytes."""
    start, lines = (
        dump("face_detections", [])[:-3],
        "".join(f"{row}\n" for row in rows("face_detections") * 64),
    )
    item = b'{"frame": 1, "class": "dog", "confidence": 0.5},\n'
    opening, closing = b'{"file_uuid": "%b", "detections": [' % UUID.encode(), item[:-2] + b"]}"
    table = len(start) + 180 * len(lines) + 3
    sidecar = len(opening) + 800_000 * len(item) + len(closing)
    video = 3 * 1024 * MIB
    path = written(
        tmp_path,
        (header(f"{UUID}/sql/dev_face_detections.sql", table) + start, 1),
        (lines.encode(), 180),
        (b"\\.\n" + bytes(-table % 512), 1),
        (header(f"{UUID}/{UUID}.yolo.json", sidecar) + opening, 1),
        (item * 20_000, 40),
        (closing + bytes(-sidecar % 512), 1),
        (header(f"{UUID}/movie.mp4", video) + b"\0\0\0\x14ftypisom", 1),
        (bytes(16 * MIB), 192),
        (bytes(1024 - 12), 1),
    )
    memory, content, complete, flaws = measured(path)

    assert int(memory) < MOST
    assert int(content) > 3 * 1024
    assert (complete, flaws) == ("True", "[]")


@pytest.mark.parametrize(
    ("name", "start", "code"),
    [
        ("sql/dev_chunk.sql", dump("chunk", [])[:-3], "line-too-long"),
        ("sql/dev_chunk.sql", b"", "line-too-long"),
        (f"{UUID}.face.json", b'{"faces": ["', "too-large"),
        ("file_info.json", b'{"x": "', "not-json"),
    ],
)
def test_one_line_of_a_gigabyte(name: str, start: bytes, code: str, tmp_path: Path) -> None:
    """In a dump, within its data and outside, in a sidecar, and in a document."""
    size = len(start) + 1024 * MIB
    path = written(
        tmp_path,
        (header(f"{UUID}/{name}", size) + start, 1),
        (b"x" * 16 * MIB, 64),
        (bytes(-size % 512 + 1024), 1),
    )
    memory, content, complete, flaws = measured(path)

    assert int(memory) < MOST
    assert int(content) == 1024
    assert complete == "True"
    assert code in flaws


def test_a_million_members(tmp_path: Path) -> None:
    """They are not counted to their end, nor kept."""
    names = b"".join(header(f"{UUID}/{number:06}", 0) for number in range(10_000))
    path = written(tmp_path, (names, 100), (bytes(1024), 1))
    memory, content, complete, flaws = measured(path)

    assert int(memory) < MOST
    assert (int(content), complete) == (0, "False")
    assert "too-many-members" in flaws
