"""report.html in a real browser, from a file, with what a hostile server and test sent in it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Dialog, Page, sync_playwright

pytestmark = pytest.mark.needs("chromium")

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

HOSTILE = r"""
import pytest

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\x00\u202e\u2028'\"]]>"

@pytest.mark.quick
@pytest.mark.parametrize("name", [EVIL], ids=["<img src=x onerror=alert(3)>"])
def test_hostile(name, evidence):
    evidence.measure("wait_ms", [1.0, 2.0], limit=5.0)
    evidence.finding("quick.evil", name)
    evidence.attach(name, name)
    print(name)
    assert name == ""

@pytest.mark.quick
def test_plain(): pass
"""

ENVIRONMENT = """\
name: here
role: development
system: hifate
sandbox: {}
gates:
  basic: {required: true}
  stream: {required: true, concurrency: 13}
  quick: {required: true}
"""

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "hifate"


@dataclass
class Opened:
    """A page, and what it did while it was opened."""

    page: Page
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def dialog(self, dialog: Dialog) -> None:
        """Note a dialog and close it, or the page would wait for ever."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def console(self, line: ConsoleMessage) -> None:
        """Note an error on the console."""
        if line.type == "error":
            self.errors.append(line.text)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run against a sandbox that answers with markup, ANSI codes and controls."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "fixtures" / "environments").mkdir(parents=True)
    (folder / "fixtures" / "environments" / "here.yaml").write_text(ENVIRONMENT)
    (folder / "fixtures" / "cases").mkdir()
    (folder / "fixtures" / "cases" / "hifate").symlink_to(CASES)
    (folder / "pytest.ini").write_text("[pytest]\nrelease_testpaths = .\n")
    (folder / "test_evil.py").write_text(HOSTILE)
    faults = ("basic.hostile-body@/bazi/interface", "stream.hostile-event@/health/stream")
    switches = [word for fault in faults for word in ("--fault", fault)]
    command = [sys.executable, "-m", "pytest", "-q", "--env", "here", *switches]

    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    return folder / "reports" / "latest" / "report.html"


@pytest.fixture(scope="module")
def opened(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """The page in headless Chromium, with no network."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path="/usr/bin/chromium",
            headless=True,
            args=SWITCHES,
            offline=True,
        )
        seen = Opened(browser.new_page())
        seen.page.on("dialog", seen.dialog)
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("console", seen.console)
        seen.page.goto(report.resolve().as_uri())
        seen.page.wait_for_selector(".results-table-row")
        yield seen
        browser.close()


def test_hostile_text_does_no_harm(opened: Opened) -> None:
    """No dialog, no request, no console error, no element that a remote text made."""
    opened.page.get_by_text("Show all details").click()
    opened.page.wait_for_selector(".case >> text=quick.evil")

    assert opened.dialogs == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert opened.errors == []
    assert opened.page.locator("img[src=x]").count() == 0
    assert opened.page.locator("[onerror]").count() == 0


def test_hostile_text_is_there_to_be_read(opened: Opened) -> None:
    """What was sent is shown, its control characters as escapes."""
    text = opened.page.locator("body").inner_text()

    assert "<img src=x onerror=alert(1)><script>alert(2)</script>\\x1b[31m\\x00\\u202e" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_verdict_is_on_top(opened: Opened) -> None:
    """The first heading that a reader sees is the verdict, and beside it is why."""
    verdict = opened.page.locator("section.verdict")

    assert verdict.locator("h1").inner_text() == "FAILED"
    assert verdict.is_visible()
    assert re.search("stream is FAILED: .*stream/health", verdict.inner_text())


def test_a_case_shows_what_it_measured(opened: Opened) -> None:
    """A stream has its chart of samples, its timeline and a command that reproduces it."""
    stream = opened.page.locator(".case", has_text="stream.forbidden-event")

    assert stream.locator("svg[aria-label*='events over time']").count() == 1
    assert "curl -sS -N -i" in stream.inner_text()
    assert (
        opened.page.locator("svg[aria-label='wait_ms: 2 samples against the limit']").count() == 1
    )
