"""The sandbox's OpenAPI document says what its table of endpoints says."""

from __future__ import annotations

import json

import pytest

from pytest_release.gates._contract_document import flaws, parse
from pytest_release.sandbox.endpoints import ENDPOINTS
from pytest_release.sandbox.faults import FAULTS as SWITCHES
from pytest_release.sandbox.openapi import FAULTS, UNDESCRIBED, UNDOCUMENTED, document, listed


def test_every_endpoint_is_documented() -> None:
    """But for the document itself, the list, and what nobody may know."""
    made = parse(document(ENDPOINTS), "the sandbox")

    assert flaws(made) == []
    assert {f"{o.method} {o.path}" for o in made.operations} == {
        f"{e.method} {e.path}" for e in ENDPOINTS if e.group not in UNDOCUMENTED
    }


def test_what_nobody_described_is_said_to_be_so() -> None:
    """Endpoints of rooms have a place in the document, and a tag."""
    paths = json.loads(document(ENDPOINTS))["paths"]
    tagged = {e.path for e in ENDPOINTS if e.operation is None and e.group not in UNDOCUMENTED}

    assert tagged
    assert tagged == {
        path
        for path, item in paths.items()
        if any(UNDESCRIBED in operation.get("tags", ()) for operation in item.values())
    }


def test_the_list_has_no_back_door() -> None:
    """It is the deployment's own, and as honest as its author."""
    assert "GET /openapi.json" in listed(ENDPOINTS)
    assert not any("/debug" in line for line in listed(ENDPOINTS))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_document_changes_it(fault: str) -> None:
    """Each is a switch; the next document is a right one again."""
    assert fault in SWITCHES
    assert document(ENDPOINTS, [fault]) != document(ENDPOINTS)
    assert flaws(parse(document(ENDPOINTS), "the sandbox")) == []
