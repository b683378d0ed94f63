"""From the command's options to the objects that a run needs; what is wrong ends in one message."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_release.attestation.keys import ephemeral, load_signing_key
from pytest_release.bundle import Bundle
from pytest_release.config.casebook import Casebook, load_casebook
from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment
from pytest_release.config.environments import environment_names, load_environment
from pytest_release.config.system import System
from pytest_release.config.variables import credentials
from pytest_release.errors import ReleaseError, UsageError
from pytest_release.presentation import Presentation
from pytest_release.progress import Sender
from pytest_release.promotion.waivers import in_force
from pytest_release.redaction import Redactor
from pytest_release.runner import Runner
from pytest_release.sandbox.home import at_home
from pytest_release.session import Order, Session
from pytest_release.subjects import ALL, Subjects, Wanted
from pytest_release.subjects import wanted as read_wanted
from pytest_release.targets._httpx import httpcore, httpx
from pytest_release.verdict import asked_for

if TYPE_CHECKING:
    from pytest_release.sandbox.server import Sandbox

HTTP = (httpx.__name__, httpcore.__name__)
TOOLS = ("pytest-release", "pytest", "pytest-html", "securesystemslib", *HTTP)


def start(config: pytest.Config, suites: Path) -> None:
    """Read what ``--env`` names and register the objects of this process.

    Raises:
        pytest.UsageError: With the one message that says what to mend.
    """
    with _as_usage_error():
        environment, casebook = _load(config)
        for gate in environment.gates:
            config.addinivalue_line("markers", f"{gate}: a gate of the environment")
        _collect_suites(config, suites)
        if hasattr(config, "workerinput"):
            _register_worker(config, environment, casebook, suites)
        elif config.getoption("collectonly"):
            named = [uuid for uuid in _wanted(config, environment, casebook).uuids if uuid != ALL]
            runner = Runner(environment, casebook, suites, Subjects(tuple(named)))
            config.pluginmanager.register(runner, "release-runner")
        elif not _only_looks(config):
            _register_session(config, environment, casebook, suites)


@contextmanager
def _as_usage_error() -> Iterator[None]:
    try:
        yield
    except ReleaseError as error:
        raise pytest.UsageError(str(error)) from None


def _load(config: pytest.Config) -> tuple[Environment, Casebook]:
    fixtures = fixtures_folder(config)
    name = config.getoption("release_env")
    environment = load_environment(fixtures, name, os.environ)
    casebook = load_casebook(fixtures, environment.system, os.environ)
    redactor = Redactor(environment.redactor.values | casebook.secrets)
    environment = replace(environment, redactor=redactor)
    if url := config.getoption("release_base_url"):
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"--base-url must start with http:// or https://, got {url!r}")
        redactor = Redactor(environment.redactor.values | set(credentials(url)))
        environment = replace(
            environment, base_url=url.rstrip("/"), sandbox=None, redactor=redactor
        )
    if config.getoption("release_faults") and environment.sandbox is None:
        raise UsageError(f"--fault needs a sandbox, and {name} is a deployment")
    return environment, casebook


def fixtures_folder(config: pytest.Config) -> Path:
    """``release_fixtures``, relative to the folder of the command or else to pytest's root."""
    name: str = config.getini("release_fixtures")
    here = config.invocation_params.dir / name
    return here if (here / "environments").is_dir() else config.rootpath / name


def without_environment(config: pytest.Config) -> str:
    """The one sentence for a suite that is run without ``--env``."""
    fixtures = fixtures_folder(config)
    names = ", ".join(environment_names(fixtures)) or "none"
    return f"a release gate needs --env NAME; environments in {fixtures / 'environments'}: {names}"


