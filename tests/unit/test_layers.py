"""The architecture is a test: imports only go down, every gate is a complete room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from pytest_release.gates import catalogue

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pytest_release"
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}


def test_imports_only_go_down() -> None:
    """The contracts in pyproject.toml hold."""
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("gate", catalogue())
def test_a_gate_has_all_five(gate: str) -> None:
    """A module, a suite, cases, at least one fault it was seen to catch, and a page."""
    assert (PACKAGE / "gates" / f"{gate}.py").is_file()
    assert (ROOT / "suites" / f"test_{gate}.py").is_file()
    assert any(f"gate: {gate}" in file.read_text() for file in ROOT.glob("fixtures/cases/*/*.yaml"))
    assert list((ROOT / "tests" / "faults" / gate).glob("*.yaml"))
    assert (ROOT / "docs" / "gates" / f"{gate}.md").is_file()


def test_no_module_has_a_name_that_says_nothing() -> None:
    """A module is named after its subject."""
    names = {file.stem for file in PACKAGE.rglob("*.py")}

    assert not names & FORBIDDEN_NAMES


def test_functions_are_short() -> None:
    """No function is longer than 50 lines, docstring and signature included."""
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 50
    ]

    assert long == []


def test_the_plugin_imports_nothing_heavy_at_the_top() -> None:
    """plugin.py, fixtures.py and the gates' catalogue need the standard library and pytest only."""
    for name in ("plugin.py", "fixtures.py", "gates/__init__.py", "__init__.py"):
        tree = ast.parse((PACKAGE / name).read_text())
        imported = {
            alias.name if isinstance(node, ast.Import) else node.module or ""
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        allowed = {"pytest_release.fixtures", "pytest_release.gates", "pytest"}
        foreign = {module for module in imported if module.partition(".")[0] == "pytest_release"}
        assert foreign <= allowed
        assert not {"httpx", "yaml", "jsonschema", "securesystemslib"} & imported
