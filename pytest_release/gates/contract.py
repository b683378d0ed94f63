"""The API answers as its OpenAPI document says, and has the endpoints that it documents.

- Where the environment's role is production, nothing but GET, HEAD and OPTIONS is sent.
- Every request is ours, with its limits; the engine only makes examples and judges answers, in a
  process whose time and memory are bounded.
- The same seed sends the same requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import ConfigError, Problem
from pytest_release.evidence import Evidence, Finding, Severity
from pytest_release.gates import _contract_answers as answers
from pytest_release.gates import _contract_document as documents
from pytest_release.gates import _contract_engine as engines
from pytest_release.gates import _contract_paths as paths
from pytest_release.gates._check import concluded
from pytest_release.gates._contract_document import SAFE, Document, Operation
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Secret, reveal
from pytest_release.release import read_identity
from pytest_release.sampling import Sample

PATH = "/openapi.json"
SEED = 1
SECONDS = 60.0
SHARE = 4  # of the time: a part of that size is what the examples of one endpoint may take
MOST = 200  # findings of one check
UNUSABLE = frozenset({"contract.invalid", "contract.reference"})


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Read the document, and make one check of it.

    Args:
        case: Of this gate; its `check` is ``document``, ``endpoints`` or ``answers``.
        policy: Limits of figures.
        scene: Where requests go.

    Raises:
        TargetError: The deployment does not answer at all.
        PackageError: The document is a file that cannot be read.
        ConfigError: The case asks for what must not be done here.
    """
    document, findings = _document(case, scene)
    if document is None:
        return concluded(case, policy, findings)
    if case.check == "document":
        said = [*findings, *_of_the_release(case, document, scene)]
        return concluded(case, policy, said, {"operations": [len(document.operations)]})
    if any(finding.code in UNUSABLE for finding in findings):
        return concluded(case, policy, findings)
    return _CHECKS[case.check](case, policy, scene, document)


def _document(case: CheckCase, scene: Scene) -> tuple[Document | None, list[Finding]]:
    """The document with its flaws, or why there is none."""
    try:
        document = _read(case, scene)
    except documents.NoDocumentError as error:
        where = case.options.get("file") or case.options.get("document", PATH)
        message = f"{where} is no OpenAPI document: {error}"
        return None, [Finding("contract.no-document", message, expected="an OpenAPI document")]
    base = urlsplit(scene.environment.base_url or "").path
    document = replace(document, base_path=base)
    return document, documents.flaws(document)


def _read(case: CheckCase, scene: Scene) -> Document:
    if "file" in case.options:
        return documents.read(case.file.parent / reveal(case.options["file"]))
    path = reveal(case.options.get("document", PATH))
    exchange = scene.http.send(Request("GET", path, max_bytes=documents.MAX_BYTES))
    if exchange.broken or exchange.status != 200:
        raise documents.NoDocumentError(exchange.broken or f"it answers {exchange.status}")
    return documents.parse(exchange.body, path)


def _of_the_release(case: CheckCase, document: Document, scene: Scene) -> Iterator[Finding]:
    """It documents the release that is deployed, and enough of it."""
    wanted = case.expect.get("version")
    source = scene.environment.release
    if wanted == "release" and source is None:
        message = "expect.version is release, and the environment does not say where it is read"
        raise ConfigError(Problem(case.file, case.line, "expect", message))
    if wanted == "release" and source is not None:
        wanted = read_identity(source, scene.http).version
    if wanted is not None and document.version != wanted:
        message = (
            f"{document.source} documents the version {document.version or 'without a name'}, "
            f"the deployment is {wanted}"
        )
        yield Finding("contract.version", message, expected=wanted, received=document.version)
    least, count = case.expect.get("min_operations", 1), len(document.operations)
    if count < least:
        message = f"{document.source} documents {count} endpoints, expected at least {least}"
        yield Finding("contract.too-few", message, expected=str(least), received=str(count))


def _endpoints(case: CheckCase, policy: GatePolicy, scene: Scene, document: Document) -> Evidence:
    options = case.options
    findings: list[Finding] = []
    if "listed" in options:
        findings += paths.compare_patterns(document, _named(options["listed"]))
    listed: list[paths.Endpoint] = []
    if "registry" in options:
        _refuse_unsafe(case, scene, reveal(options["registry"].get("method", "GET")))
        listed, wrong = paths.registry(scene.http, options["registry"])
        findings += wrong
    if listed:
        known = _named(options.get("undocumented", []))
        asked = [one for one in listed if not any(each.matches(one) for each in known)]
        path = reveal(options["registry"]["path"])
        findings += paths.compare(document, asked, path)
    probe = paths.Probe(
        scene.http,
        options.get("parameters", {}),
        options.get("timeout_s", 10.0),
        time.monotonic() + options.get("seconds", SECONDS),
    )
    findings += paths.look(document, probe, map(reveal, options.get("absent", [])))
    figures = {"operations": [len(document.operations)], "listed": [len(listed)]}
    return concluded(case, policy, _bounded(findings), figures)


