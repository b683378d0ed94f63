"""Release gates for pytest: measured, fail-closed, signed."""

__version__ = "0.1.0"
