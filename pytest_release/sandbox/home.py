"""An environment that asked for the sandbox, at the sandbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.redaction import Redactor


def at_home(
    environment: Environment,
    base_url: str | None,
    services: Mapping[str, Mapping[str, Any]],
    secrets: Iterable[str],
) -> Environment:
    """The environment at the address, and with the services, of the sandbox that it asked for."""
    return replace(
        environment,
        base_url=base_url,
        services={**environment.services, **services},
        redactor=Redactor(environment.redactor.values.union(secrets)),
    )
