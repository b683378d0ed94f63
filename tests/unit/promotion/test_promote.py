"""Tests of `pytest_release.promotion`: what is granted, and what of it is written down."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pytest_release.attestation.anchor import add_anchor
from pytest_release.attestation.keyring import add_key, revoke_key
from pytest_release.attestation.keys import generate
from pytest_release.attestation.predicates import PROMOTION, open_statement
from pytest_release.errors import (
    ConfigError,
    HistoryError,
    PromotionError,
    UsageError,
    VerificationError,
)
from pytest_release.history import verify
from pytest_release.promotion.conditions import Decision, State
from tests.unit.promotion.conftest import COMMIT, NOW, RELEASE, Desk, condition, gate, put

PACKAGE = "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11_v20261123.tar.gz"
IMAGE = "registry.example/shop:1.4.2"


def test_a_release_that_was_shown_may_go(desk: Desk) -> None:
    """Every condition is met and says why; the record is signed, the history has its digest."""
    bundle = desk.bundle()
    outcome = desk.promote(bundle)

    assert [(c.name, c.state) for c in outcome.decision.conditions] == [
        ("policy", State.MET),
        ("evidence", State.MET),
        ("commit", State.MET),
        ("gate basic", State.MET),
        ("gate stream", State.MET),
    ]
    assert condition(outcome, "gate basic").why == "PASSED in staging, 6 cases, signed by ci"
    assert outcome.record is not None
    line = outcome.record.read_bytes()
    statement = open_statement(line, [desk.signer("ci").public_key], PROMOTION).statement
    assert statement["subject"] == [{"name": "release 1.4.2", "digest": {"gitCommit": COMMIT}}]
    (evidence,) = statement["predicate"]["evidence"]
    attestation = (bundle / "attestation.intoto.jsonl").read_bytes()
    assert evidence["sha256"] == sha256(attestation).hexdigest()
    (record,) = verify(desk.history).records
    assert (record.stack, record.env, record.action) == ("shop", "production", "promote")
    assert (record.version, record.status, record.notes) == (RELEASE, "success", "")
    assert record.details["record"] == sha256(line).hexdigest()
    assert record.details["nonces"] == [evidence["nonce"]]


def test_a_refusal_lists_everything_and_is_recorded(desk: Desk) -> None:
    """Not only the first condition that is not met; the history says which were not."""
    bundle = desk.bundle(edit=put(gates={"basic": gate("FAILED", 4)}), ago=timedelta(hours=30))
    said = desk.refused(bundle, commit="e" * 40)

    basic = (
        "it is FAILED in staging (because)",
        "its evidence is 30.0 h old, at most 24.0 h may be",
        "4 cases ran, the policy asks for 6",
        "it was not held to p95_ms <= 500",
    )
    assert said.splitlines() == [
        f"commit: staging-1 is of commit {COMMIT}, and not of {'e' * 40}",
        f"gate basic: {'; '.join(basic)}",
        "gate stream: nothing attests it in an environment with the role staging",
    ]
    (record,) = verify(desk.history).records
    assert (record.action, record.status) == ("promote", "refused")
    assert record.notes == "not met: commit; not met: gate basic; not met: gate stream"
    assert set(record.details["unmet"]) == {"commit", "gate basic", "gate stream"}


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    """It decides the same, and leaves no history, no record and no folder."""
    desk.bundle()
    before = sorted(desk.folder.rglob("*"))
    outcome = desk.promote(sign_with=None)

    assert (outcome.decision.granted, outcome.record) == (True, None)
    assert sorted(desk.folder.rglob("*")) == before


def test_a_dry_run_knows_the_history(desk: Desk) -> None:
    """What has served is refused there, too."""
    desk.promote(desk.bundle())
    outcome = desk.promote(desk.folder / "reports" / "staging-1", sign_with=None)

    assert condition(outcome, "evidence staging-1").why.startswith("its run has served")
    assert verify(desk.history).count == 1


def test_without_a_bundle_the_folder_of_reports_is_searched(desk: Desk) -> None:
    """Those of the release that count are used, of another are ignored, others are named."""
    desk.bundle("good")
    desk.bundle("older-release", put(release={**_release(), "version": "1.4.1"}))
    desk.bundle("local", signers=("nobody",))
    (desk.folder / "reports" / "no-bundle").mkdir()
    (desk.folder / "reports" / "latest").symlink_to("good")
    outcome = desk.promote()

    assert outcome.decision.granted
    assert condition(outcome, "evidence").why == "good (staging, signed by ci)"
    (note,) = outcome.notes
    assert note.startswith("local: attestation.intoto.jsonl, line 1: none of the given keys signed")


def _release(**changes: object) -> dict[str, object]:
    """The predicate's release."""
    common: dict[str, object] = {
        "asked": None,
        "version": RELEASE,
        "commit": COMMIT,
        "packages": {},
        "images": {},
    }
    return {**common, **changes}


