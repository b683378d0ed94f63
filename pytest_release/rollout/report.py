"""The bundle of a rollout: its page, its JSON and its journal, signed, under one name or none."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pytest_release.atomic import canonical_json, fsync_folder, write_bytes
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import SigningKey, ephemeral, load_signing_key
from pytest_release.attestation.predicates import ROLLOUT
from pytest_release.attestation.rollouts import ROLLOUT_ATTESTATION
from pytest_release.attestation.statement import statement
from pytest_release.attestation.verify import digest_files
from pytest_release.bundle import EPHEMERAL_KEY
from pytest_release.config.plan import Plan
from pytest_release.errors import BundleError, VerificationError
from pytest_release.release import COMMIT
from pytest_release.rollout import page
from pytest_release.rollout.course import tasks_of
from pytest_release.rollout.driver import Driver
from pytest_release.rollout.journal import FILE
from pytest_release.rollout.state import State, TaskState

PAGE, FACTS = "rollout.html", "rollout.json"
SHORT = ("status", "begun", "ended", "seconds", "attempt", "task")


def seal(driver: Driver) -> str:
    """Write, sign and name the bundle of a rollout that was decided.

    Returns:
        Its folder; one that is there already is left as it is.

    Raises:
        BundleError: It cannot be written, or the key does not sign.
    """
    setting, state = driver.setting, driver.state
    reports = setting.paths.reports
    folder = reports / f"{state.opened['rollout']}_rollout"
    if folder.exists():  # by one rename: it is whole
        return str(folder)
    staging: Path | None = None
    try:
        key = (
            load_signing_key(setting.sign_with, setting.variables)
            if setting.sign_with
            else ephemeral()
        )
        reports.mkdir(parents=True, exist_ok=True)
        staging = Path(mkdtemp(prefix=".unfinished-", dir=reports))
        staging.chmod(0o755)
        _fill(staging, setting.plan, state, setting.paths.folder / FILE, key)
        staging.rename(folder)
        fsync_folder(reports)
    except (OSError, VerificationError) as error:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        raise BundleError(f"the report {folder} was not written: {error}") from None
    return str(folder)


def _fill(staging: Path, plan: Plan, state: State, journal: Path, key: SigningKey) -> None:
    write_bytes(staging / PAGE, page.render(plan, state).encode())
    facts = json.dumps(_facts(plan, state), indent=1, sort_keys=True)
    write_bytes(staging / FACTS, facts.encode())
    write_bytes(staging / FILE, journal.read_bytes())
    if key.ephemeral_pem is not None:
        write_bytes(staging / EPHEMERAL_KEY, key.ephemeral_pem)
    files = digest_files(staging, ROLLOUT_ATTESTATION)
    told = _predicate(plan, state, files, ephemeral_key=key.ephemeral_pem is not None)
    line = sign(statement([_subject(plan, state)], ROLLOUT, told), key.signer)
    write_bytes(staging / ROLLOUT_ATTESTATION, line)


def _subject(plan: Plan, state: State) -> Mapping[str, Any]:
    release, commit = state.opened["release"], state.opened["commit"]
    if commit and COMMIT.fullmatch(commit):
        return {"name": f"release {release}", "digest": {"gitCommit": commit}}
    named = {"release": release, "plan": plan.digest}
    digest = sha256(canonical_json(named)).hexdigest()
    return {"name": f"release {release}", "digest": {"sha256": digest}}


def _predicate(
    plan: Plan, state: State, files: Mapping[str, Any], *, ephemeral_key: bool
) -> dict[str, Any]:
    opened, result = state.opened, state.result
    assert result is not None
    tasks = tasks_of(plan)
    back = state.turn.targets if state.turn else {}
    return {
        "rollout": opened["rollout"],
        "plan": {"name": plan.name, "sha256": plan.digest},
        "system": plan.system,
        **{name: opened.get(name) for name in ("release", "commit", "mode", "waiver", "who")},
        "environments": list(plan.environments),
        "status": result.status,
        "why": result.why,
        "started": opened["at"],
        "finished": result.at,
        "steps": [_step(tasks[a.task].type, tasks[a.task].environment, a) for a in state.attempts],
        "back": {name: target.version for name, target in back.items()},
        "files": dict(files),
        "tools": {"python": platform.python_version(), "pytest-release": version("pytest-release")},
        "nonce": sha256(f"{opened['rollout']} {opened['at']}".encode()).hexdigest()[:32],
        "ephemeralKey": ephemeral_key,
    }


def _step(kind: str, environment: str, attempt: TaskState) -> dict[str, Any]:
    outcome = attempt.outcome
    gate = {"folder": "bundle", "sha256": "sha256", "verdict": "verdict"}
    named = {name: outcome.facts.get(fact) for name, fact in gate.items()}
    named["folder"] = Path(named["folder"]).name if named["folder"] else None
    return {
        **{name: getattr(attempt, name) for name in SHORT},
        "type": kind,
        "environment": environment,
        "why": outcome.why,
        "exit_status": outcome.exit_status,
        "output": {"size": outcome.output.size, "sha256": outcome.output.sha256},
        "bundle": named if all(named.values()) else None,
    }


def _facts(plan: Plan, state: State) -> dict[str, Any]:
    """What the page shows, for programs."""
    result = state.result
    return {
        "opened": dict(state.opened),
        "plan": {"name": plan.name, "sha256": plan.digest},
        "drivers": [dict(driver) for driver in state.drivers],
        "result": vars(result) if result else None,
        "went_back": None if state.turn is None else state.turn.why,
        "attempts": [
            {
                **{name: getattr(attempt, name) for name in SHORT},
                "why": attempt.outcome.why,
                "exit_status": attempt.outcome.exit_status,
                "output": attempt.outcome.output.to_json(),
                "facts": dict(attempt.outcome.facts),
            }
            for attempt in state.attempts
        ],
        "written": datetime.now(UTC).isoformat(),
    }
