"""The matrix as a signed bundle: the same folder, envelope and keys as a run's."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.attestation.keys import SigningKey
from pytest_release.attestation.predicates import DRILL
from pytest_release.attestation.statement import TEST_RESULT, statement
from pytest_release.bundle import Bundle, Sealed
from pytest_release.drill import pages
from pytest_release.drill.matrix import Matrix, digest_of_code

NAME = "drill"  # of the bundle, in place of an environment's
RENDERED = {"drill.html": pages.html, "drill.md": pages.text, "drill.json": pages.data}


def seal(matrix: Matrix, reports: Path, key: SigningKey, nonce: str) -> Sealed:
    """Write the matrix, sign it, and name the folder.

    Raises:
        BundleError: It cannot be written, or the key does not sign.
    """
    bundle = Bundle.create(reports, NAME, key, matrix.started, nonce)
    try:
        files = {name: render(matrix).encode() for name, render in RENDERED.items()}
        return bundle.close(files, lambda there: _statements(matrix, there, nonce, key), NAME)
    except BaseException:
        bundle.discard()
        raise


def _statements(
    matrix: Matrix, files: Mapping[str, Mapping[str, Any]], nonce: str, key: SigningKey
) -> tuple[dict[str, Any], dict[str, Any]]:
    """In-toto's own about the same, and ours; what was judged is this package."""
    subjects = [{"name": "pytest-release", "digest": {"sha256": digest_of_code()}}]
    named = {True: "passedTests", False: "failedTests"}
    result: dict[str, Any] = {
        "result": str(matrix.verdict),
        "configuration": [
            {"name": "recipes", "digest": {"sha256": matrix.recipes}},
            {"name": f"environment {matrix.environment}", "digest": {"sha256": matrix.policy}},
        ],
        **{
            word: [each.fault for each in matrix.results if each.state.good is good]
            for good, word in named.items()
        },
    }
    first = statement(subjects, TEST_RESULT, result)
    told = matrix.to_json()
    for row in told.pop("results"):  # what was said stands in drill.json, whose digest is here
        shown = {"state": row["state"], "gate": row["gate"]}
        told.setdefault("faults", {})[row["fault"]] = shown
    predicate = {
        **told,
        "faults": told.get("faults", {}),
        "files": {name: dict(entry) for name, entry in files.items()},
        "testResult": {"sha256": sha256(canonical_json(first)).hexdigest()},
        "nonce": nonce,
        "ephemeralKey": key.ephemeral_pem is not None,
    }
    return first, statement(subjects, DRILL, predicate)