def test_several_attestations_fulfil_a_policy_together(desk: Desk) -> None:
    """One gate from CI, the other from the acceptance; both keys are named."""
    ci = desk.bundle("ci", put(gates={"basic": gate(thresholds={"p95_ms": _limit(500)})}))
    acceptance = desk.bundle("acceptance", put(gates={"stream": gate("WARNED")}), ("lead",))
    outcome = desk.promote(ci, acceptance)

    assert condition(outcome, "gate basic").why == "PASSED in staging, 6 cases, signed by ci"
    assert condition(outcome, "gate stream").why == "WARNED in staging, 6 cases, signed by lead"
    assert outcome.decision.granted


def _limit(limit: float) -> dict[str, object]:
    return {"limit": limit, "measured": None, "samples": 0, "decision": "kept"}


def test_attestations_must_speak_of_the_same_release(desk: Desk) -> None:
    """Without a commit to compare with, they are compared with one another."""
    desk.policy(lambda policy: policy.pop("subjects"))
    ci = desk.bundle("ci")
    other = desk.bundle("other", put(release=_release(commit="e" * 40)))
    said = desk.refused(ci, other, commit=None)

    assert said == f"commit: other is of commit {'e' * 40}, ci of {COMMIT}"


def test_the_newest_run_decides(desk: Desk) -> None:
    """A pass of yesterday does not excuse a failure of today, nor the other way round."""
    failing = put(gates={"basic": gate("FAILED"), "stream": gate()})
    passed = desk.bundle("passed", ago=timedelta(hours=3))
    failed = desk.bundle("failed", failing, ago=timedelta(hours=2))
    said = desk.refused(passed, failed)
    again = desk.bundle("again", ago=timedelta(hours=1))

    assert said.startswith("gate basic: it is FAILED in staging")
    assert desk.promote(passed, failed, again).decision.granted


def test_a_shortened_commit_is_the_beginning_of_the_whole(desk: Desk) -> None:
    """Seven digits, as many health answers give, are compared with as many."""
    bundle = desk.bundle(edit=put(release=_release(commit="d34bcae")))

    assert desk.promote(bundle).decision.granted


def test_enough_keys_must_have_signed_the_same_attestation(desk: Desk) -> None:
    """A threshold is met by two keys on one attestation, not by one key on each of two."""
    desk.policy(lambda policy: policy.update(signers={"keys": ["ci", "lead"], "threshold": 2}))
    one, two = desk.bundle("one"), desk.bundle("two", signers=("lead",))
    said = desk.refused(one, two)
    both = desk.bundle("both", signers=("ci", "lead"))
    outcome = desk.promote(both)

    assert "gate basic: it was signed by ci, lead, it needs 2 of ci, lead" in said
    assert condition(outcome, "gate basic").why.endswith("signed by ci, lead")
    assert outcome.decision.granted


def test_a_gate_may_need_another_signer(desk: Desk) -> None:
    """CI cannot stand in for the acceptance."""
    desk.policy(lambda policy: policy["gates"]["stream"].update(signers={"keys": ["lead"]}))

    assert desk.refused(desk.bundle()) == "gate stream: it was signed by ci, it needs 1 of lead"


HELD = {"p95_ms": _limit(500)}