def _collect_suites(config: pytest.Config, suites: Path) -> None:
    """Without arguments, collect the shipped suites and not what a bare ``pytest`` collects."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(suites), *config.getini("release_testpaths")]


def _only_looks(config: pytest.Config) -> bool:
    """``--help``, ``--markers`` and the like run nothing."""
    looks = ("help", "version", "markers", "showfixtures", "show_fixtures_per_test")
    return any(config.getoption(name, None) for name in looks)


def _register_worker(
    config: pytest.Config, environment: Environment, casebook: Casebook, suites: Path
) -> None:
    told = config.workerinput["release"]  # type: ignore[attr-defined]
    environment = at_home(environment, told["base_url"], told["services"], told["secrets"])
    sender = Sender(told["progress"])
    config.add_cleanup(sender.close)
    subjects = Subjects.from_json(told["subjects"])
    runner = Runner(environment, casebook, suites, subjects, sender.say)
    config.pluginmanager.register(runner, "release-runner")


def _register_session(
    config: pytest.Config, environment: Environment, casebook: Casebook, suites: Path
) -> None:
    if config.getoption("htmlpath", None):
        raise UsageError("--env writes report.html into its report bundle; leave --html out")
    uri = config.getoption("release_sign_with")
    key = load_signing_key(uri, os.environ) if uri else ephemeral()
    wanted = _wanted(config, environment, casebook)
    asked = _asked(config, environment)
    looks = _looks_at_data(config, asked, casebook)
    sandbox = _sandbox(config, environment, casebook.system if looks else None, asked)
    bundle = Bundle.create(
        _report_folder(config), environment.name, key, datetime.now(UTC), secrets.token_hex(16)
    )
    config.add_cleanup(bundle.discard)
    if sandbox is not None:
        config.add_cleanup(sandbox.stop)
    config.option.htmlpath = str(bundle.staging / "report.html")
    config.option.self_contained_html = True
    tools = {"python": platform.python_version()} | {name: version(name) for name in TOOLS}
    release = config.getoption("release_version")
    wanted = wanted if looks else Wanted()
    waivers = in_force(fixtures_folder(config), environment.name, datetime.now(UTC))
    order = Order(environment, casebook, suites, release, tools, wanted, waivers)
    session = Session(config, order, bundle, sandbox)
    # Of two trylast wrappers the later is the inner: the page is locked before it is signed.
    config.pluginmanager.register(session, "release-session")
    config.pluginmanager.register(Presentation(session), "release-presentation")


def _wanted(config: pytest.Config, environment: Environment, casebook: Casebook) -> Wanted:
    uuids = config.getoption("release_uuids") or ()
    packages = [
        config.invocation_params.dir / name for name in config.getoption("release_packages") or ()
    ]
    if casebook.system is not None:
        return read_wanted(environment, casebook.system, uuids, packages)
    if uuids or packages:
        raise UsageError(
            f"--uuid and --package need a system that keeps data, and there is no "
            f"fixtures/systems/{environment.system}.yaml"
        )
    return Wanted()


def _asked(config: pytest.Config, environment: Environment) -> frozenset[str]:
    """The gates that are going to run."""
    expression = config.getoption("markexpr", "")
    return frozenset(asked_for(expression, environment.gates, environment.gates))


def _looks_at_data(config: pytest.Config, asked: frozenset[str], casebook: Casebook) -> bool:
    """Whether more is going to run than needs no deployed files; without them it starts sooner."""
    if casebook.system is None:
        return False
    given = config.getoption("release_uuids") or config.getoption("release_packages")
    without = {case.gate for case in casebook.cases if not isinstance(case, DataCase)}
    from pytest_release.sandbox.rooms import parts  # noqa: PLC0415 - all rooms, see `_sandbox`

    needed = {gate for part in parts() if part.stores for gate in part.gates}
    return bool(given or asked - (without - needed))


def _sandbox(
    config: pytest.Config,
    environment: Environment,
    stores: System | None,
    asked: frozenset[str],
) -> Sandbox | None:
    if environment.sandbox is None:
        return None
    from pytest_release.sandbox.server import Sandbox  # noqa: PLC0415 - a third of the start

    faults = (*environment.sandbox.faults, *(config.getoption("release_faults") or ()))
    return Sandbox(environment.sandbox.workers, faults, stores=stores, gates=asked)


def _report_folder(config: pytest.Config) -> Path:
    given: str = config.getoption("release_report_dir") or "reports"
    return config.invocation_params.dir / given
