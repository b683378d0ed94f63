"""Tests of `pytest_release.history.book`: locks, appending, and what a killed writer leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from pytest_release.errors import HistoryError
from pytest_release.history import Entry, History, anchors_of, book, verify
from pytest_release.history.lines import LARGEST, MOST_TORN, Torn, append_bytes
from pytest_release.history.record import make_record
from tests.unit.history.conftest import NOW, entry, spy

WRITERS = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from pytest_release.history import Entry, History

history = History(Path(sys.argv[1]))
gate, opened = os.pipe()
for name in range(16):
    if os.fork() == 0:
        os.close(opened)
        os.read(gate, 1)  # until all are there
        for number in range(20):
            words = {"stack": str(name), "env": "prod", "action": "deploy", "status": "success"}
            history.append(Entry(version=str(number), **words), datetime.now(UTC))
        os._exit(0)
os.close(opened)
sys.exit(any(os.wait()[1] for _ in range(16)))
"""
KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from pytest_release.history import Entry, History

write = os.write
def half(descriptor, data):
    write(descriptor, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = half
entry = Entry(stack="shop", env="prod", action="deploy", version="2", status="success")
History(Path(sys.argv[1])).append(entry, datetime.now(UTC))
"""
FULL = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from pytest_release.history import Entry, History

path = Path(sys.argv[1])
limit = path.stat().st_size + 100
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
entry = Entry(stack="shop", env="prod", action="deploy", version="2", status="success")
History(path).append(entry, datetime.now(UTC))
"""


def run(script: str, path: Path) -> tuple[int, str]:
    """The exit status of a process, and what it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made durable: hundreds of files are written."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def test_the_first_record_makes_the_file(path: Path) -> None:
    """For all to read, whatever the umask."""
    umask = os.umask(0o077)
    try:
        written = History(path).append(entry("1"), NOW)
    finally:
        os.umask(umask)

    assert path.read_bytes() == written.record.line
    assert path.stat().st_mode & 0o777 == 0o644
    assert written.repair is None


def test_an_existing_file_keeps_its_mode(path: Path) -> None:
    """It may be meant for one alone."""
    path.touch(0o600)
    History(path).append(entry("1"), NOW)

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_locked_history_is_read_and_then_written(path: Path) -> None:
    """So that nobody uses the same nonce in between."""
    with History(path).locked() as held:
        assert held.records() == ()
        first = held.append(entry("1", nonces=["a"]), NOW).record
        assert held.records() == (first,)
        second = held.append(entry("2"), NOW).record

    assert verify(path).records == (first, second)


def test_a_book_is_closed_with_its_lock(path: Path) -> None:
    """Later it neither reads nor writes, whatever its descriptor has become."""
    with History(path).locked() as held:
        held.append(entry("1"), NOW)

    with pytest.raises(HistoryError, match=r"history.jsonl cannot be read: Bad file descriptor$"):
        held.append(entry("2"), NOW)
    with pytest.raises(HistoryError, match=r"history.jsonl cannot be read: Bad file descriptor$"):
        held.records()


def test_sixteen_writers_make_one_chain(path: Path) -> None:
    """No line is lost, and each writer's are in their order."""
    assert run(WRITERS, path) == (0, "")

    records = verify(path).records
    seen: Counter[str] = Counter()
    for record in records:
        assert record.version == str(seen[record.stack])
        seen[record.stack] += 1
    assert seen == {str(number): 20 for number in range(16)}


def test_kill_in_the_middle_of_a_write_is_reported_and_repaired(path: Path) -> None:
    """The record that was whole stays, and what is left of the other is named."""
    first = History(path).append(entry("1"), NOW).record
    assert run(KILLED, path) == (-signal.SIGKILL, "")
    rest = path.read_bytes().removeprefix(first.line)
    assert 100 < len(rest) < 200

    with pytest.raises(
        HistoryError,
        match=rf"history.jsonl, line 2: torn: a write was cut off after {len(rest)} bytes; run: ",
    ):
        verify(path)
    written = History(path).append(entry("3"), NOW)

    assert written.repair is not None
    assert written.repair.torn == (Torn(sha256(rest).hexdigest(), len(rest)),)
    assert str(written.repair) == (
        f"a write was cut off; record 2 names what is left: {len(rest)} bytes "
        f"(sha256 {sha256(rest).hexdigest()})"
    )
    assert path.read_bytes().startswith(first.line + rest + b"\n")
    assert [record.version for record in verify(path).records] == ["1", "-", "3"]


def test_a_full_disk_is_an_error_and_repaired_later(path: Path) -> None:
    """The kernel took a part: the writer says so, and the next one records it."""
    History(path).append(entry("1"), NOW)
    status, error = run(FULL, path)
    assert status == 1
    assert f"HistoryError: {path} cannot be written: only 100 of " in error

    written = History(path).append(entry("2"), NOW)

    assert written.repair is not None
    assert [line.length for line in written.repair.torn] == [100]
    assert verify(path).count == 3


@pytest.mark.usefixtures("fast")
def test_every_cut_is_repaired(path: Path) -> None:
    """At whatever byte a writer was killed, no record before is lost, and nothing is removed."""
    first = make_record(None, entry("1"), NOW)
    second = make_record(first, entry("2", "grüße"), NOW)
    for cut in range(1, len(second.line)):
        left = first.line + second.line[:cut]
        path.write_bytes(left)
        with pytest.raises(HistoryError, match=r"line 2: torn: "):
            verify(path)
        written = History(path).append(entry("3"), NOW)

        assert path.read_bytes().startswith(left + b"\n")
        versions = [record.version for record in verify(path).records]
        assert written.repair is not None
        if cut == len(second.line) - 1:
            assert versions == ["1", "2", "3"]
            assert str(written.repair).startswith("the last record lacked its line feed and noth")
        else:
            assert versions == ["1", "-", "3"]


@pytest.mark.usefixtures("fast")
def test_every_cut_of_a_repair_is_repaired(path: Path) -> None:
    """A repair may be killed as well: the next one names what both left."""
    first = make_record(None, entry("1"), NOW)
    path.write_bytes(first.line + b'{"act')
    repair = History(path).repair(NOW)
    assert repair is not None
    assert repair.record is not None
    whole = path.read_bytes()
    for cut in range(len(first.line) + 6, len(whole) - 1):
        path.write_bytes(whole[:cut])
        again = History(path).repair(NOW)

        assert again is not None
        assert path.read_bytes().startswith(whole[:cut])
        torn = 1 if cut <= len(first.line) + 6 else 2
        assert len(again.torn) == torn
        assert [record.action for record in verify(path).records] == ["promote", "repair"]


def test_the_first_record_may_be_torn(path: Path) -> None:
    """The repair is the first record then."""
    path.write_bytes(b"{")
    written = History(path).append(entry("1"), NOW)

    assert written.record.sequence == 2
    assert verify(path).repairs[0].sequence == 1


def test_a_locked_history_is_read_while_its_end_is_torn(path: Path, lines: list[bytes]) -> None:
    """What is torn was never a record; it is repaired when something is written."""
    with path.open("ab") as stream:
        stream.write(lines[0][:50])
    with History(path).locked() as held:
        assert held.chain().count == 5
        assert [line.length for line in held.chain().torn] == [50]
        assert held.append(entry("5"), NOW).repair is not None

    assert verify(path).count == 7


def test_nothing_to_repair(path: Path, lines: list[bytes]) -> None:
    """Nothing is written."""
    before = path.read_bytes()

    assert History(path).repair(NOW) is None
    assert path.read_bytes() == before
    assert len(lines) == 6


def test_a_record_without_its_line_feed_is_whole(path: Path) -> None:
    """It is said, and completed."""
    path.write_bytes(make_record(None, entry("1"), NOW).line[:-1])

    with pytest.raises(HistoryError, match=r"line 1: torn: it lacks its line feed; run: "):
        verify(path)
    assert History(path).repair(NOW) is not None
    assert verify(path).count == 1


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_changed_end_is_not_taken_for_torn(path: Path, end: bytes) -> None:
    """What is whole JSON was not cut off; nothing is written after it."""
    line = make_record(None, entry("1.4.2"), NOW).line.replace(b"1.4.2", b"1.4.3")
    path.write_bytes(line.removesuffix(b"\n") + end)

    message = r"history.jsonl, at its end: changed: its hash is not that of its content$"
    with pytest.raises(HistoryError, match=message):
        History(path).append(entry("2"), NOW)
    assert path.read_bytes() == line.removesuffix(b"\n") + end


def test_appending_reads_the_end_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the history is."""
    record = make_record(None, entry(notes="x" * 1000), NOW)
    path.write_bytes(b"not looked at\n" * 100_000 + record.line)
    calls = spy(monkeypatch, "pread")

    assert History(path).append(entry("2"), NOW).record.previous == record.hash
    assert [arguments[1] for _, arguments in calls] == [64 * 1024]


def test_a_long_line_is_read_whole(path: Path) -> None:
    """The part of the end that is read grows until it holds one."""
    history = History(path)
    history.append(entry("1", "x" * 900_000), NOW)
    history.append(entry("2", "y" * 70_000), NOW)

    assert history.append(entry("3"), NOW).record.sequence == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((b"x" * (LARGEST - 1) + b"\n") * 9, "nothing in its last 8388608 bytes is a whole line"),
        (b"x" * LARGEST, "it has more than 1048576 bytes"),
        (b"x\n" * (MOST_TORN + 1), "its last 1000 lines are not whole"),
    ],
)
def test_what_was_never_a_history_is_not_repaired(path: Path, content: bytes, message: str) -> None:
    """Somebody's other file perhaps."""
    path.write_bytes(make_record(None, entry(), NOW).line + content)

    with pytest.raises(HistoryError, match=f"history.jsonl, at its end: changed: {message}$"):
        History(path).append(entry("2"), NOW)


def test_a_repair_is_not_an_entry(path: Path) -> None:
    """Only the history knows what was torn."""
    forged = Entry(stack="a", env="b", action="repair", version="c", status="success")

    with pytest.raises(HistoryError, match=r"^the action 'repair' is written by the history"):
        History(path).append(forged, NOW)


def test_what_cannot_be_written_leaves_the_file_as_it_is(path: Path, lines: list[bytes]) -> None:
    """Not even a repair is made before it is known."""
    with path.open("ab") as stream:
        stream.write(lines[0][:50])
    before = path.read_bytes()

    with pytest.raises(HistoryError, match=r"^the entry cannot be written as JSON: "):
        History(path).append(entry(rate=float("inf")), NOW)
    assert path.read_bytes() == before


def test_a_history_does_not_begin_anew_beside_its_anchors(path: Path) -> None:
    """They say that there was another."""
    anchors_of(path).touch()

    message = r"history.jsonl holds no record, though .*history.jsonl.anchors says that it did"
    with pytest.raises(HistoryError, match=message):
        History(path).append(entry("1"), NOW)


def test_a_lock_is_not_waited_for_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by writers nor by readers."""
    monkeypatch.setattr(book, "PATIENCE", 0)
    history = History(path)
    with history.locked():
        message = r"history.jsonl is locked by another process, for more than 0 seconds$"
        with pytest.raises(HistoryError, match=message):
            history.append(entry("1"), NOW)
        with pytest.raises(HistoryError, match=message):
            verify(path)

    assert verify(path).count == 0


def test_readers_do_not_wait_for_one_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for one who wants to be alone."""
    monkeypatch.setattr(book, "PATIENCE", 0)
    History(path).append(entry("1"), NOW)
    with History(path).reading() as chain:
        assert verify(path) == chain
    with (
        History(path).reading(alone=True),
        pytest.raises(HistoryError, match=r"is locked by another process"),
    ):
        verify(path)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("absent/history.jsonl", "No such file or directory"),
        ("file/history.jsonl", "Not a directory"),
        ("folder", "Is a directory"),
        ("fifo", "it is not a plain file"),
    ],
)
def test_where_nothing_can_be_written(tmp_path: Path, place: str, reason: str) -> None:
    """One sentence says why."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(HistoryError, match=f"{place} cannot be written: {reason}$"):
        History(tmp_path / place).append(entry("1"), NOW)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("absent.jsonl", "cannot be read: No such file or directory"),
        ("folder", "cannot be read: it is not a plain file"),
        ("fifo", "cannot be read: it is not a plain file"),
    ],
)
def test_where_nothing_can_be_read(tmp_path: Path, place: str, reason: str) -> None:
    """Reading makes no file."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(HistoryError, match=f"{place} {reason}$"):
        verify(tmp_path / place)
    assert not (tmp_path / "absent.jsonl").exists()


