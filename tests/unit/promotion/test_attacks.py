"""Attacks on a promotion: each is refused, with a message of its own, and nothing is promoted."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, Signature

from pytest_release.atomic import canonical_json
from pytest_release.attestation.anchor import add_anchor
from pytest_release.attestation.envelope import PAYLOAD_TYPE, sign
from pytest_release.attestation.keyring import revoke_key
from pytest_release.attestation.verify import ATTESTATION
from pytest_release.attestation.waiver import Waiver, waiver_statement
from pytest_release.errors import PromotionError, ReleaseError, VerificationError
from pytest_release.history import verify
from pytest_release.promotion.conditions import decide
from pytest_release.promotion.promote import Outcome
from tests.unit.attestation.conftest import GATE
from tests.unit.promotion.conftest import COMMIT, NOW, RELEASE, Desk, gate, put

Prepare = Callable[[Desk, Path], object]
HOUR = timedelta(hours=1)
CYRILLIC = "st\u0430ging"  # the third letter is not the one it looks like


@dataclass(frozen=True)
class Attack:
    """What is done to a bundle that would be good, and how it is refused."""

    prepare: Prepare
    refused: str
    request: Mapping[str, Any] | None = None


def lines(bundle: Path) -> list[bytes]:
    """Of the attestation, with their line feeds."""
    return (bundle / ATTESTATION).read_bytes().splitlines(keepends=True)


def write(bundle: Path, *content: bytes) -> None:
    """Another attestation."""
    (bundle / ATTESTATION).write_bytes(b"".join(content))


def envelopes(change: Callable[[dict[str, Any], Desk], object]) -> Prepare:
    """Both envelopes, changed and spelled canonically."""

    def prepare(desk: Desk, bundle: Path) -> None:
        changed = []
        for line in lines(bundle):
            data = json.loads(line)
            change(data, desk)
            changed.append(canonical_json(data) + b"\n")
        write(bundle, *changed)

    return prepare


def resealed(edit: Callable[[dict[str, Any]], object], **how: Any) -> Prepare:  # noqa: ANN401
    """Signed by its own key again, and saying something else."""
    return lambda desk, bundle: desk.seal(bundle, edit, **how)


def raw(spell: Callable[[bytes], bytes]) -> Prepare:
    """Payloads that are no canonical JSON, rightly signed."""

    def prepare(desk: Desk, bundle: Path) -> None:
        changed = []
        for line in lines(bundle):
            envelope = Envelope.from_dict(json.loads(line))
            other = Envelope(spell(envelope.payload), PAYLOAD_TYPE, {})
            other.sign(desk.signer("ci"))
            changed.append(canonical_json(other.to_dict()) + b"\n")
        write(bundle, *changed)

    return prepare


def edited(name: str, text: str) -> Prepare:
    """A file of the bundle with other content of the same size."""
    return lambda _, bundle: (bundle / name).write_text(text)


def signature(key_id: str, raw_signature: bytes) -> dict[str, str]:
    """As an envelope carries it."""
    return {"keyid": key_id, "sig": base64.b64encode(raw_signature).decode()}


def relabelled(data: dict[str, Any], desk: Desk) -> None:
    """A stranger's signature under a trusted key's id."""
    payload = base64.b64decode(data["payload"])
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    made: Signature = envelope.sign(desk.signer("stranger"))
    trusted = desk.signer("ci").public_key.keyid
    data["signatures"] = [signature(trusted, bytes.fromhex(made.signature))]


def other_algorithm(data: dict[str, Any], desk: Desk) -> None:
    """An RSA signature under the id of an ed25519 key."""
    signer = CryptoSigner(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    made = signer.sign(Envelope(base64.b64decode(data["payload"]), PAYLOAD_TYPE, {}).pae())
    trusted = desk.signer("ci").public_key.keyid
    data["signatures"] = [signature(trusted, bytes.fromhex(made.signature))]


def without_pae(data: dict[str, Any], desk: Desk) -> None:
    """A signature over the payload alone, as other formats have it."""
    made = desk.signer("ci").sign(base64.b64decode(data["payload"]))
    trusted = desk.signer("ci").public_key.keyid
    data["signatures"] = [signature(trusted, bytes.fromhex(made.signature))]


def also_by(name: str) -> Prepare:
    """A second signature beside the right one."""

    def change(data: dict[str, Any], desk: Desk) -> None:
        envelope = Envelope(base64.b64decode(data["payload"]), PAYLOAD_TYPE, {})
        made = envelope.sign(desk.signer(name))
        data["signatures"].append(signature(made.keyid, bytes.fromhex(made.signature)))

    return envelopes(change)


def same_key_twice(data: dict[str, Any], _: Desk) -> None:
    """Its id in capitals passes for another key's."""
    (one,) = data["signatures"]
    data["signatures"].append({**one, "keyid": one["keyid"].upper()})


