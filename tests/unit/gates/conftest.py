"""Servers that play scripts, as the tests of the targets have them."""

from tests.unit.targets.conftest import flow, serve

__all__ = ["flow", "serve"]
