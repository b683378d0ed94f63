"""JUnit XML: a suite for each gate, a case for each that exists, also those that never ran.

FAILED is a failure; INCOMPLETE and NOT_RUN are errors, since a reader that counts failures only
would take them for a success. Format: https://github.com/testmoapp/junitxml.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from pytest_release.hostile import visible
from pytest_release.reporting.figures import threshold
from pytest_release.verdict import CaseVerdict, GateVerdict, RunVerdict, Verdict

ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


def render(run: RunVerdict) -> str:
    """The run as one ``testsuites`` document."""
    root = ET.Element("testsuites", name=_text(f"release gates of {run.context.environment}"))
    for gate in run.gates:
        root.append(_suite(gate, run))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(gate: GateVerdict, run: RunVerdict) -> ET.Element:
    missing = gate.count(Verdict.INCOMPLETE, Verdict.NOT_RUN)
    suite = ET.Element(
        "testsuite",
        name=_text(gate.gate),
        tests=str(len(gate.cases) + 1),
        failures=str(gate.count(Verdict.FAILED) + (gate.verdict is Verdict.FAILED)),
        errors=str(missing + (gate.verdict in (Verdict.INCOMPLETE, Verdict.NOT_RUN))),
        skipped="0",
        time=f"{sum(case.duration_s for case in gate.cases):.3f}",
        timestamp=run.context.started.isoformat(timespec="seconds"),
    )
    properties = ET.SubElement(suite, "properties")
    for judged in gate.thresholds:
        ET.SubElement(
            properties, "property", name=_text(judged.name), value=_text(threshold(judged))
        )
    suite.append(_case(gate.gate, "the gate itself", gate.verdict, "; ".join(gate.reasons), 0.0))
    suite.extend(_case_of(case) for case in gate.cases)
    return suite


def _case_of(case: CaseVerdict) -> ET.Element:
    element = _case(case.gate, case.name, case.verdict, case.reason, case.duration_s)
    if case.evidence is not None and case.evidence.failures:
        for outcome in element:
            outcome.text = _text(case.evidence.explain())
    return element


def _case(gate: str, name: str, verdict: Verdict, reason: str, seconds: float) -> ET.Element:
    element = ET.Element("testcase", classname=_text(gate), name=_text(name), time=f"{seconds:.3f}")
    if not verdict.accepted:
        kind = "failure" if verdict is Verdict.FAILED else "error"
        ET.SubElement(element, kind, type=verdict, message=_text(reason))
    elif reason:
        ET.SubElement(element, "system-out").text = _text(f"{verdict}: {reason}")
    return element


def _text(text: str) -> str:
    return ILLEGAL.sub("\ufffd", visible(text))