def needs_two(desk: Desk, _: Path) -> None:
    """The policy wants two signatures."""
    desk.policy(lambda policy: policy.update(signers={"keys": ["ci", "lead"], "threshold": 2}))


def both(*steps: Prepare) -> Prepare:
    """One after the other."""

    def prepare(desk: Desk, bundle: Path) -> None:
        for step in steps:
            step(desk, bundle)

    return prepare


def swapped_file(desk: Desk, bundle: Path) -> None:
    """The page of another signed bundle."""
    other = desk.bundle("other")
    (other / "report.html").write_text("<p>other</p>")
    desk.seal(other)
    shutil.copy(other / "report.html", bundle / "report.html")


def swapped_attestation(desk: Desk, bundle: Path) -> None:
    """The attestation of another signed bundle."""
    other = desk.bundle("other")
    (other / "report.html").write_text("<p>other</p>")
    desk.seal(other)
    shutil.copy(other / ATTESTATION, bundle / ATTESTATION)


def mixed_lines(desk: Desk, bundle: Path) -> None:
    """The test result of one run, the release gate of another."""
    other = desk.bundle("other", put(verdict="WARNED"))
    write(bundle, lines(other)[0], lines(bundle)[1])


def replayed(desk: Desk, bundle: Path) -> None:
    """It has served a promotion before."""
    desk.promote(bundle)


def copied_after_use(desk: Desk, bundle: Path) -> None:
    """Its copy has served, under another name."""
    copy = bundle.with_name("copy")
    shutil.copytree(bundle, copy)
    desk.promote(copy)


def downgraded(desk: Desk, bundle: Path) -> None:
    """Version 4 decided; an older file is put back."""
    desk.policy(lambda policy: policy.update(version=4))
    desk.promote(desk.bundle("before"))
    desk.policy()


def weakened(desk: Desk, bundle: Path) -> None:
    """The same version with a gate less."""
    desk.promote(desk.bundle("before"))
    desk.policy(lambda policy: policy["gates"].pop("stream"))


def twice_in_the_keyring(desk: Desk, bundle: Path) -> None:
    """One key under two names would meet a threshold of two."""
    needs_two(desk, bundle)
    keys = desk.fixtures / "keys"
    (keys / "lead.pub").write_bytes((keys / "ci.pub").read_bytes())


def revoked(desk: Desk, _: Path) -> None:
    """The key was lost."""
    revoke_key(desk.fixtures, "ci", "lost", NOW)


def revoked_and_renamed(desk: Desk, bundle: Path) -> None:
    """The key was lost, and comes back under another name."""
    revoked(desk, bundle)
    keys = desk.fixtures / "keys"
    (keys / "ci.pub").rename(keys / "lead.pub")
    del desk.keys["ci"]
    desk.trust("ci")  # the name has another key now


def private_key_as_trust(desk: Desk, _: Path) -> None:
    """A private key among the public ones."""
    (desk.fixtures / "keys" / "ci.pub").write_text("-----BEGIN PRIVATE KEY-----\n")


def history_rewritten(desk: Desk, bundle: Path) -> None:
    """The line that says it served is made to say something else."""
    desk.promote(bundle)
    desk.history.write_text(desk.history.read_text().replace("production", "productiom"))


def history_removed(desk: Desk, bundle: Path) -> None:
    """The history was signed, and is gone."""
    desk.promote(bundle)
    add_anchor(desk.history, desk.signer("lead"), NOW)
    desk.history.unlink()


def history_forged(desk: Desk, bundle: Path) -> None:
    """All of it written anew, as a chain that is whole."""
    desk.promote(bundle)
    add_anchor(desk.history, desk.signer("lead"), NOW)
    desk.history.unlink()
    anchors = desk.history.with_name("history.jsonl.anchors")
    kept = anchors.read_bytes()
    anchors.unlink()
    desk.promote(desk.bundle("forged"))
    anchors.write_bytes(kept)


def huge(_: Desk, bundle: Path) -> None:
    """A file of a terabyte, of which nothing may be read."""
    (bundle / "report.html").unlink()
    os.truncate(os.open(bundle / "report.html", os.O_CREAT | os.O_WRONLY), 2**40)


def linked_attestation(_: Desk, bundle: Path) -> None:
    """A link to the right attestation."""
    (bundle / ATTESTATION).rename(bundle.parent / "away")
    (bundle / ATTESTATION).symlink_to("../away")


