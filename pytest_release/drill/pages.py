"""The matrix as files: HTML that needs nothing else, Markdown, JSON. Every text is escaped."""

from __future__ import annotations

import json
from importlib import resources

from pytest_release.drill.engine import Result
from pytest_release.drill.matrix import Matrix
from pytest_release.hostile import markdown, markup

TITLES = {"faults": "Drill: every fault and its gate", "clean": "Drill: runs without a fault"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}
.gates td:first-child, .gates th:last-child {{ white-space: nowrap; }}</style></head>
<body><h1>{title}</h1>
<div class="verdict {mood}"><h1>{verdict}</h1><p>{counts}</p></div>
<dl class="facts">{facts}</dl>
{gates}
<p class="how">Verify: <code>pytest-release verify FOLDER --key PUBLIC_KEY</code></p>
</body></html>
"""


def html(matrix: Matrix) -> str:
    """A page."""
    style = (resources.files("pytest_release.reporting") / "page.css").read_text(encoding="utf-8")
    facts = {
        "environment": matrix.environment,
        "started": matrix.started.isoformat(timespec="seconds"),
        "took": f"{(matrix.finished - matrix.started).total_seconds():.0f} s",
        "recipes": matrix.recipes[:12],
        **matrix.tools,
    }
    return PAGE.format(
        title=markup(TITLES[matrix.kind]),
        style=style,
        mood=matrix.verdict.lower(),
        verdict=matrix.verdict,
        counts=markup(matrix.summary().removeprefix(f"{matrix.verdict}  ")),
        facts="".join(
            f"<div><dt>{markup(name)}</dt><dd>{markup(value)}</dd></div>"
            for name, value in facts.items()
        ),
        gates="\n".join(_gate(gate, results) for gate, results in matrix.gates.items()),
    )


def _gate(gate: str, results: list[Result]) -> str:
    good = sum(result.state.good for result in results)
    rows = "".join(_row(result) for result in results)
    return (
        f"<h2>{markup(gate)}: {good} of {len(results)}</h2>"
        '<table class="gates"><thead><tr><th>fault</th><th>what became of it</th>'
        "<th>what was said</th><th>seconds</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(result: Result) -> str:
    mood = "passed" if result.state.good else "failed"
    others = "".join(
        f"<small>{markup(gate)}: {markup(said)}</small>" for gate, said in result.others.items()
    )
    return (
        f'<tr><td>{markup(result.fault)}</td><td><span class="badge {mood}">{result.state}</span>'
        f"</td><td>{markup(result.message)}{others}</td><td>{result.seconds:.1f}</td></tr>"
    )


def text(matrix: Matrix) -> str:
    """Markdown."""
    lines = [
        f"# {TITLES[matrix.kind]}",
        "",
        f"**{matrix.verdict}**: {markdown(matrix.summary())}",
        "",
        f"- environment: {markdown(matrix.environment)}",
        f"- started: {matrix.started.isoformat(timespec='seconds')}",
        f"- finished: {matrix.finished.isoformat(timespec='seconds')}",
        f"- recipes: sha256 {matrix.recipes}",
        "",
        "| fault | gate | result | what was said | seconds |",
        "| --- | --- | --- | --- | ---: |",
    ]
    for result in matrix.results:
        others = "".join(f"; {gate}: {said}" for gate, said in result.others.items())
        said = markdown(result.message + others)
        lines.append(
            f"| {markdown(result.fault)} | {markdown(result.gate)} | {result.state} | {said} "
            f"| {result.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def data(matrix: Matrix) -> str:
    """JSON."""
    return json.dumps(matrix.to_json(), indent=2, ensure_ascii=False) + "\n"
