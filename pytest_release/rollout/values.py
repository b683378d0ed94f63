"""``{{name}}`` in the options of an action."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_release.config.plans import PLACEHOLDER
from pytest_release.errors import RolloutError
from pytest_release.redaction import Secret


def fill(value: Any, names: Mapping[str, str | None]) -> Any:  # noqa: ANN401 - any JSON value
    """`value` with every ``{{name}}`` replaced; what holds secrets stays secret.

    Raises:
        RolloutError: A name has no value.
    """
    if isinstance(value, Secret):
        return Secret(_text(value.reveal(), names))
    if isinstance(value, str):
        return _text(value, names)
    if isinstance(value, Mapping):
        return {key: fill(child, names) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [fill(child, names) for child in value]
    return value


def _text(text: str, names: Mapping[str, str | None]) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match[1]
        found = names.get(name)
        if found is None:
            raise RolloutError(f"{{{{{name}}}}} has no value: {_reason(name)}")
        return found

    return PLACEHOLDER.sub(replace, text)


def _reason(name: str) -> str:
    match name:
        case "commit":
            return "name the commit with --commit"
        case "previous" | "previous_commit":
            return "the history knows no earlier good release there, or not its commit"
        case "failed":
            return "it has one only while a rollout goes back"
    return "the step has not said it"
