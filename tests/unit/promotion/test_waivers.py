"""Tests of waivers: whose count, for what, until when, and where they are named."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytest_release.attestation.keyring import revoke_key
from pytest_release.attestation.waiver import Waiver, waiver_statement
from pytest_release.errors import UsageError, VerificationError
from pytest_release.history import verify
from pytest_release.promotion.conditions import State
from pytest_release.promotion.waivers import in_force, issue_waiver
from tests.unit.promotion.conftest import NOW, RELEASE, Desk, condition, gate, put

HOUR = timedelta(hours=1)
SENTENCE = (
    "stream of 1.4.2 is waived in production until 2026-11-25 13:00 UTC by Li Wei: ticket 812"
)
EVERYTHING = SENTENCE.replace("stream", "everything", 1)
GLASS: dict[str, Any] = {"gate": "all", "signers": ("lead", "cto")}


def failing(gate_name: str) -> Any:  # noqa: ANN401 - an edit
    """One gate failed, the other passed."""
    limit = {"limit": 500, "measured": None, "samples": 0, "decision": "kept"}
    gates = {"basic": gate(thresholds={"p95_ms": limit}), "stream": gate()}
    gates[gate_name] = gate("FAILED", thresholds=gates[gate_name]["thresholds"])
    return put(gates=gates)


def test_a_waiver_stands_for_its_gate(desk: Desk) -> None:
    """It is named in the condition, in the record and in the history."""
    bundle = desk.bundle(edit=failing("stream"))
    desk.waiver()
    outcome = desk.promote(bundle)

    stream = condition(outcome, "gate stream")
    assert stream.state is State.WAIVED
    assert stream.why == f"it is FAILED in staging (because); {SENTENCE}"
    assert outcome.record is not None
    (record,) = verify(desk.history).records
    assert (record.status, record.notes) == ("success", SENTENCE)
    assert record.details["waivers"] == [SENTENCE]


def test_a_waiver_that_is_not_needed_is_not_used(desk: Desk) -> None:
    """The gate passed: nothing was waived, and nobody is told so."""
    desk.waiver()
    outcome = desk.promote(desk.bundle())

    assert condition(outcome, "gate stream").state is State.MET
    assert outcome.decision.waivers == ()
    assert verify(desk.history).records[0].notes == ""


def test_a_waiver_of_another_gate_stands_for_nothing(desk: Desk) -> None:
    """The gate that failed is not the one that is waived."""
    desk.waiver()

    assert desk.refused(desk.bundle(edit=failing("basic"))).startswith("gate basic: it is FAILED")


def test_breaking_the_glass_stands_for_gates_soak_freeze_and_evidence(desk: Desk) -> None:
    """With two signers, and nothing shown at all; the policy and the subjects remain."""
    desk.policy(
        lambda policy: policy.update(
            soak={"environment": "staging", "minutes": 90},
            freeze=[{"name": "night", "from": "11:00", "until": "13:00", "zone": "UTC"}],
        )
    )
    desk.waiver(**GLASS)
    outcome = desk.promote()

    assert [(c.name, c.state) for c in outcome.decision.conditions] == [
        ("policy", State.MET),
        ("evidence", State.WAIVED),
        ("commit", State.MET),
        ("gate basic", State.WAIVED),
        ("gate stream", State.WAIVED),
        ("soak", State.WAIVED),
        ("freeze", State.WAIVED),
    ]
    assert verify(desk.history).records[0].notes == EVERYTHING


def test_breaking_the_glass_is_no_excuse_for_other_bytes(desk: Desk) -> None:
    """Another commit, and a bundle that was refused, stay in the way."""
    desk.waiver(**GLASS)
    stranger = desk.bundle("stranger", signers=("stranger",))
    said = desk.refused(stranger, desk.bundle(), commit="e" * 40)

    assert [line.partition(":")[0] for line in said.splitlines()] == ["evidence stranger", "commit"]


def test_the_glass_does_not_break_for_a_forbidden_gate(desk: Desk) -> None:
    """What the policy keeps whatever happens."""
    desk.policy(lambda policy: policy["break_glass"].update(forbidden=["basic"]))
    desk.waiver(**GLASS)

    assert desk.refused() == "gate basic: nothing attests it in staging"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "not signed by whom the policy names": (
        {"signers": ("ci",)},
        "it was signed by ci, it needs 1 of lead",
    ),
    "signed by a stranger": ({"signers": ("stranger",)}, "none of the given keys signed this"),
    "signed by a stranger, too": (
        {"signers": ("lead", "stranger")},
        "it carries a signature by SHA256:[0-9a-f]{64}, which is not in the keyring",
    ),
    "of a forbidden gate": ({"gate": "basic"}, "basic cannot be waived in production"),
    "for too long": (
        {"issued": NOW - HOUR, "until": NOW + 72 * HOUR},
        "it is for 73 h, the policy allows 72 h",
    ),
    "ended": ({"issued": NOW - 3 * HOUR, "until": NOW}, "it ended on 2026-11-25 12:00 UTC"),
    "not begun": ({"issued": NOW + HOUR, "until": NOW + 2 * HOUR}, "it begins in the future"),
    "of another environment": (
        {"environment": "staging"},
        "it is of staging, and not of production",
    ),
    "one signer breaks the glass": (
        {**GLASS, "signers": ("lead",)},
        "it was signed by lead, it needs 2 of lead, cto",
    ),
    "the glass is broken for too long": (
        {**GLASS, "issued": NOW - HOUR, "until": NOW + 4 * HOUR},
        "it is for 5 h, the policy allows 4 h",
    ),
    "an unprintable gate": ({"gate": "Stream"}, r"\$.predicate.gate is not as waiver v0.1 says"),
    "without a reason": ({"reason": ""}, r"\$.predicate.reason is not as waiver v0.1 says"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_waiver_that_does_not_count_is_named(desk: Desk, what: str) -> None:
    """With the reason; the condition stays unmet."""
    changes, why = REFUSED[what]
    file = desk.waiver(**changes)
    outcome = desk.promote(desk.bundle(edit=failing("stream")))

    (note,) = outcome.notes
    assert note.startswith(f"the waiver {file.name} does not count: ")
    assert re.search(why, note)
    assert condition(outcome, "gate stream").state is State.UNMET


def test_a_waiver_of_another_release_is_none_of_this_ones(desk: Desk) -> None:
    """It is not used, and not mentioned."""
    desk.waiver(release="1.4.1")
    outcome = desk.promote(desk.bundle(edit=failing("stream")))

    assert outcome.notes == ()
    assert condition(outcome, "gate stream").state is State.UNMET


def test_without_a_rule_nothing_is_waived(desk: Desk) -> None:
    """A policy that says nothing of waivers allows none."""
    desk.policy(lambda policy: [policy.pop("waivers"), policy.pop("break_glass")])
    desk.waiver()
    desk.waiver(gate="all", signers=("lead", "cto"), nonce="1" * 16)
    outcome = desk.promote(desk.bundle(edit=failing("stream")))

    assert [note.partition("count: ")[2] for note in outcome.notes] == [
        "the glass cannot be broken in production",
        "no gate can be waived in production",
    ]


def test_a_waiver_of_a_revoked_key_counts_no_more(desk: Desk) -> None:
    """Whenever it was signed."""
    desk.waiver()
    revoke_key(desk.fixtures, "lead", "left", NOW)

    (note,) = in_force(desk.fixtures, "production", NOW)
    assert note.endswith("a signature by lead, which was revoked on 2026-11-25 (left)")


def test_a_file_that_is_no_waiver_is_named(desk: Desk) -> None:
    """A link, a folder, a huge file."""
    folder = desk.waiver().parent
    (folder / "link.intoto.jsonl").symlink_to("stream-0.intoto.jsonl")
    (folder / "folder.intoto.jsonl").mkdir()
    (folder / "huge.intoto.jsonl").write_bytes(b" " * 70_000)
    notes = in_force(desk.fixtures, "production", NOW)

    assert [note.partition("waiver ")[2] for note in notes[:3]] == [
        f"{name}.intoto.jsonl does not count: it is no plain file, or too large to be a waiver"
        for name in ("folder", "huge", "link")
    ]


def test_a_subject_of_another_statement_is_refused(desk: Desk) -> None:
    """Tools that read the subject alone must not read another release there."""
    file = desk.waiver()
    waiver = Waiver("production", RELEASE, "stream", "r", "me", NOW - HOUR, NOW + HOUR, "1" * 16)
    statement = waiver_statement(waiver)
    statement["subject"][0]["name"] = "release 1.4.1 in production"
    file.write_bytes(desk.signed(statement, ("lead",)))

    (note,) = in_force(desk.fixtures, "production", NOW)
    assert note.endswith("its subject is not what its predicate speaks of")


def test_waivers_in_force_are_named_in_runs_until_they_end(desk: Desk) -> None:
    """A sentence each, with who signed; nothing before the first and after the last."""
    none = in_force(desk.fixtures, "production", NOW)
    desk.waiver()

    assert none == ()
    assert in_force(desk.fixtures, "production", NOW) == (f"{SENTENCE} (signed by lead)",)
    assert in_force(desk.fixtures, "production", NOW + HOUR) == ()


def test_waivers_without_a_policy_are_said_not_to_be_read(desk: Desk) -> None:
    """A run decides nothing by them, and does not end because of them."""
    desk.waiver()
    (desk.fixtures / "policies" / "production.yaml").unlink()

    (note,) = in_force(desk.fixtures, "production", NOW)
    assert note.startswith("the waivers of production cannot be read: no policy guards")


def issue(desk: Desk, **changes: Any) -> tuple[str, str]:  # noqa: ANN401
    """Issue a waiver of the stream gate; the file's name, and what it lacks."""
    texts = {"environment": "production", "release": RELEASE, "gate": "stream", "reason": "r"}
    times: dict[str, datetime] = {"issued": NOW, "until": NOW + HOUR}
    signer = desk.signer(changes.pop("sign_with", "lead"))
    waiver = Waiver(**{"by": "me", "nonce": "ab" * 8, **texts, **times, **changes})
    file, lacks = issue_waiver(desk.fixtures, waiver, signer, NOW)
    return file.name, lacks