def linked(desk: Desk, bundle: Path) -> None:
    """A link to a file with the right content."""
    outside = desk.folder / "outside.html"
    (bundle / "report.html").rename(outside)
    (bundle / "report.html").symlink_to(outside)


def listed(name: str) -> Prepare:
    """A file that the statement names, whatever that name leads to."""

    def edit(statement: dict[str, Any]) -> None:
        entry = {"sha256": "0" * 64, "size": 0}
        statement["predicate"]["files"][name] = entry

    return resealed(edit)


def forged_waiver(desk: Desk, bundle: Path) -> None:
    """A waiver that CI, who may sign evidence, signs for a gate that failed."""
    desk.seal(bundle, put(gates={"basic": GATE["predicate"]["gates"]["basic"], "stream": gate()}))
    desk.waiver(("ci",), gate="stream")


def waiver_as_evidence(desk: Desk, bundle: Path) -> None:
    """A statement of another kind in an attestation's place."""
    waiver = Waiver("production", RELEASE, "all", "r", "me", NOW - HOUR, NOW + HOUR, "1" * 16)
    line = sign(waiver_statement(waiver), desk.signer("ci"))
    write(bundle, line, line)


def evidence_as_waiver(desk: Desk, bundle: Path) -> None:
    """An attestation in a waiver's place, for a gate that failed."""
    file = desk.waiver()
    file.write_bytes(lines(bundle)[1])
    desk.seal(bundle, put(gates={"basic": gate(), "stream": gate("FAILED")}))


def nothing(*_: object) -> None:
    """The request itself is the attack."""