@pytest.mark.parametrize(
    ("basic", "why"),
    [
        (gate("WARNED", thresholds=HELD), "it is WARNED in staging (because)"),
        (gate("INCOMPLETE", thresholds=HELD), "it is INCOMPLETE in staging (because)"),
        (gate("NOT_RUN", thresholds=HELD), "nothing attests it in staging"),
        (gate(cases=5, thresholds=HELD), "5 cases ran, the policy asks for 6"),
        (
            gate(cases=5, thresholds=HELD) | {"cases": {"PASSED": 5, "NOT_RUN": 4}},
            "5 cases ran, the policy asks for 6",
        ),
        (gate(), "it was not held to p95_ms <= 500"),
        (
            gate(thresholds={"p95_ms": _limit(900)}),
            "it was held to p95_ms <= 900, the policy asks for 500",
        ),
    ],
)
def test_a_gate_is_what_the_policy_asks_for(desk: Desk, basic: dict[str, object], why: str) -> None:
    """Its verdict, as many cases, and limits that are as strict."""
    bundle = desk.bundle(edit=put(gates={"basic": basic, "stream": gate()}))

    assert desk.refused(bundle) == f"gate basic: {why}"


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ({}, "it was not held to min_rps >= 50"),
        ({"min_rps": _limit(40)}, "it was held to min_rps >= 40, the policy asks for 50"),
    ],
)
def test_a_limit_that_must_be_reached_is_strict_when_it_is_high(
    desk: Desk, held: dict[str, object], why: str
) -> None:
    """Held to more will do, to less will not."""
    desk.policy(lambda policy: policy["gates"]["basic"].update(thresholds={"min_rps": 50}))
    good = gate(thresholds={"min_rps": _limit(60)})
    poor = put(gates={"basic": gate(thresholds=held), "stream": gate()})

    assert desk.refused(desk.bundle(edit=poor)) == f"gate basic: {why}"
    strict = desk.bundle("strict", edit=put(gates={"basic": good, "stream": gate()}))
    assert desk.promote(strict).decision.granted


def test_evidence_of_another_place_is_named(desk: Desk) -> None:
    """The gate passed, but not where the policy wants it."""
    bundle = desk.bundle(edit=put(environment="playground", role="development"))

    anywhere = "an environment with the role staging"
    assert desk.refused(bundle).splitlines() == [
        "gate basic: nothing attests it in staging, but in playground",
        f"gate stream: nothing attests it in {anywhere}, but in playground",
    ]


def test_a_subject_that_the_policy_asks_for_is_named(desk: Desk) -> None:
    """Commit, packages and images: what is not named cannot be compared."""
    desk.policy(lambda policy: policy.update(subjects=["commit", "packages", "images"]))
    said = desk.refused(desk.bundle(), commit=None)

    assert said.splitlines() == [
        "commit: the policy asks for the commit: name it with --commit",
        "packages: the policy asks for packages: name them with --package",
        "images: the policy asks for images: name them with --image",
    ]


def test_a_build_without_a_commit_is_no_evidence_of_one(desk: Desk) -> None:
    """The deployment that was judged names none."""
    bundle = desk.bundle(edit=put(release=_release(commit=None)))

    assert desk.refused(bundle) == "commit: staging-1 names no commit"


def test_a_package_is_promoted_by_its_bytes(desk: Desk, tmp_path: Path) -> None:
    """The same name with other bytes, and one that nobody judged, are refused."""
    package = tmp_path / PACKAGE
    package.write_bytes(b"package")
    judged = _release(packages={PACKAGE: sha256(b"package").hexdigest(), "other": "a" * 64})
    good = desk.bundle("good", put(release=judged))
    bad = desk.bundle("bad", put(release=_release(packages={PACKAGE: "b" * 64})))
    none = desk.bundle("none")

    assert desk.refused(bad, packages=[package]) == (
        f"packages: {PACKAGE} is sha256:{sha256(b'package').hexdigest()}, "
        f"and bad is of sha256:{'b' * 64}"
    )
    assert desk.refused(none, packages=[package]) == (
        f"packages: nothing attests the package {PACKAGE}"
    )
    outcome = desk.promote(good, packages=[package])
    assert condition(outcome, "packages").why == PACKAGE
    assert outcome.decision.granted


def test_a_package_that_cannot_be_read_ends_it(desk: Desk, tmp_path: Path) -> None:
    """What is promoted must be there."""
    with pytest.raises(PromotionError, match=r"the package .*nowhere cannot be read: No such file"):
        desk.promote(desk.bundle(), packages=[tmp_path / "nowhere"])