def test_an_issued_waiver_counts_at_once(desk: Desk) -> None:
    """It lies where promotions look, under a name that says when and what."""
    assert issue(desk) == ("20261125T120000Z_stream_abababab.intoto.jsonl", "")
    assert len(in_force(desk.fixtures, "production", NOW)) == 1


def test_an_issued_waiver_says_what_it_lacks(desk: Desk) -> None:
    """The second signature, or the right one."""
    assert issue(desk, gate="all")[1] == "it was signed by lead, it needs 2 of lead, cto"
    assert issue(desk, sign_with="ci")[1] == "it was signed by ci, it needs 1 of lead"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"gate": "strem"}, UsageError, "asks for no gate 'strem', did you mean 'stream'"),
        ({"until": NOW}, UsageError, "--until 2026-11-25 12:00 UTC is not in the future"),
        ({"gate": "basic"}, VerificationError, "basic cannot be waived in production"),
        ({"until": NOW + 73 * HOUR}, VerificationError, "it is for 73 h, the policy allows 72 h"),
        ({"reason": "x" * 501}, VerificationError, r"\$.predicate.reason is not as waiver v0.1"),
        ({"release": ""}, VerificationError, r"\$.predicate.release is not as waiver v0.1 says"),
    ],
)
def test_a_waiver_that_could_never_count_is_not_written(
    desk: Desk, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """Its author hears it, and not who promotes."""
    with pytest.raises(kind, match=message):
        issue(desk, **changes)
    assert not (desk.fixtures / "waivers").exists()


def test_a_waiver_that_cannot_be_written_is_said(desk: Desk) -> None:
    """A file stands where the folder should."""
    (desk.fixtures / "waivers").write_text("")

    with pytest.raises(VerificationError, match=r"intoto.jsonl cannot be written: Not a directory"):
        issue(desk)


def test_a_waiver_cannot_steer_the_terminal(desk: Desk) -> None:
    """What its author typed is shown as its escapes."""
    desk.waiver(reason="fine\x1b[2J\nmet  gate basic")

    (note,) = in_force(desk.fixtures, "production", NOW)
    assert r"fine\x1b[2J\nmet  gate basic" in note