def test_a_read_only_file_is_read_and_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's refusal is given by hand, since root is refused nothing."""
    History(path).append(entry("1"), NOW)
    opened = os.open

    def read_only(name: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return opened(name, flags, mode)

    monkeypatch.setattr(os, "open", read_only)

    assert verify(path).count == 1
    with pytest.raises(HistoryError, match=r"history.jsonl cannot be written: Permission denied$"):
        History(path).append(entry("2"), NOW)


@pytest.mark.parametrize(
    ("call", "module", "message"),
    [("flock", "fcntl", "locked"), ("fsync", "os", "written"), ("pread", "os", "read")],
)
def test_a_call_that_fails_is_one_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, module: str, message: str
) -> None:
    """Whichever it is."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(f"{module}.{call}", fail)

    with pytest.raises(HistoryError, match=f"history.jsonl cannot be {message}: Input/output err"):
        History(path).append(entry("1"), NOW)


def test_a_record_is_one_write_and_durable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first with its folder, too."""
    calls = spy(monkeypatch, "write", "fsync")
    History(path).append(entry("1"), NOW)
    History(path).append(entry("2"), NOW)

    assert [name for name, _ in calls] == ["write", "fsync", "fsync", "write", "fsync"]


def test_a_part_is_not_a_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says how much of it was taken."""
    monkeypatch.setattr(os, "write", lambda _, data: len(data) - 1)
    with path.open("wb") as stream, pytest.raises(OSError, match=r"only 3 of 4 bytes were taken"):
        append_bytes(stream.fileno(), b"abc\n", path.parent)
