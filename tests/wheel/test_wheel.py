"""The installed wheel, in a folder that holds nothing but a user's fixtures."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with the fixtures of this repository; every plugin there is, is loaded."""
    monkeypatch.delenv("PYTEST_ADDOPTS")
    shutil.copytree(ROOT / "fixtures", pytester.path / "fixtures")
    return pytester.path


def test_the_suites_ship(pytester: pytest.Pytester, folder: Path) -> None:
    """``--pyargs pytest_release.suites`` finds the shipped suites and the user's environment."""
    result = pytester.runpytest_subprocess(
        "--pyargs", "pytest_release.suites", "-m", "stream", "--env", "demo"
    )

    assert result.ret == 0
    evidence = json.loads((folder / "reports" / "latest" / "evidence.json").read_text())
    verdicts = {gate["gate"]: gate["verdict"] for gate in evidence["gates"]}
    assert verdicts.pop("stream") == "PASSED"
    assert set(verdicts.values()) == {"NOT_RUN"}


def test_what_the_wheel_holds() -> None:
    """Schemas, suites and the type marker are in it, tests and fixtures are not."""
    files = {str(file) for file in distribution("pytest-release").files or ()}

    assert "pytest_release/py.typed" in files
    assert "pytest_release/schemas/environment.schema.json" in files
    assert "pytest_release/suites/test_stream.py" in files
    assert not [name for name in files if name.startswith(("tests/", "fixtures/"))]