ATTACKS: dict[str, Attack] = {
    # what was signed is changed
    "a file is changed": Attack(edited("report.html", "<p>no</p>"), "report.html was changed: its"),
    "a file grows": Attack(edited("report.html", "<p>ok</p> "), "was changed: it has 10 bytes"),
    "a file is gone": Attack(
        lambda _, b: (b / "evidence.json").unlink(), "evidence.json was signed and is missing"
    ),
    "a file more": Attack(
        lambda _, b: (b / "more.html").touch(), "more.html is in the bundle and was not signed"
    ),
    "a huge file": Attack(huge, f"report.html was changed: it has {2**40} bytes"),
    "a file of another bundle": Attack(swapped_file, "report.html was changed"),
    "the attestation of another bundle": Attack(swapped_attestation, "report.html was changed"),
    "lines of two runs": Attack(mixed_lines, "the two statements are not of one run"),
    "lines in another order": Attack(
        lambda _, b: write(b, *reversed(lines(b))), "line 1: the predicate type is not"
    ),
    "one line": Attack(lambda _, b: write(b, lines(b)[1]), "has 1 lines, an attestation has two"),
    "a verdict is changed": Attack(
        envelopes(
            lambda data, _: data.update(
                payload=base64.b64encode(
                    base64.b64decode(data["payload"]).replace(b"PASSED", b"WARNED")
                ).decode()
            )
        ),
        "is not that key's, or what it signed was changed",
    ),
    # signatures
    "no signature": Attack(
        envelopes(lambda data, _: data.update(signatures=[])), "the envelope is not signed"
    ),
    "a stranger's signature": Attack(
        resealed(lambda _: None, signers=["stranger"]), "none of the given keys signed this"
    ),
    "a stranger's signature under a trusted id": Attack(
        envelopes(relabelled), "is not that key's, or what it signed was changed"
    ),
    "a stranger's signature beside a trusted one": Attack(
        also_by("stranger"), "it carries a signature by SHA256:[0-9a-f]{64}, which is not in"
    ),
    "a trusted key that the policy does not name": Attack(
        resealed(lambda _: None, signers=["cto"]),
        "it was signed by cto, the policy trusts ci, lead",
    ),
    "the same key twice": Attack(
        both(needs_two, envelopes(same_key_twice)), "it carries a signature by SHA256:[0-9A-F]{64}"
    ),
    "the same id twice": Attack(
        envelopes(lambda data, _: data["signatures"].append(data["signatures"][0])),
        "each signature names another key",
    ),
    "one key under two names": Attack(
        twice_in_the_keyring, "ci.pub and lead.pub hold the same key; remove one of them"
    ),
    "another algorithm": Attack(
        envelopes(other_algorithm), "is not that key's, or what it signed was changed"
    ),
    "the payload signed without its type": Attack(
        envelopes(without_pae), "is not that key's, or what it signed was changed"
    ),
    "another payload type": Attack(
        envelopes(lambda data, _: data.update(payloadType="application/json")),
        "the payload type is not application/vnd.in-toto",
    ),
    "an unknown member of the envelope": Attack(
        envelopes(lambda data, _: data.update(alg="none")), "and nothing else"
    ),
    "a revoked key": Attack(
        revoked, "by ci, which was revoked on 2026-11-25", {"sign_with": "lead"}
    ),
    "a revoked key under another name": Attack(
        revoked_and_renamed, "by ci, which was revoked", {"sign_with": "ci"}
    ),
    "a private key as a trusted one": Attack(private_key_as_trust, "ci.pub is a private key"),
    "a key made for its run": Attack(
        resealed(put(ephemeralKey=True)), "a key made for its run, which proves nothing"
    ),
    # parsers that disagree
    "duplicate JSON keys": Attack(
        raw(lambda p: p.replace(b'{"_type"', b'{"_type":"x","_type"', 1)),
        "the payload is not the canonical JSON",
    ),
    "a duplicate key in the envelope": Attack(
        lambda _, b: write(b, *(x.replace(b"{", b'{"payload":"",', 1) for x in lines(b))),
        "the line is not the canonical JSON",
    ),
    "spaces": Attack(raw(lambda p: p + b" "), "the payload is not the canonical JSON"),
    "escaped characters": Attack(
        raw(lambda p: p.replace(b"shop", b"sh\\u006fp")), "the payload is not the canonical JSON"
    ),
    "NaN": Attack(raw(lambda p: p.replace(b"9.5", b"NaN")), "the payload is not JSON"),
    "nested too deeply": Attack(raw(lambda _: b"[" * 100_000), "the payload is not JSON"),
    "base64 with spare bits": Attack(
        lambda _, b: write(b, *(re.sub(b'"sig":"..', b'"sig":"=="', x) for x in lines(b))),
        "the line is not JSON|not base64|not the canonical",
    ),
    "a number where a text should be": Attack(
        resealed(put(nonce=1)), r"line 2: \$.predicate.nonce is not as release-gate v0.1 says"
    ),
    # names
    "a look-alike environment": Attack(
        resealed(put(environment=CYRILLIC)),
        r"line 2: \$.predicate.environment is not as release-gate v0.1 says",
    ),
    "a look-alike target": Attack(
        nothing, r"no policy guards 'pr\\u043eduction'", {"environment": "pr\u043eduction"}
    ),
    "a target that is a path": Attack(
        nothing,
        r"no policy guards '../policies/production'",
        {"environment": "../policies/production"},
    ),
    "a look-alike version": Attack(
        resealed(lambda s: s["predicate"]["release"].update(version="1.4.\uff12")),
        r"it is of '1.4.\\uff12', and not of '1.4.2'",
    ),
    "a file name that is a path": Attack(
        listed("../evidence.json"), "../evidence.json was signed and is missing"
    ),
    "an absolute file name": Attack(
        listed("/etc/hostname"), "/etc/hostname was signed and is missing"
    ),
    "a link in the bundle": Attack(linked, "report.html is not a plain file"),
    "a folder in the bundle": Attack(lambda _, b: (b / "sub").mkdir(), "sub is not a plain file"),
    "a pipe in the bundle": Attack(lambda _, b: os.mkfifo(b / "pipe"), "pipe is not a plain file"),
    "a linked attestation": Attack(linked_attestation, "is no plain file, or too large"),
    # another release, another place, another time
    "another commit": Attack(
        nothing, f"staging-1 is of commit {COMMIT}, and not of {'e' * 40}", {"commit": "e" * 40}
    ),
    "another commit with the same beginning": Attack(
        nothing, "and not of d34bcaee", {"commit": "d34bcaee" + "0" * 32}
    ),
    "six digits of a commit": Attack(
        resealed(lambda s: s["predicate"]["release"].update(commit="d34bca")),
        "staging-1 is of commit d34bca, and not of",
    ),
    "another version": Attack(
        nothing, "it is of '1.4.2', and not of '1.4.3'", {"release": "1.4.3"}
    ),
    "another environment": Attack(
        resealed(put(environment="playground")), "nothing attests it in staging, but in playground"
    ),
    "evidence that is too old": Attack(
        resealed(lambda _: None, ago=25 * HOUR), "its evidence is 25.0 h old, at most 24.0 h may be"
    ),
    "evidence from the future": Attack(
        resealed(lambda _: None, ago=-HOUR), "the run ended in the future"
    ),
    "a run that ended before it began": Attack(
        resealed(put(started=NOW.isoformat())), r"the run ended \(.*\) before it began"
    ),
    "a clock five minutes wrong": Attack(
        resealed(lambda _: None, ago=-timedelta(minutes=5, seconds=1)), "in the future"
    ),
    "an incomplete run": Attack(
        resealed(put(gates={"basic": gate("INCOMPLETE"), "stream": gate("INCOMPLETE")})),
        "gate basic: it is INCOMPLETE in staging",
    ),
    # the same again
    "a replay": Attack(replayed, "its run has served the promotion of 1.4.2 at 2026-11-25T12"),
    "a replay of a copy": Attack(copied_after_use, "its run has served the promotion of 1.4.2"),
    "an older policy": Attack(downgraded, "version 3 is older than 4, which decided before"),
    "a policy that was weakened": Attack(weakened, "it was changed and is still version 3"),
    "a history that was changed": Attack(history_rewritten, "its hash is not that of its content"),
    "a history that is gone": Attack(
        history_removed, "holds no record, though|removed: it was signed"
    ),
    "a history that was written anew": Attack(
        history_forged, "changed: it was signed at .* record 1 is not the one it was then"
    ),
    # one kind of statement for another
    "a waiver by whom it is not for": Attack(forged_waiver, "gate basic: 1 cases ran"),
    "a waiver as evidence": Attack(waiver_as_evidence, "line 1: the predicate type is not"),
    "evidence as a waiver": Attack(evidence_as_waiver, "gate stream: it is FAILED in staging"),
}


