"""Runs gates of the environment with pytest, and believes nothing but the bundle that it signed.

- pytest is a child with ``--env``, ``--release`` and the rollout's ``--sign-with``.
- The bundle is verified with the key that should have signed it; its verdicts decide. A gate that
  is INCOMPLETE, or was not run, fails.
- ``env`` tells the environment's file what only the plan knows: the folder that is not in use yet,
  the images of the release that is gone back to.
- Gates may be run again: they only measure.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key

from pytest_release.attestation.keys import load_public_key, load_signing_key
from pytest_release.attestation.verify import ATTESTATION, VerifiedBundle, verify_bundle
from pytest_release.bundle import EPHEMERAL_KEY
from pytest_release.errors import VerificationError
from pytest_release.redaction import reveal
from pytest_release.rollout.process import Command, Ran
from pytest_release.rollout.stage import Order, Outcome, Stage

GOOD = frozenset({"PASSED", "WARNED"})
BUNDLE = "bundle"  # the fact that names the folder


def describe(options: Mapping[str, Any]) -> str:
    """The gates by name."""
    gates = ", ".join(options.get("gates", ("every required gate",)))
    advisory = options.get("advisory", ())
    return f"{gates}; only said: {', '.join(advisory)}" if advisory else gates


def repeatable(options: Mapping[str, Any]) -> bool:
    """They only measure."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Run them, verify what they left, and say what the verdicts are."""
    place = stage.paths.folder / "gates" / sha256(order.key.encode()).hexdigest()[:16]
    shutil.rmtree(place, ignore_errors=True)  # what an attempt of this number left, that was killed
    place.mkdir(parents=True)
    env = {name: reveal(value) for name, value in order.options.get("env", {}).items()}
    ran = stage.run(order, Command(argv(order, stage, place), env=env))
    if ran.status is None:
        why = f"its time was over after {ran.seconds:.1f} s; pytest was ended"
        return Outcome(done=False, why=why, output=ran.output)
    try:
        folder, verified = _verified(place, stage)
    except VerificationError as error:
        why = f"pytest ended with status {ran.status} and left nothing to believe: {error}"
        return Outcome(done=False, why=why, exit_status=ran.status, output=ran.output)
    return _judged(order, stage, ran, _kept(folder, stage), verified)


def check(order: Order, stage: Stage) -> Outcome | None:
    """It is run again instead."""
    return None


def argv(order: Order, stage: Stage, reports: Path) -> tuple[str, ...]:
    """The command line of pytest."""
    options = order.options
    expression = " or ".join((*options.get("gates", ()), *options.get("advisory", ())))
    return (
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"),
        *("--env", order.environment),
        *("--release", reveal(options.get("release", stage.release))),
        *("--report-dir", str(reports)),
        *("-o", f"release_fixtures={stage.paths.fixtures}"),
        *(("--sign-with", stage.sign_with) if stage.sign_with else ()),
        *(("-m", expression) if expression else ()),
        *(reveal(argument) for argument in options.get("arguments", ())),
    )


def _verified(place: Path, stage: Stage) -> tuple[Path, VerifiedBundle]:
    """The one bundle that pytest left."""
    folders = [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    folders = [path for path in folders if (path / ATTESTATION).is_file()]
    if len(folders) != 1:
        raise VerificationError("there is no report bundle" if not folders else "more than one")
    return folders[0], verify_bundle(folders[0], [_key(folders[0], stage)], now=stage.now())


def _key(folder: Path, stage: Stage) -> Key:
    """The key that should have signed: the rollout's, or the run's own, which proves little."""
    if stage.sign_with is None:
        return load_public_key(folder / EPHEMERAL_KEY)
    return load_signing_key(stage.sign_with, stage.variables).signer.public_key


def _kept(folder: Path, stage: Stage) -> Path:
    """The bundle in the folder of reports, where people and promotions look."""
    there = stage.paths.reports / folder.name
    stage.paths.reports.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(there)
    except OSError:  # another file system
        shutil.copytree(folder, there)
    return there


def _judged(
    order: Order, stage: Stage, ran: Ran, bundle: Path, verified: VerifiedBundle
) -> Outcome:
    predicate = verified.predicate
    problems = list(_problems(order, stage, predicate))
    if not order.options.get("gates") and ran.status:
        problems.append(f"pytest ended with status {ran.status}")
    notes = [f"{name} {gate}" for name, gate in _advisory(order, predicate)]
    facts = {BUNDLE: str(bundle), "verdict": predicate["verdict"], "sha256": verified.sha256}
    if problems:
        return Outcome(False, "; ".join(problems), ran.status, ran.output, facts)
    verdicts = ", ".join(f"{name} {verdict}" for name, verdict in _asked(order, predicate))
    only_said = f"; only said: {', '.join(notes)}" if notes else ""
    return Outcome(True, f"{verdicts}{only_said}", ran.status, ran.output, facts)


def _problems(order: Order, stage: Stage, predicate: Mapping[str, Any]) -> Iterator[str]:
    if predicate["environment"] != order.environment:
        yield f"the bundle is of {predicate['environment']}, and not of {order.environment}"
    wanted = reveal(order.options.get("release", stage.release))
    if predicate["release"]["version"] != wanted:
        named = predicate["release"]["version"] or "no version"
        yield f"release {wanted} was to be there, the deployment names {named}"
    asked = list(_asked(order, predicate))
    yield from (f"{name} is {verdict}{_reason(predicate, name)}"
                for name, verdict in asked if verdict not in GOOD)  # fmt: skip
    if not order.options.get("gates") and predicate["verdict"] not in GOOD:
        yield f"the run is {predicate['verdict']}{_first(predicate['reasons'])}"
    if not asked:
        yield "no gate was run"


def _reason(predicate: Mapping[str, Any], gate: str) -> str:
    return _first(predicate["gates"].get(gate, {}).get("reasons", ()))


def _first(reasons: Sequence[str]) -> str:
    return f" ({reasons[0]})" if reasons else ""


def _asked(order: Order, predicate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Gates that count, with their verdicts."""
    gates = predicate["gates"]
    named: Sequence[str] = order.options.get("gates") or [
        n for n, g in gates.items() if g["required"]
    ]
    yield from ((name, gates[name]["verdict"] if name in gates else "NOT_RUN") for name in named)


def _advisory(order: Order, predicate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in order.options.get("advisory", ()):
        gate = predicate["gates"].get(name)
        yield name, gate["verdict"] if gate else "NOT_RUN"


def bundle_of(outcome: Outcome) -> Path | None:
    """The bundle that a gate left, if it left one."""
    named = outcome.facts.get(BUNDLE)
    return Path(named) if named else None
