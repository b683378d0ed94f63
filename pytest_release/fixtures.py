"""The fixtures that a test can ask for; each fails with one sentence when there is no ``--env``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from pytest_release.config.cases import Case
    from pytest_release.config.environment import Environment
    from pytest_release.runner import Recorder, Runner


def _runner(config: pytest.Config) -> Runner:
    runner: Runner | None = config.pluginmanager.get_plugin("release-runner")
    if runner is None:
        from pytest_release.start import without_environment

        pytest.fail(without_environment(config), pytrace=False)
    return runner


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Environment:
    """The environment named by ``--env``, with the address its release runs at."""
    return _runner(pytestconfig).environment


@pytest.fixture(scope="session")
def http(pytestconfig: pytest.Config) -> Iterator[httpx.Client]:
    """An httpx client of the environment: base URL, authorisation, TLS; closed with the session."""
    from pytest_release.targets.http import connect

    with connect(_runner(pytestconfig).environment) as client:
        yield client


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """One declared case of the test's gate; the test is run once for each."""
    _runner(request.config)
    declared: Case = request.param
    return declared


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Recorder:
    """Records what this test measures and finds; it ends up in the report and the verdict."""
    return _runner(request.config).recorder(request.node)
