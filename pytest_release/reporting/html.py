"""What pytest-html shows of a run: fragments of markup, every text in them escaped.

pytest-html escapes neither node ids nor cells, so nothing reaches it but what is made here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from itertools import pairwise

from pytest_release.config.environment import Environment
from pytest_release.evidence import Evidence, ExchangeRecord, Finding, Measurement
from pytest_release.hostile import markup, one_line
from pytest_release.release import Context
from pytest_release.reporting import figures
from pytest_release.reporting.charts import samples_chart, timeline_chart
from pytest_release.reporting.course_chart import course_chart
from pytest_release.verdict import GateVerdict, RunVerdict

MEANING = {
    "PASSED": "every required gate passed",
    "WARNED": "every required gate passed, with warnings",
    "FAILED": "this release must not go out",
    "INCOMPLETE": "not everything ran to its end: this proves nothing",
    "NOT_RUN": "nothing was measured",
}
FIGURES = ("latency_ms", "ttfb_ms")  # shown in a row, the first that was measured
SHOWN_EVENTS = 60
SHOWN_PACKAGES = 10
DIGEST = 12  # hex digits of a digest that people compare
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
VERIFY = "pytest-release verify FOLDER --key PUBLIC_KEY"


def title(environment: Environment) -> str:
    """The page's title."""
    return f"Release gates: {environment.name}"


def environment_table(environment: Environment) -> dict[str, str]:
    """The few lines of pytest-html's environment table, instead of the machine's variables."""
    return {"environment": environment.name, "role": environment.role, "system": environment.system}


@cache
def _style() -> str:
    file = resources.files("pytest_release.reporting") / "page.css"
    return f"<style>{file.read_text(encoding='utf-8')}</style>"


def summary(run: RunVerdict) -> str:
    """The top of the page: the verdict, what was judged, and the gates."""
    context = run.context
    identity = context.release.before
    facts = (
        ("release", str(identity) if identity else "does not name itself"),
        ("environment", f"{context.environment} ({context.role} of {context.system})"),
        ("address", context.base_url),
        *(("package", f"{name} sha256 {sha[:DIGEST]}") for name, sha in _packages(context)),
        ("finished", f"{context.finished:%Y-%m-%d %H:%M:%S} UTC"),
        ("run", context.run),
        *(("clock", clock) for clock in figures.clocks(run)),
    )
    return "".join(
        (
            _style(),
            f'<section class="verdict {run.verdict.lower()}">',
            f"<h1>{run.verdict.replace('_', ' ')}</h1><p>{_meaning(run)}</p>",
            _list((*run.reasons, *(f"waiver: {waiver}" for waiver in context.waivers))),
            "</section>",
            '<dl class="facts">',
            *(f"<div><dt>{name}</dt><dd>{markup(text)}</dd></div>" for name, text in facts),
            "</dl>",
            _gates(run.gates),
            f'<p class="how">Verify: <code>{VERIFY}</code>, with the folder of this page.</p>',
        )
    )


def _packages(context: Context) -> Iterable[tuple[str, str]]:
    return sorted(context.release.packages.items())[:SHOWN_PACKAGES]


def _meaning(run: RunVerdict) -> str:
    if run.accepted and not run.verdict.accepted:
        asked = ", ".join(gate.gate for gate in run.gates if gate.asked)
        return markup(f"what was asked for passed ({asked}); a release needs the other gates too")
    return MEANING[run.verdict]


def _gates(gates: Iterable[GateVerdict]) -> str:
    rows = "".join(_gate(gate) for gate in gates)
    head = "<tr><th>Gate</th><th>Verdict</th><th>Cases</th><th>Measured</th><th>Why</th></tr>"
    return f'<table class="gates"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _gate(gate: GateVerdict) -> str:
    need = "required" if gate.required else "optional"
    measured = "<br>".join(markup(figures.threshold(t)) for t in gate.thresholds)
    word, style = gate.verdict.replace("_", " "), gate.verdict.lower()
    return (
        f"<tr><td><b>{markup(gate.gate)}</b><small>{need}</small></td>"
        f'<td><span class="badge {style}">{word}</span></td>'
        f"<td>{markup(figures.counts(gate))}</td><td>{measured}</td>"
        f"<td>{_list(gate.reasons)}</td></tr>"
    )


def _list(texts: Iterable[str]) -> str:
    items = "".join(f"<li>{markup(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def locked(page: str) -> str:
    """The page with a content security policy: its own script runs, nothing else, and no request.

    The policy names the digest of pytest-html's one script, so that markup which slipped through
    every escape would still be dead.
    """
    page = page.replace(' onclick="location.reload()"', "")
    scripts = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in SCRIPT.findall(page)
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in scripts) or "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}"
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}"/>'
    return page.replace("<head>", f"<head>\n    {meta}", 1)


def header_cells() -> list[str]:
    """The columns of the table of cases."""
    return [
        '<th class="sortable" data-column-type="result">Result</th>',
        '<th class="sortable" data-column-type="gate">Gate</th>',
        '<th class="sortable" data-column-type="testId">Case</th>',
        '<th class="sortable" data-column-type="duration">Duration</th>',
        "<th>Measured</th>",
    ]


