"""xdist's part: what workers are told, and what became of those that did not come back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest

from pytest_release.runner import plain_id

NAMED = 5  # lost tests that the reason names before it counts the rest


class Workers:
    """Registered on the controller of a run under xdist.

    Args:
        told: What every worker needs to know; simple values only.
        declared: The ids by which tests are parametrized with declared cases.
    """

    def __init__(self, told: dict[str, Any], declared: Collection[str] = ()) -> None:
        self._told = told
        self._declared = declared
        self._expected: dict[str, None] = {}
        self._crashed: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - xdist's is private
        """Tell a worker where the release runs."""
        node.workerinput["release"] = self._told

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:  # noqa: ANN401 - see above
        """Cases that are timed take turns, in one worker."""
        from pytest_release.scheduling import Together  # noqa: PLC0415 - xdist is there now

        return Together(config, log, self._declared)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what the workers are going to run."""
        self._expected.update(dict.fromkeys(plain_id(node) for node in ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:  # noqa: ANN401 - see above
        """Note a worker that did not end by itself."""
        if error:
            self._crashed.append(str(node.gateway.id))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test whose last report came is not lost."""
        if report.when == "teardown":
            self._expected.pop(plain_id(report.nodeid), None)

    def trouble(self) -> Iterator[str]:
        """What the workers left undone; it spoils the whole run, whatever gate a test was of."""
        for worker in self._crashed:
            yield f"the worker {worker} crashed"
        if self._expected:
            names = list(self._expected)
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"{len(names)} tests did not come to their end: {', '.join(names[:NAMED])}{more}"
