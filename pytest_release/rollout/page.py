"""The page of a rollout: how it ended, its steps, its course, and what every step said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources

from pytest_release.config.plan import Plan
from pytest_release.hostile import markup, one_line
from pytest_release.reporting.html import locked
from pytest_release.rollout.course import tasks_of
from pytest_release.rollout.drawings import course, graph
from pytest_release.rollout.state import (
    ABORTED,
    NOT_ROLLED_BACK,
    ROLLED_BACK,
    STOPPED,
    SUCCESS,
    State,
    TaskState,
)

STYLES = {
    SUCCESS: "passed",
    STOPPED: "failed",
    ROLLED_BACK: "warned",
    ABORTED: "warned",
    NOT_ROLLED_BACK: "failed",
}
VERIFY = "pytest-release verify FOLDER --key PUBLIC_KEY"


def render(plan: Plan, state: State) -> str:
    """The whole page, without scripts and without requests."""
    opened, result = state.opened, state.result
    assert result is not None
    title = f"Rollout of {opened['release']} by {plan.name}"
    body = (
        f'<section class="verdict {STYLES[result.status]}"><h1>{result.status.upper()}</h1>'
        f"<p>{markup(result.why)}</p></section>"
        f'<dl class="facts">{"".join(_facts(plan, state))}</dl>'
        f"<h2>Steps</h2>{graph(plan, state)}"
        f"<h2>Course</h2>{course(state.attempts)}{_table(plan, state)}"
        f'<p class="how">Verify: <code>{VERIFY}</code>, with the folder of this page.</p>'
    )
    return locked(
        '<!doctype html><html lang="en"><head>\n<meta charset="utf-8"/>'
        f"<title>{markup(title)}</title><style>{_style()}</style></head>"
        f"<body><h1>{markup(title)}</h1>{body}</body></html>\n"
    )


def _style() -> str:
    own = resources.files("pytest_release.rollout") / "page.css"
    reports = resources.files("pytest_release.reporting") / "page.css"
    return reports.read_text(encoding="utf-8") + own.read_text(encoding="utf-8")


def _facts(plan: Plan, state: State) -> Iterator[str]:
    opened, result = state.opened, state.result
    who = dict.fromkeys(str(driver["who"]) for driver in state.drivers)
    told = {
        "release": opened["release"],
        "commit": opened["commit"],
        "plan": f"{plan.name}, sha256 {plan.digest[:12]}",
        "mode": opened["mode"],
        "waiver": opened.get("waiver"),
        "environments": ", ".join(plan.environments),
        "by": ", ".join(who) or opened["who"],
        "begun": _clock(opened["at"]),
        "ended": _clock(result.at) if result else None,
        "drivers": str(len(state.drivers)) if len(state.drivers) > 1 else None,
    }
    for name, text in told.items():
        if text:
            yield f"<div><dt>{name}</dt><dd>{markup(one_line(str(text)))}</dd></div>"


def _clock(text: str) -> str:
    return f"{text[:19].replace('T', ' ')} UTC"


def _table(plan: Plan, state: State) -> str:
    head = "<tr><th>Step</th><th>Ended</th><th>Time</th><th>What came of it</th></tr>"
    rows = "".join(_rows(plan, state.attempts))
    return f'<table class="gates"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _rows(plan: Plan, attempts: Iterable[TaskState]) -> Iterator[str]:
    tasks = tasks_of(plan)
    for attempt in attempts:
        step = tasks[attempt.task]
        number = f", attempt {attempt.attempt}" if attempt.attempt > 1 else ""
        seconds = "" if attempt.seconds is None else f"{attempt.seconds:.2f} s"
        yield (
            f"<tr><td><b>{markup(attempt.task)}</b><small>{markup(step.type)} in "
            f"{markup(step.environment)}{number}</small></td>"
            f'<td><span class="badge {attempt.status}">{attempt.status.upper()}</span></td>'
            f"<td>{seconds}</td><td>{markup(one_line(attempt.outcome.why))}{_output(attempt)}</td></tr>"
        )


def _output(attempt: TaskState) -> str:
    output = attempt.outcome.output
    if not output.size:
        return ""
    status = attempt.outcome.exit_status
    words = f"output of {output.size} bytes" + ("" if status is None else f", status {status}")
    return (
        f"<details><summary>{words}, sha256 {output.sha256[:12]}</summary>"
        f"<pre>{markup(output.text)}</pre></details>"
    )
