"""Deselects, aloud, the tests that need a program which is not installed."""

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

PLUGINS = "-p no:schemathesis -p no:hypothesispytest -p no:anyio -p no:locust"
_MISSING = pytest.StashKey[dict[str, int]]()


@pytest.fixture(scope="session", autouse=True)
def few_plugins() -> Iterator[None]:
    """A pytest that a test starts loads what it needs: others' plugins take it 2 s each time.

    `tests/wheel` and ``make demo`` show that ours lives with all of them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", PLUGINS)
        yield


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The same, which pytest's own fixture takes back."""
    monkeypatch.setenv("PYTEST_ADDOPTS", PLUGINS)
    return pytester


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that start programs which pip cannot install.

    Programs that are to be interrupted must notice: what a shell starts with ``&`` ignores SIGINT,
    and so would they.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "needs(*programs): programs that the test starts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests out whose programs are missing, unless RELEASE_TESTS_NEED=all says to fail."""
    if os.environ.get("RELEASE_TESTS_NEED") == "all":
        return
    missing: dict[str, int] = {}
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        programs = [name for marker in item.iter_markers("needs") for name in marker.args]
        absent = [name for name in programs if shutil.which(name) is None]
        (left_out if absent else kept).append(item)
        for name in absent:
            missing[name] = missing.get(name, 0) + 1
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
    config.stash[_MISSING] = missing


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A folder of which every test was left out, aloud, is no failure of what was tested."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash.get(_MISSING, {}):
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was left out, so that nobody takes it for tested."""
    for program, count in config.stash.get(_MISSING, {}).items():
        line = f"NOT RUN: {count} tests need {program}, which is not installed"
        terminalreporter.write_line(line, yellow=True, bold=True)