def row_cells(evidence: Evidence | None, node: str, outcome: str, seconds: float) -> list[str]:
    """The row of one test.

    Args:
        evidence: What it measured, if it did.
        node: Its node id.
        outcome: pytest's word.
        seconds: Of its call.
    """
    shown = "Warned" if evidence and evidence.warnings and outcome == "passed" else outcome.title()
    name = evidence.name if evidence else node
    duration = evidence.duration_s if evidence else seconds
    return [
        f'<td class="col-result">{markup(shown)}</td>',
        f'<td class="col-gate">{markup(evidence.gate if evidence else "")}</td>',
        f'<td class="col-testId">{markup(one_line(name))}</td>',
        f'<td class="col-duration">{figures.duration(duration)}</td>',
        f'<td class="col-measured">{_row_figure(evidence)}</td>',
    ]


def _row_figure(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    measured = next((m for n in FIGURES if (m := evidence.measurement(n))), None)
    measured = measured or next(iter(evidence.measurements), None)
    if measured is None:
        return ""
    return markup(f"{measured.name} {figures.estimate(measured.name, measured.estimate)}")


def case_details(evidence: Evidence) -> str:
    """What a row expands to."""
    parts = [
        "".join(_finding(finding) for finding in evidence.findings),
        "".join(_measurement(m) for m in evidence.measurements),
        _course(evidence),
        _timeline(evidence),
        _exchange(evidence.exchange) if evidence.exchange else "",
        _attempts(evidence),
        "".join(_block(item.name, item.text) for item in evidence.attachments),
    ]
    return f'<div class="case">{"".join(parts)}</div>'


def _finding(finding: Finding) -> str:
    rows = "".join(
        f"<div><dt>{word}</dt><dd><pre>{markup(text)}</pre></dd></div>"
        for word, text in (("expected", finding.expected), ("received", finding.received))
        if text
    )
    return (
        f'<div class="finding {finding.severity}"><p><code>{markup(finding.code)}</code> '
        f"{markup(finding.message)}</p><dl>{rows}</dl></div>"
    )


def _measurement(measurement: Measurement) -> str:
    shown = figures.estimate(measurement.name, measurement.estimate)
    if measurement.count is not None:  # one summary: nothing to draw
        limit = figures.limit(measurement)
        text = f"{measurement.name} {shown}{limit} · of {measurement.count} observations"
        return f'<div class="measurement"><p>{markup(text)}</p></div>'
    samples = figures.exactness(measurement.samples)
    clock = measurement.samples[0].clock
    busy = max(sample.busy_ms for sample in measurement.samples)
    note = f" · client was busy {figures.number(busy)} ms" if busy >= 1 else ""
    limited = measurement.limit is not None
    text = f"{measurement.name} {shown} · {samples} · {clock}{note}"
    chart = samples_chart(measurement) if limited else ""
    return f'<div class="measurement"><p>{markup(text)}</p>{chart}</div>'


def _course(evidence: Evidence) -> str:
    if evidence.course is None:
        return ""
    return f"<h3>Requests over time</h3>{course_chart(evidence.course)}"


def _timeline(evidence: Evidence) -> str:
    if not evidence.timeline:
        return ""
    shown = evidence.timeline[:SHOWN_EVENTS]
    gaps = ["", *(figures.number(b.at_ms - a.at_ms) for a, b in pairwise(shown))]
    rows = "".join(
        f"<tr><td>{figures.number(mark.at_ms)}</td><td>{gap}</td>"
        f"<td>{markup(one_line(mark.kind))}</td><td>{mark.size}</td>"
        f"<td>{markup(one_line(mark.text))}</td></tr>"
        for mark, gap in zip(shown, gaps, strict=True)
    )
    hidden = len(evidence.timeline) - SHOWN_EVENTS
    more = f'<tr><td colspan="5">and {hidden} more in evidence.json</td></tr>' * (hidden > 0)
    return (
        f"<h3>Events</h3>{timeline_chart(evidence.timeline)}<details><summary>"
        f"{len(evidence.timeline)} events</summary><table><thead><tr><th>ms</th><th>gap</th>"
        f"<th>type</th><th>bytes</th><th>data</th></tr></thead><tbody>{rows}{more}</tbody></table></details>"
    )


def _exchange(record: ExchangeRecord) -> str:
    status = "no answer" if record.status is None else f"{record.status} {record.http_version}"
    timings = (("dns", record.dns_ms), ("connect", record.connect_ms), ("TLS", record.tls_ms))
    before = ", ".join(f"{name} {figures.number(ms)} ms" for name, ms in timings if ms is not None)
    line = f"{record.method} {record.url} → {status}"
    return "".join(
        (
            f"<h3>Request</h3><p><code>{markup(line)}</code></p>",
            f"<p>before the clock started: {before}</p>" if before else "",
            _block("reproduce", record.curl),
            _folded("request", record.request_headers, record.request_body),
            _folded("answer", record.response_headers, record.response_body),
        )
    )


def _folded(name: str, headers: Iterable[tuple[str, str]], body: str) -> str:
    lines = "\n".join(f"{one_line(key)}: {one_line(value)}" for key, value in headers)
    text = f"{lines}\n\n{body}".strip()
    return f"<details><summary>{name}</summary><pre>{markup(text)}</pre></details>" if text else ""


def _attempts(evidence: Evidence) -> str:
    if len(evidence.attempts) < 2:
        return ""
    lines = [f"attempt {a.number}: {a.failure or 'passed'}" for a in evidence.attempts]
    return f"<h3>Attempts</h3>{_list(lines)}"


def _block(name: str, text: str) -> str:
    return f"<h3>{markup(one_line(name))}</h3><pre>{markup(text)}</pre>"
