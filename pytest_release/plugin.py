"""The pytest plugin: options, markers, and the objects that ``--env`` registers.

Imports the standard library and pytest only; without ``--env`` nothing else is ever imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_release.fixtures import (
    case,
    deployment,
    environment,
    evidence,
    http,
    package,
    postgres,
)
from pytest_release.gates import catalogue

if TYPE_CHECKING:
    from pytest_release.runner import Runner

__all__ = ["case", "deployment", "environment", "evidence", "http", "package", "postgres"]

SUITES = Path(__file__).parent / "suites"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options; every default is None so that a later source can tell."""
    group = parser.getgroup("release", "release gates")
    add = group.addoption
    add("--env", metavar="NAME", dest="release_env", help="the environment whose gates to run")
    add(
        "--base-url",
        metavar="URL",
        dest="release_base_url",
        help="address of the deployment, instead of the environment's base_url",
    )
    add(
        "--release",
        metavar="VERSION",
        dest="release_version",
        help="the release that must be deployed there; another one fails before the first case",
    )
    add(
        "--report-dir",
        metavar="DIR",
        dest="release_report_dir",
        help="folder of the report bundles (default: reports)",
    )
    add(
        "--sign-with",
        metavar="URI",
        dest="release_sign_with",
        help="private key that signs the attestation: a PEM file or a signer URI "
        "(default: an ephemeral key, which proves nothing)",
    )
    add(
        "--fault",
        metavar="NAME",
        dest="release_faults",
        action="append",
        help="switch a fault of the sandbox on (repeatable; see: pytest-release sandbox faults)",
    )
    _add_subjects(group)
    _add_settings(parser)


def _add_subjects(group: pytest.OptionGroup) -> None:
    add = group.addoption
    add(
        "--package",
        metavar="PATH",
        dest="release_packages",
        action="append",
        help="a release package, or a folder of them, whose deployment to judge (repeatable)",
    )
    add(
        "--uuid",
        metavar="UUID",
        dest="release_uuids",
        action="append",
        help="a file UUID whose deployment to judge (repeatable); all: whatever is deployed",
    )


def _add_settings(parser: pytest.Parser) -> None:
    parser.addini(
        "release_fixtures",
        "folder with environments/, cases/ and systems/ (default: fixtures)",
        default="fixtures",
    )
    parser.addini(
        "release_testpaths",
        "paths that a run with --env and without arguments collects beside the shipped suites",
        type="args",
        default=[],
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of all gates and, with ``--env``, the session."""
    for gate, description in catalogue().items():
        config.addinivalue_line("markers", f"{gate}: {description}")
    if config.getoption("release_env") is not None:
        from pytest_release.start import start

        start(config, SUITES)
    elif _asks_for_suites(config):
        from pytest_release.start import without_environment

        raise pytest.UsageError(without_environment(config))


def _asks_for_suites(config: pytest.Config) -> bool:
    """Whether an argument names the shipped suites."""
    folder = SUITES.resolve()
    for argument in config.args:
        path = Path(argument.partition("::")[0])
        if argument.startswith("pytest_release.suites") or path.resolve().is_relative_to(folder):
            return True
    return False


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each declared case of the gate, or for each deployment of the run."""
    runner: Runner | None = metafunc.config.pluginmanager.get_plugin("release-runner")
    if runner is not None and "case" in metafunc.fixturenames:
        runner.parametrize(metafunc)
    if runner is not None and "deployment" in metafunc.fixturenames:
        runner.parametrize_deployment(metafunc)
