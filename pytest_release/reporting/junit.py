"""Placeholder until the real one lands."""

from pytest_release.verdict import RunVerdict


def render(run: RunVerdict) -> str:
    """Render."""
    return str(run.verdict)