def test_a_tag_that_moved_is_refused(desk: Desk) -> None:
    """Images that were judged are looked up again, whether or not they are named."""
    bundle = desk.bundle(edit=put(release=_release(images={IMAGE: "a" * 64})))
    desk.images[IMAGE] = "b" * 64
    said = desk.refused(bundle)
    desk.images[IMAGE] = "a" * 64

    assert said == f"images: {IMAGE} is sha256:{'b' * 64}, and staging-1 is of sha256:{'a' * 64}"
    assert condition(desk.promote(bundle), "images").why == IMAGE


def test_all_images_that_were_judged_are_promoted(desk: Desk) -> None:
    """To name one of two would leave the other's tag unlooked at."""
    other = "registry.example/worker:1.4.2"
    images = {IMAGE: "a" * 64, other: "c" * 64}
    bundle = desk.bundle(edit=put(release=_release(images=images)))
    desk.images.update(images)

    assert desk.refused(bundle, images=[IMAGE]) == (
        f"images: staging-1 is of the image {other} too; name it with --image"
    )


def test_a_release_soaks(desk: Desk) -> None:
    """From the first attestation of it there, by keys that count."""
    desk.policy(lambda policy: policy.update(soak={"environment": "staging", "minutes": 90}))
    late = desk.bundle("late", ago=timedelta(hours=1))
    said = desk.refused(late)
    early = desk.bundle("early", ago=timedelta(hours=2))
    outcome = desk.promote(late, early)

    assert said == "soak: 65 min in staging, 90 min are asked for"
    assert condition(outcome, "soak").why == "2.1 h in staging"
    assert outcome.decision.granted


def test_a_release_that_was_never_there_has_not_soaked(desk: Desk) -> None:
    """Nor has one that only others attested."""
    desk.policy(lambda policy: policy.update(soak={"environment": "node2", "minutes": 90}))

    assert desk.refused(desk.bundle()) == ("soak: no attestation that counts shows 1.4.2 in node2")


def test_nothing_goes_in_a_freeze(desk: Desk) -> None:
    """The window is named, with its zone; outside of it the condition is met."""
    freeze = {"name": "stocktaking", "from": "wednesday 13:00", "until": "wednesday 14:00"}
    desk.policy(lambda policy: policy.update(freeze=[{**freeze, "zone": "Europe/Berlin"}]))
    bundle = desk.bundle()
    said = desk.refused(bundle)
    desk.now = NOW + timedelta(hours=1)
    outcome = desk.promote(bundle)

    assert said == "freeze: it is stocktaking (Europe/Berlin)"
    assert condition(outcome, "freeze").why == "none now"


def test_a_newer_policy_decides_next(desk: Desk) -> None:
    """Its number goes up; then an older one is refused, and one changed under the same number."""
    desk.promote(desk.bundle("one"))
    desk.policy(lambda policy: policy.update(version=4, max_age_h=12))
    granted = desk.promote(desk.bundle("two")).decision.granted
    desk.policy()
    older = desk.promote(desk.bundle("three"))
    desk.policy(lambda policy: policy.update(version=4, max_age_h=100))
    changed = desk.promote(desk.bundle("four"))

    assert granted
    assert condition(older, "policy").why == "version 3 is older than 4, which decided before"
    assert condition(changed, "policy").why == (
        "it was changed and is still version 4; give it the next number"
    )


def test_a_key_rotates(desk: Desk) -> None:
    """Two keys are valid, then the old one is revoked, and what it signed before counts no more."""
    desk.trust("ci-2027")
    desk.policy(lambda policy: policy.update(signers={"keys": ["ci", "ci-2027"]}))
    old, new = desk.bundle("old"), desk.bundle("new", signers=("ci-2027",))
    before = desk.promote(old, sign_with=None).decision.granted
    revoke_key(desk.fixtures, "ci", "replaced", NOW)

    assert before
    assert desk.refused(old, sign_with="lead").startswith(
        "evidence old: it carries a signature by ci, which was revoked on 2026-11-25 (replaced)"
    )
    assert desk.promote(new, sign_with="ci-2027").decision.granted


