"""The tree of errors, split by who is at fault.

::

    ReleaseError
    ├── UsageError            what was asked for on the command line cannot be done
    ├── ConfigError           a file that a person wrote
    ├── TargetError           the deployment, or the way to it
    ├── EvidenceError         what a case recorded
    ├── PackageError          a release package
    ├── BundleError           the report folder
    ├── SandboxError          the embedded reference deployment
    ├── HistoryError          the history: its file, or its chain
    ├── PromotionError        a promotion that cannot be decided, or recorded
    ├── RolloutError          a rollout that cannot begin, go on or do one of its steps
    └── VerificationError     an attestation or a bundle that does not verify

Every message is complete by itself: what was read, where, what was expected, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class ReleaseError(Exception):
    """The root: whatever pytest-release raises on purpose."""


class UsageError(ReleaseError):
    """What was asked for on the command line cannot be done."""


class TargetError(ReleaseError):
    """The deployment did not answer, or answered outside its protocol."""


class EvidenceError(ReleaseError):
    """A case recorded something that is not evidence."""


class PackageError(ReleaseError):
    """A release package cannot be read, built or installed."""


class BundleError(ReleaseError):
    """The report folder cannot be written or read."""


class SandboxError(ReleaseError):
    """The embedded reference deployment did not start, or was asked for an unknown fault."""


class HistoryError(ReleaseError):
    """The history cannot be read or written, or its chain is broken; names file, line and how."""


class PromotionError(ReleaseError):
    """A promotion cannot be decided or recorded; a refusal is no error, but a decision."""


class RolloutError(ReleaseError):
    """A rollout cannot begin or go on, or one of its steps cannot be done; says which and why."""


class VerificationError(ReleaseError):
    """An attestation, a key or a bundle does not verify; the text says which part and why."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file that a person wrote.

    Attributes:
        file: The file that was read.
        line: Line of the offending key or value, counted from 1; None when the whole file is meant.
        key: Dotted path of the key (``gates.stream.required``); empty for the whole file.
        message: What was read, what was expected and what to do, in one sentence or two.
    """

    file: Path
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(ReleaseError):
    """A file that a person wrote is wrong; carries every problem found, in file order.

    Args:
        problems: At least one problem.
    """

    def __init__(self, *problems: Problem) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.file, problem.line or 0))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))