def _named(texts: Iterable[str | Secret]) -> list[paths.Endpoint]:
    return [paths.endpoint(reveal(text)) for text in texts]


def _bounded(findings: list[Finding]) -> list[Finding]:
    """A hostile document makes no endless report."""
    if len(findings) <= MOST:
        return findings
    message = f"and {len(findings) - MOST} findings more"
    return [*findings[:MOST], Finding("contract.more", message)]


def _refuse_unsafe(case: CheckCase, scene: Scene, method: str) -> None:
    if scene.environment.role == "production" and method not in SAFE:
        message = f"the list of endpoints is asked for with {method}, which production does not get"
        raise ConfigError(Problem(case.file, case.line, "options", message))


def _answers(case: CheckCase, policy: GatePolicy, scene: Scene, document: Document) -> Evidence:
    if missing := engines.missing():
        return concluded(case, policy, [Finding("contract.no-engine", missing)])
    called, left_out, unsafe = _chosen(case, scene, document)
    if not called:
        message = f"none of {len(document.operations)} documented endpoints may be called"
        return concluded(case, policy, [Finding("contract.nothing-called", message), *unsafe])
    order = _order(case, document, called)
    deadline = time.monotonic() + case.options.get("seconds", SECONDS)
    with engines.Engine(order, deadline) as engine:
        sending = answers.Sending(
            scene.http,
            {operation.label: operation for operation in called},
            deadline,
            case.options.get("timeout_s", 10.0),
            case.options.get("at_once", 8),
            case.expect.get("answer_ms"),
        )
        gathered = answers.gather(engine, sending)
        version = engine.version
    findings = _bounded([*gathered.findings(order.seed), *unsafe])
    figures: dict[str, Sequence[Sample | float]] = {
        "operations": [len(called)],
        "requests": [sum(gathered.sent.values())],
        "latency_ms": gathered.latencies,
    }
    told = answers.summary(gathered, order.seed, version, left_out)
    evidence = concluded(case, policy, findings, figures)
    return replace(evidence, attachments=(told, *gathered.attachments()))


def _chosen(
    case: CheckCase, scene: Scene, document: Document
) -> tuple[list[Operation], list[str], list[Finding]]:
    """The operations that are called, the labels of the others, and a note on the unsafe ones."""
    patterns = _named(case.options.get("leave_out", []))
    safe_only = scene.environment.role == "production"
    called, left_out, unsafe = [], [], []
    for operation in document.operations:
        if _left_out(operation, patterns, case.options.get("leave_out_tags", [])):
            left_out.append(operation.label)
        elif safe_only and operation.method not in SAFE:
            unsafe.append(operation.label)
        else:
            called.append(operation)
    if not unsafe:
        return called, left_out, []
    message = f"in production {len(unsafe)} endpoints are not called: {', '.join(unsafe[:20])}"
    note = Finding("contract.not-called", message, Severity.NOTE)
    return called, [*left_out, *unsafe], [note]


def _left_out(
    operation: Operation, patterns: Iterable[paths.Endpoint], tags: Iterable[str]
) -> bool:
    own = operation.detail.get("tags")
    tagged = isinstance(own, list) and any(tag in own for tag in tags)
    return tagged or any(pattern.matches(paths.of(operation)) for pattern in patterns)


def _order(case: CheckCase, document: Document, called: list[Operation]) -> engines.Order:
    options = case.options
    given: Mapping[str, Any] = options.get("parameters", {})
    return engines.Order(
        document=document.value,
        operations=tuple(operation.label for operation in called),
        prefix=document.prefix,
        seed=options.get("seed", SEED),
        valid=options.get("valid", 5),
        invalid=options.get("invalid", 5),
        accepts_valid=case.expect.get("valid_accepted", False),
        parameters={name: reveal(value) for name, value in given.items()},
        seconds=max(int(options.get("seconds", SECONDS) / SHARE), 1),
    )


_CHECKS: Mapping[str, Callable[[CheckCase, GatePolicy, Scene, Document], Evidence]] = {
    "endpoints": _endpoints,
    "answers": _answers,
}
