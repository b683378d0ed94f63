"""Servers that play scripts, and certificates, as the tests of the targets have them."""

from tests.unit.targets.conftest import authority, certified, flow, serve, trusted

__all__ = ["authority", "certified", "flow", "serve", "trusted"]
