"""How a run is shown while pytest ends: the hooks of pytest-html and of the terminal.

Every text comes from `reporting`, escaped; nothing here makes markup.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from pytest_html.basereport import BaseReport
from pytest_metadata.plugin import metadata_key

from pytest_release.atomic import write_bytes
from pytest_release.bundle import PAGE
from pytest_release.hostile import visible
from pytest_release.reporting import html, terminal
from pytest_release.session import Session


class Presentation:
    """Registered as ``release-presentation`` beside the session.

    Args:
        session: Holds the verdict once there is one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep the machine's variables and plugins out of the page's environment table."""
        metadata = session.config.stash[metadata_key]
        metadata.clear()
        metadata.update(html.environment_table(self._session.environment))

    def pytest_html_report_title(self, report: Any) -> None:  # noqa: ANN401 - pytest-html's
        """Name the page after the environment."""
        report.title = html.title(self._session.environment)

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Our columns in place of pytest-html's."""
        cells[:] = html.header_cells()

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Our cells, escaped, in place of pytest-html's; none for a phase that has no row."""
        if report.when in ("setup", "teardown") and report.passed and not report.sections:
            cells.clear()
            return
        evidence = self._session.evidence_of(report)
        seconds = getattr(report, "duration", 0.0)
        cells[:] = html.row_cells(evidence, report.nodeid, report.outcome, seconds)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Give pytest-html, which takes the report right after, what the row expands to."""
        evidence = self._session.evidence_of(report)
        if report.when == "teardown" and evidence is not None:
            content = html.case_details(evidence)
            extra = {"name": "", "format_type": "html", "content": content, "extension": "html"}
            report.extras = [*getattr(report, "extras", []), extra]  # type: ignore[attr-defined]

    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:
        """Leave out a log that only repeats the evidence above it; disarm any other."""
        data[:] = [visible(line) for line in data]
        if self._session.evidence_of(report) is not None and not report.sections:
            data.clear()

    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """The verdict and the gates on top of the page."""
        if self._session.verdict is not None:
            prefix.append(html.summary(self._session.verdict))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Lock the page, which is written by now, and keep its writer from naming it.

        The writer knows only the folder's name before the rename.
        """
        yield
        page = self._session.bundle.staging / PAGE
        write_bytes(page, html.locked(page.read_text(encoding="utf-8")).encode())
        for plugin in session.config.pluginmanager.get_plugins():
            if isinstance(plugin, BaseReport):
                session.config.pluginmanager.unregister(plugin)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The closing table, the report's place, and the key that signed it."""
        held = self._session
        if held.verdict is None:
            return
        terminalreporter.section("release gates", "=")
        width = terminalreporter._tw.fullwidth  # noqa: SLF001 - pytest offers no other way
        for line in terminal.lines(held.verdict, width):
            terminalreporter.write_line(line.text, **line.markup)
        terminalreporter.write_line("")
        if held.sealed is None:
            terminalreporter.write_line(held.failure, red=True, bold=True)
            return
        terminalreporter.write_line(f"report     {held.sealed.folder / PAGE}")
        terminalreporter.write_line(f"signed by  {held.sealed.fingerprint}")
        if held.sealed.ephemeral:
            text = "           an ephemeral key, made for this run: the signature proves nothing"
            terminalreporter.write_line(text, yellow=True, bold=True)
