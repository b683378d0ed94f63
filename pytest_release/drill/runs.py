"""Whole runs of the demo, each a pytest of its own: for what only a run as a whole can see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_release.errors import EvidenceError, SandboxError
from pytest_release.reporting import evidence_json
from pytest_release.verdict import RunVerdict

LIMIT = 300.0  # seconds
LAST_LINES = 10  # of what pytest printed
UNLOADED = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")  # seconds of imports


def whole_run(fixtures: Path, arguments: Sequence[str]) -> RunVerdict:
    """Run pytest in the folder of the fixtures, and read the verdict from its report.

    Raises:
        SandboxError: It leaves no report, or does not end in time.
    """
    with TemporaryDirectory(prefix="release-drill-") as reports:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *UNLOADED]
        command += ["-o", f"release_fixtures={fixtures.resolve()}", *arguments]
        command += ["--report-dir", reports]
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter, pytest
                command,
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=LIMIT,
                cwd=fixtures.parent,
            )
            return evidence_json.parse((Path(reports) / "latest" / "evidence.json").read_bytes())
        except subprocess.TimeoutExpired:
            message = f"pytest {' '.join(arguments)} did not end within {LIMIT:g} s"
            raise SandboxError(message) from None
        except (OSError, EvidenceError):
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:])
            message = f"pytest {' '.join(arguments)} left no report; its last words: {said}"
            raise SandboxError(message) from None
