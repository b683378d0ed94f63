"""A small bundle, signed by one key, as `pytest_release.bundle` would leave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Key, Signer

from pytest_release.atomic import canonical_json
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import ephemeral
from pytest_release.attestation.statement import RELEASE_GATE, STATEMENT, TEST_RESULT
from pytest_release.attestation.verify import ATTESTATION, VerifiedBundle, digest_files
from pytest_release.attestation.verify import verify_bundle as verify

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SUBJECT = [{"name": "release 1.4.2", "digest": {"gitCommit": "d34bcae"}}]
RESULT: Mapping[str, Any] = {
    "_type": STATEMENT,
    "subject": SUBJECT,
    "predicateType": TEST_RESULT,
    "predicate": {"result": "PASSED", "configuration": []},
}
GATE: Mapping[str, Any] = {
    "_type": STATEMENT,
    "subject": SUBJECT,
    "predicateType": RELEASE_GATE,
    "predicate": {
        "verdict": "PASSED",
        "reasons": [],
        "environment": "staging",
        "role": "staging",
        "system": "shop",
        "release": {
            "asked": None,
            "version": "1.4.2",
            "commit": "d34bcae",
            "packages": {},
            "images": {},
        },
        "waivers": [],
        "policy": {"sha256": "a" * 64},
        "cases": {},
        "gates": {
            "basic": {
                "verdict": "PASSED",
                "required": True,
                "asked": True,
                "reasons": [],
                "cases": {"PASSED": 1},
                "thresholds": {},
            }
        },
        "started": "2026-11-23T09:59:53+00:00",
        "finished": "2026-11-23T10:00:00+00:00",
        "tools": {},
        "run": "01234567",
        "nonce": "0123456789abcdef",
        "ephemeralKey": False,
    },
}

Edit = Callable[[dict[str, Any], dict[str, Any]], object]


@dataclass(frozen=True)
class Signed:
    """A bundle's folder and the key that signs it."""

    folder: Path
    signer: Signer

    @property
    def key(self) -> Key:
        """The public half."""
        return self.signer.public_key

    @property
    def attestation(self) -> Path:
        """The file with the two lines."""
        return self.folder / ATTESTATION

    def seal(self, edit: Edit = lambda *_: None, *, bind: bool = True) -> None:
        """Sign what stands in the folder, after `edit` changed the statements."""
        first, second = deepcopy(dict(RESULT)), deepcopy(dict(GATE))
        second["predicate"]["files"] = digest_files(self.folder)
        second["predicate"]["testResult"] = {"sha256": "0" * 64}
        edit(first, second)
        if bind:
            digest = sha256(canonical_json(first)).hexdigest()
            second["predicate"]["testResult"] = {"sha256": digest}
        self.attestation.write_bytes(sign(first, self.signer) + sign(second, self.signer))

    def verify(self) -> VerifiedBundle:
        """Verify it with its own key."""
        return verify(self.folder, [self.key], now=NOW)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    """A bundle of three files that verifies."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "report.html").write_text("<p>ok</p>")
    (folder / "evidence.json").write_text("{}")
    (folder / "empty").touch()
    made = Signed(folder, ephemeral().signer)
    made.seal()
    return made
