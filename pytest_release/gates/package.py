"""The release package is whole, safe and what its description says: members, rows, vectors, build.

One pass over the archive finds out everything; each check is one aspect of it. What was not read to
its end is not good, whatever the part that was read looks like.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy, ReleaseSource
from pytest_release.deployments import Deployments
from pytest_release.evidence import Attachment, Evidence, Finding
from pytest_release.packages.contents import Aspect, Flaw, Package
from pytest_release.release import read_identity, same_build

DIGEST = 12  # hex digits of a digest that people compare


def measure(case: DataCase, policy: GatePolicy, deployments: Deployments) -> Evidence:  # noqa: ARG001
    """Look at one aspect of a deployment's package.

    Args:
        case: Of this gate; its `check` is the aspect.
        policy: Unused: nothing here has a threshold.
        deployments: Have the package read, once for all aspects.

    Raises:
        PackageError: There is no package, or it cannot be opened.
        TargetError: The deployment does not say which build it is.
    """
    package = deployments.package(case.uuid)
    aspect = Aspect(case.check)
    findings = [_finding(flaw) for flaw in package.of(aspect)]
    if not package.complete and not findings:
        reason = "; ".join(flaw.message for flaw in package.flaws) or "no reason is known"
        message = f"{package.path.name} was not read to its end, so nothing is known: {reason}"
        findings.append(Finding("package.incomplete", message))
    if aspect is Aspect.VERSION:
        findings += _against_deployment(case, package, deployments)
    shown = (Attachment(f"package: {aspect}", _shown(package, aspect)),)
    return Evidence(case.id, case.gate, case.name, findings=tuple(findings), attachments=shown)


def _finding(flaw: Flaw) -> Finding:
    return Finding(
        f"package.{flaw.code}", flaw.message, expected=flaw.expected, received=flaw.received
    )


def _against_deployment(
    case: DataCase, package: Package, deployments: Deployments
) -> list[Finding]:
    """The deployment runs the version and the build that the package was made by."""
    if "deployed" not in case.expect:
        return []
    source = ReleaseSource(**case.expect["deployed"])
    running = read_identity(source, deployments.http)
    role = deployments.environment.role
    findings = []
    if source.version and package.version != running.version:
        findings.append(_differs("version", package.version, running.version))
    if source.commit and not same_build(package.build, running.commit, role):
        findings.append(_differs("build", package.build, running.commit))
    return findings


def _differs(what: str, packaged: str | None, running: str | None) -> Finding:
    return Finding(
        f"package.{what}-differs",
        f"the package was made by {what} {packaged}, the deployment runs {running}; "
        "get the package that matches, or deploy the release that made this one",
        expected=str(running),
        received=str(packaged),
    )


def _shown(package: Package, aspect: Aspect) -> str:
    """What was seen of one aspect, as lines for people."""
    match aspect:
        case Aspect.TABLES:
            return _lines(f"{t.rows:>9,}  {name}" for name, t in package.tables.items())
        case Aspect.VECTORS:
            return _lines(
                f"{rows:>9,}  {name}.{column}: {dimensions} dimensions"
                for name, table in package.tables.items()
                for column, seen in table.dimensions.items()
                for dimensions, rows in seen.items()
            )
        case Aspect.SIDECARS:
            return _lines(f"{count:>9,}  {name}" for name, count in package.items.items())
        case Aspect.SQLITE:
            return _lines(
                f"{table.rows:>9,}  {name}: {table.dimensions} dimensions"
                for name, table in package.vector_tables.items()
            )
        case Aspect.VERSION:
            return f"version {package.version}, build {package.build}"
        case Aspect.ARCHIVE:
            return f"{package.path.name}: {package.size:,} bytes, sha256 {package.sha256}"
        case _:
            return _lines(
                f"{m.size:>13,}  {m.sha256[:DIGEST]}  {m.mode:o}  {m.name}"
                for m in package.members.values()
            )


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) or "nothing was read"