def outcome_of(desk: Desk, bundle: Path, request: Mapping[str, Any]) -> str:
    """Everything that is said of the promotion, which is not granted."""
    try:
        outcome: Outcome = desk.promote(bundle, nonce="f" * 32, **request)
    except ReleaseError as error:
        return str(error)
    assert not outcome.decision.granted
    assert outcome.record is None
    return "\n".join(f"{c.name}: {c.why}" for c in outcome.decision.unmet)


def promotions(desk: Desk) -> set[Path]:
    """The records there are."""
    return set((desk.folder / "promotions").glob("*"))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(desk: Desk, name: str) -> None:
    """With its own message, and without a record."""
    attack = ATTACKS[name]
    bundle = desk.bundle()
    attack.prepare(desk, bundle)
    before = promotions(desk)
    said = outcome_of(desk, bundle, attack.request or {})

    assert re.search(attack.refused, said)
    assert promotions(desk) == before


def test_without_an_attack_it_is_granted(desk: Desk) -> None:
    """Or the table would show nothing."""
    assert desk.promote(desk.bundle()).decision.granted


def test_there_are_forty_attacks() -> None:
    """And none is refused because of what another is."""
    assert len(ATTACKS) >= 40


def test_what_changes_between_verification_and_use_is_found(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the decision is taken, somebody puts other files there."""
    bundle = desk.bundle()

    def meanwhile(*arguments: Any) -> object:  # noqa: ANN401 - those of decide
        (bundle / "report.html").write_text("<p>no</p>")
        return decide(*arguments)

    monkeypatch.setattr("pytest_release.promotion.promote.decide", meanwhile)
    with pytest.raises(PromotionError, match="the evidence changed while it was read"):
        desk.promote(bundle)
    assert promotions(desk) == set()
    assert verify(desk.history).count == 0


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_changed_byte_of_a_bundle_is_found(desk: Desk, data: st.DataObject) -> None:
    """Whichever byte of whichever file becomes whatever other byte."""
    bundle = desk.folder / "reports" / "staging-1"
    if not bundle.exists():
        desk.bundle()
    name = data.draw(st.sampled_from(sorted(file.name for file in bundle.iterdir())))
    good = (bundle / name).read_bytes()
    position = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != good[position]))
    (bundle / name).write_bytes(good[:position] + bytes([byte]) + good[position + 1 :])
    try:
        outcome = desk.promote(bundle, sign_with=None)
    finally:
        (bundle / name).write_bytes(good)

    assert not outcome.decision.granted
    assert outcome.decision.unmet[0].name == "evidence staging-1"


def test_no_error_but_ours_leaves_a_verifier(desk: Desk) -> None:
    """Whatever the attestation's bytes are, the answer is one sentence."""
    from pytest_release.attestation.keyring import load_keyring
    from pytest_release.promotion.dossier import read_bundle

    bundle = desk.bundle()
    keyring = load_keyring(desk.fixtures)
    for content in (b"", b"\n\n", b"[]\n{}\n", b"\xff\n\xff\n", b'{"payload":1}\n' * 2):
        (bundle / ATTESTATION).write_bytes(content)
        with pytest.raises(VerificationError, match=ATTESTATION):
            read_bundle(bundle, keyring, ["ci"], NOW)
