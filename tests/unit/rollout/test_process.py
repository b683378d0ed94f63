"""Tests of `pytest_release.rollout.process` with real processes."""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from pytest_release.errors import RolloutError
from pytest_release.redaction import Redactor
from pytest_release.rollout.output import HEAD, TAIL
from pytest_release.rollout.process import Command, Ran, run
from pytest_release.rollout.processes import marked, start_time

BIG = 100_000_000


def ran(*argv: str, seconds: float = 10, **more: object) -> Ran:
    """A program, run."""
    return run(Command(argv, **more), time.monotonic() + seconds)  # type: ignore[arg-type]


def python(code: str, seconds: float = 10) -> Ran:
    """A program in Python, run."""
    return ran(sys.executable, "-S", "-c", code, seconds=seconds)


def test_output_and_status_are_told(tmp_path: Path) -> None:
    """Both streams, the folder, the variables and the input."""
    code = "import os,sys; print(os.getcwd(), os.environ['A'], sys.stdin.read(), flush=True); "
    done = ran(
        *(sys.executable, "-S", "-c", code + "print('wrong', file=sys.stderr); sys.exit(3)"),
        directory=tmp_path,
        env={"A": "b"},
        input=b"given",
    )

    assert done.status == 3
    assert done.output.text == f"{tmp_path} b given\nwrong\n"
    assert done.output.sha256 == sha256(done.output.text.encode()).hexdigest()
    assert done.output.last_line == "wrong"


def test_a_hundred_megabytes_are_read_and_not_kept() -> None:
    """The head, the tail, the size and the digest stay."""
    code = (
        f"import os\nprint('first')\nfor _ in range({BIG // 1_000_000}): os.write(1, b'x'*10**6)\n"
    )
    done = python(f"{code}print('last')".replace("print('first')", "os.write(1, b'first')"))

    output = done.output
    assert done.status == 0
    assert output.size == BIG + len("first") + len("last\n")
    assert output.head.startswith("first")
    assert output.last_line.endswith("last")
    assert len(output.head) == HEAD
    assert len(output.tail) == TAIL
    assert "bytes were not kept" in output.text


def test_one_that_hangs_is_ended_with_its_group() -> None:
    """Its children too; what it said before stays."""
    code = (
        "import subprocess,sys,time; child = subprocess.Popen(['sleep', '60']); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    began = time.monotonic()
    done = python(code, seconds=0.7)

    assert done.status is None
    assert time.monotonic() - began < 3
    assert start_time(int(done.output.text)) is None


def test_one_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a grace."""
    monkeypatch.setattr("pytest_release.rollout.process.GRACE_S", 0.2)
    code = "import signal,time; signal.signal(15, 1); print('on', flush=True); time.sleep(9)"

    done = python(code, seconds=0.7)

    assert (done.status, done.output.text) == (None, "on\n")


def test_what_goes_on_in_the_background_keeps_nothing_waiting() -> None:
    """Though it holds the output open; it is left alone."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '20']).pid)"
    began = time.monotonic()
    done = python(code)

    pid = int(done.output.text)
    assert done.status == 0
    assert time.monotonic() - began < 5
    assert start_time(pid) is not None
    os.kill(pid, 9)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("no-such-program",), r"^no-such-program cannot be started: No such file or directory$"),
        (("/",), r"^/ cannot be started: Permission denied$"),
        (("a\0b",), r"cannot be started: embedded null byte$"),
    ],
)
def test_one_that_cannot_be_started(argv: tuple[str, ...], message: str) -> None:
    """Says why."""
    with pytest.raises(RolloutError, match=message):
        ran(*argv)


def test_a_process_is_told_from_a_later_one() -> None:
    """By its start; and what was started is found by its mark."""
    seen: list[tuple[int, ...]] = []
    command = Command(("sleep", "0.1"), env={"MARK": "one"})

    run(command, time.monotonic() + 5, lambda pid: seen.append((pid, *marked("MARK", "one"))))

    assert seen[0][0] in seen[0][1:] or len(seen[0]) == 1  # its variables stand there after exec
    assert start_time(seen[0][0]) is None
    assert start_time(os.getpid()) == start_time(os.getpid())


def test_a_secret_across_a_cut_is_not_shown() -> None:
    """What lies beside a cut is left out."""
    secret = "s3cr3t-" * 6
    code = f"import os; os.write(1, b'x' * {HEAD - 20}); os.write(1, b'{secret}' * 5000)"
    output = python(code).output.masked(Redactor(frozenset({secret})))

    assert "s3cr3t" not in output.head
    assert set(output.tail.replace("***", "")) <= set(secret)
