"""A verified run as the documents tell it: results, verification, files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_release.errors import UsageError
from pytest_release.release import COMMIT
from pytest_release.reporting import figures
from pytest_release.verdict import GateVerdict, RunVerdict, Verdict
from pytest_release.workspace.naming import read_version
from pytest_release.workspace.releases import API_TEST, COUNTS, DEPLOY_TEST, GRAPH
from pytest_release.workspace.writing import Run

DEPLOY_GATES = ("package", "row_count", "tkg", "identity")
API_GATES = ("basic", "stream", "contract")
NOT_MEASURED = "not measured"
_TABLES = {"Chunks": "chunk_rows", "Faces": "face_detections_rows", "Identities": "identities_rows"}
_GRAPH = ("tkg_nodes_rows", "tkg_edges_rows")
_FILE = re.compile(r"[\w][\w.+-]{0,200}")


@dataclass(frozen=True)
class Verified:
    """A run whose bundle was verified.

    Attributes:
        run: What it came to.
        bundle: SHA-256 of its attestation.
        signers: Fingerprints of the keys that signed it.
        trusted: They are known to who writes; see `reporting.markdown.Proof`.
    """

    run: RunVerdict
    bundle: str
    signers: tuple[str, ...]
    trusted: bool

    @property
    def told(self) -> Run:
        """The run as the documents tell it.

        Raises:
            UsageError: The deployment named no version, or no commit, that documents could name.
        """
        version, commit = self._build()
        context = self.run.context
        proof = "" if self.trusted else "; the key came with it and proves nothing about who ran it"
        return Run(
            version=version,
            commit=commit,
            environment=f"{context.environment}, {context.role} of {context.system}",
            verdict=self.run.verdict,
            bundle=self.bundle,
            signed=f"{', '.join(self.signers)}{proof}",
            results=[_result(gate) for gate in self.run.gates],
        )

    def _build(self) -> tuple[str, str]:
        before = self.run.context.release.before
        version = (before.version or "").removeprefix("v") if before else ""
        commit = (before.commit or "") if before else ""
        if read_version(f"v{version}") is None:
            raise UsageError(
                f"the deployment named no version like 1.2.3, but {version or 'none'!r}"
            )
        if not COMMIT.fullmatch(commit):
            raise UsageError(f"the deployment named no git commit, but {commit or 'none'!r}")
        return version, commit

    @property
    def packages(self) -> Mapping[str, str]:
        """SHA-256 of each package that was judged, by its file's name.

        Raises:
            UsageError: There is none, or its name has characters that no list of names could hold.
        """
        packages = self.run.context.release.packages
        if not packages:
            raise UsageError("the run judged no package: run the gates with --package FILE")
        for name in packages:
            if not _FILE.fullmatch(name):
                raise UsageError(f"the package's name {name!r} has other than letters and ._+-")
        return packages

    @property
    def verification(self) -> dict[str, str]:
        """By the names of `workspace.releases.LINES`; what nobody measured says so."""
        counts = {name: _total(self.run, figure) for name, figure in _TABLES.items()}
        nodes, edges = (_total(self.run, figure) for figure in _GRAPH)
        graph = f"{nodes}/{edges}" if None not in (nodes, edges) else NOT_MEASURED
        return {
            DEPLOY_TEST: _worst(_gates(self.run, DEPLOY_GATES)),
            API_TEST: _passed(_gates(self.run, API_GATES)),
            **{
                name: NOT_MEASURED if counts[name] is None else str(counts[name]) for name in COUNTS
            },
            GRAPH: graph,
        }

    def refuse_unless_accepted(self, what: str) -> None:
        """Documents that say a release may go out are written of runs that say so.

        Raises:
            UsageError: The run does not.
        """
        if not self.run.verdict.accepted:
            why = "; ".join(self.run.reasons[:3])
            raise UsageError(f"no {what} of a run that is {self.run.verdict}: {why}")


def _result(gate: GateVerdict) -> tuple[str, str, str, str]:
    verdict = gate.verdict.replace("_", " ")
    return gate.gate, verdict, figures.counts(gate), "; ".join(gate.reasons)


def _gates(run: RunVerdict, names: Sequence[str]) -> list[GateVerdict]:
    return [gate for gate in run.gates if gate.gate in names]


def _worst(gates: Sequence[GateVerdict]) -> str:
    worst = max((gate.verdict for gate in gates), key=lambda v: v.badness, default=Verdict.NOT_RUN)
    return worst.replace("_", " ")


def _passed(gates: Sequence[GateVerdict]) -> str:
    passed = sum(gate.count(Verdict.PASSED, Verdict.WARNED) for gate in gates)
    return f"{passed}/{sum(len(gate.cases) for gate in gates)}"


def _total(run: RunVerdict, figure: str) -> int | None:
    """The sum of a figure over all deployed files; None where nobody measured it."""
    values = list(_values(run, figure))
    return round(sum(values)) if values else None


def _values(run: RunVerdict, figure: str) -> Iterator[float]:
    for gate in run.gates:
        for case in gate.cases:
            measured = case.evidence.measurement(figure) if case.evidence else None
            if measured is not None:
                yield measured.estimate.value
