"""evidence.json: the whole run for machines (``schemas/evidence.schema.json``)."""

from __future__ import annotations

import json
from datetime import datetime

import cattrs

from pytest_release.errors import EvidenceError
from pytest_release.verdict import RunVerdict

FORMAT = "pytest-release/evidence/v1"

_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))


def render(run: RunVerdict) -> str:
    """The run as JSON, keys in the order of the classes they come from."""
    value = {"format": FORMAT, **_CONVERTER.unstructure(run)}
    return json.dumps(value, ensure_ascii=True, indent=1, allow_nan=False) + "\n"


def parse(content: bytes) -> RunVerdict:
    """The run that `render` wrote.

    Raises:
        EvidenceError: `render` writes no such thing.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise EvidenceError(f"this is not JSON of the format {FORMAT}")
    try:
        run = _CONVERTER.structure(value, RunVerdict)
    except cattrs.BaseValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error))
        raise EvidenceError(f"this is not the evidence of a run: {reasons}") from None
    again = json.loads(json.dumps(_CONVERTER.unstructure(run)))
    if again != value:  # cattrs takes "false" for True
        raise EvidenceError("this is not the evidence of a run: a type is wrong")
    return run
