"""The fixtures that a test can ask for; each fails with one sentence when there is no ``--env``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from pytest_release.config.cases import Case
    from pytest_release.config.environment import Environment
    from pytest_release.deployments import Deployment, Deployments
    from pytest_release.packages.contents import Package
    from pytest_release.runner import Recorder, Runner
    from pytest_release.targets.postgres import Database


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


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Database:
    """The environment's PostgreSQL, read-only and with a statement timeout."""
    return _deployments(pytestconfig).database


def _deployments(config: pytest.Config) -> Deployments:
    runner = _runner(config)
    if runner.deployments is None:
        system = runner.environment.system
        message = f"there is no fixtures/systems/{system}.yaml that says what {system} stores"
        pytest.fail(message, pytrace=False)
    return runner.deployments


@pytest.fixture
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """One UUID as it stands in the stores; the test is run once for each of ``--uuid``."""
    from pytest_release.deployments import Deployment

    return Deployment(request.param, _deployments(request.config))


@pytest.fixture
def package(deployment: Deployment) -> Package:
    """What one pass over the package of the deployment found out; never unpacked."""
    return deployment.package


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
