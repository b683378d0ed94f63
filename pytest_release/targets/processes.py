"""Programs of this machine that are asked something: bounded in time and size, never by a shell.

A program is started with a list of arguments in a session of its own, so that it is stopped with
all that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer

from pytest_release.errors import TargetError

SAID = 64 * 1024  # bytes of standard error that are read


@dataclass(frozen=True)
class Question:
    """What a program is asked.

    Attributes:
        command: Its name and arguments.
        what: Names it in messages: ``git status in /srv/app``.
        environment: All of its variables.
        folder: Where it is started; None for this process's own.
        stdin: What it reads.
        timeout_s: Seconds that it has.
        largest: Bytes of its answer, at most.
    """

    command: Sequence[str]
    what: str
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None = None
    stdin: bytes = field(default=b"", repr=False)
    timeout_s: float = 20.0
    largest: int = 8 * 1024 * 1024


def ask(question: Question) -> tuple[int, bytes, str]:
    """Exit status, answer, and what it said of errors; neither is redacted.

    Raises:
        TargetError: It cannot be started, answers too much, or not in time.
    """
    with TemporaryFile() as given, TemporaryFile() as errors:
        given.write(question.stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - a list, and never a shell
                list(question.command),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(question.environment),
                cwd=question.folder,
                start_new_session=True,  # so that it is stopped with all that it started
            )
        except OSError as error:
            name = question.command[0]
            raise TargetError(f"{name} cannot be started: {error.strerror}") from None
        told = _bounded(process, question)
        errors.seek(0)
        said = errors.read(SAID).decode(errors="replace")
    return process.returncode, told, said


def _bounded(process: subprocess.Popen[bytes], question: Question) -> bytes:
    assert process.stdout is not None
    late = Timer(question.timeout_s, _stop, [process])
    late.start()
    try:
        told = process.stdout.read(question.largest + 1)
        if len(told) > question.largest:
            raise TargetError(f"{question.what} answered more than {question.largest} bytes")
        process.wait(question.timeout_s)
        if late.finished.is_set():
            raise TargetError(f"{question.what} did not answer within {question.timeout_s:g} s")
    finally:
        late.cancel()
        _stop(process)
        process.stdout.close()
        process.wait()
    return told


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Nothing where it has ended: its id may be another's by then."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
