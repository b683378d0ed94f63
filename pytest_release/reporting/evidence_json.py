"""evidence.json: the whole run for machines (``schemas/evidence.schema.json``)."""

from __future__ import annotations

import json
from datetime import datetime

import cattrs

from pytest_release.verdict import RunVerdict

FORMAT = "pytest-release/evidence/v1"

_CONVERTER = cattrs.Converter()
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)


def render(run: RunVerdict) -> str:
    """The run as JSON, keys in the order of the classes they come from."""
    value = {"format": FORMAT, **_CONVERTER.unstructure(run)}
    return json.dumps(value, ensure_ascii=True, indent=1, allow_nan=False) + "\n"