def test_the_record_needs_a_key_that_is_trusted(desk: Desk) -> None:
    """A promotion that anybody signed would be worth nothing."""
    with pytest.raises(
        UsageError, match=r"signed by SHA256:[0-9a-f]{64}, which nobody trusts: add"
    ):
        desk.promote(desk.bundle(), sign_with="stranger")
    revoke_key(desk.fixtures, "ci", "lost", NOW)
    with pytest.raises(UsageError, match="which nobody trusts"):
        desk.promote(sign_with="ci")
    assert not desk.history.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"release": ""}, "--release is a version of at most 200 printable characters"),
        ({"release": "1\x1b[2J"}, "--release is a version of at most 200 printable"),
        ({"release": "1" * 201}, "--release is a version of at most 200 printable"),
        ({"commit": "main"}, "--commit is 7 to 64 hex digits, got 'main'"),
        ({"commit": "D34BCAE"}, "--commit is 7 to 64 hex digits, got 'D34BCAE'"),
        ({"environment": "staging"}, "no policy guards 'staging'; policies in .*: production"),
        ({"environment": "pr\u043eduction"}, r"no policy guards 'pr\\u043eduction', did you mean"),
    ],
)
def test_a_wrong_request_is_said(desk: Desk, changes: dict[str, Any], message: str) -> None:
    """Before anything is read or written."""
    with pytest.raises(UsageError, match=message):
        desk.promote(**changes)
    assert not desk.history.exists()


def test_a_policy_that_is_wrong_decides_nothing(desk: Desk) -> None:
    """Its problem is named with file and line."""
    desk.policy(lambda policy: policy.update(max_age_h=0))

    with pytest.raises(ConfigError, match=r"production.yaml:\d+: max_age_h: expected a number"):
        desk.promote(desk.bundle())


def test_a_history_that_was_changed_decides_nothing(desk: Desk) -> None:
    """What has served is known from it alone."""
    desk.promote(desk.bundle())
    text = desk.history.read_text()
    desk.history.write_text(text.replace("success", "refused"))

    with pytest.raises(HistoryError, match="its hash is not that of its content"):
        desk.promote(desk.bundle("again"))


def test_a_history_that_was_cut_off_decides_nothing(desk: Desk) -> None:
    """Its anchors say that there was more: the evidence that served would serve again."""
    bundle = desk.bundle()
    desk.promote(bundle)
    desk.promote(desk.bundle("two"), nonce="1" * 32)
    add_anchor(desk.history, desk.signer("ci"), NOW)
    first, _ = desk.history.read_text().splitlines(keepends=True)
    desk.history.write_text(first)

    with pytest.raises(VerificationError, match=r"removed: it was signed at .* of 2 records"):
        desk.promote(desk.folder / "reports" / "two")


def test_a_history_that_cannot_be_written_promotes_nothing(desk: Desk) -> None:
    """The record has no name before the history has its line."""
    desk.history.mkdir()

    with pytest.raises(HistoryError, match=r"history.jsonl cannot be written"):
        desk.promote(desk.bundle())
    assert not (desk.folder / "promotions").exists()


def test_a_record_that_cannot_be_written_is_no_line_in_the_history(desk: Desk) -> None:
    """The evidence has not served, and can serve when the folder can be written."""
    (desk.folder / "promotions").write_text("in the way")
    bundle = desk.bundle()

    with pytest.raises(PromotionError, match=r"the record .* cannot be written: File exists"):
        desk.promote(bundle)
    assert verify(desk.history).count == 0
    (desk.folder / "promotions").unlink()
    assert desk.promote(bundle).decision.granted


MAIN = "import sys; from pytest_release.cli import main; sys.exit(main())"


def test_of_four_promotions_at_once_one_is_granted(desk: Desk) -> None:
    """The lock is held from the reading of what has served to the line that says it."""
    generate(desk.folder / "key.pem")
    add_key(desk.fixtures, "key", desk.folder / "key.pem.pub")
    desk.now = datetime.now(UTC)
    desk.bundle()
    command = [sys.executable, "-c", MAIN, "promote", "--to", "production", "--release", RELEASE]
    command += ["--commit", COMMIT, "--sign-with", "key.pem"]
    running = [
        subprocess.Popen(command, cwd=desk.folder, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in running]

    assert sorted(process.returncode for process in running) == [0, 1, 1, 1]
    assert sum("GRANTED" in output for output in outputs) == 1
    assert [r.status for r in verify(desk.history).records].count("success") == 1
    assert len(list((desk.folder / "promotions").iterdir())) == 1


def test_no_conditions_grant_nothing() -> None:
    """The empty conjunction is not true."""
    assert not Decision(()).granted
