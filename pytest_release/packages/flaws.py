"""A flaw that ends the reading of something, and the bounded list of all of them."""

from __future__ import annotations

from collections import Counter

from pytest_release.errors import PackageError
from pytest_release.hostile import one_line
from pytest_release.packages.contents import Aspect, Flaw

SHOWN = 120  # characters of a received text
OF_ONE_CODE = 100  # flaws that are kept one by one


class ArchiveError(PackageError):
    """What was being read is flawed and cannot be read further.

    Args:
        flaw: What is wrong.
    """

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw
        super().__init__(one_line(flaw.message))


class ContentError(ArchiveError):
    """One member's content cannot be read further; the members after it can."""


class FlawList:
    """Flaws in the order they were found; at most 100 of one code, and then one that counts."""

    def __init__(self) -> None:
        self._flaws: list[Flaw] = []
        self._counts: Counter[tuple[Aspect, str]] = Counter()

    def add(self, flaw: Flaw, times: int = 1) -> None:
        """Keep a flaw, which occurred so many times.

        Args:
            flaw: Shown for all of them.
            times: How often; the list holds it once.
        """
        kind = flaw.aspect, flaw.code
        if self._counts[kind] < OF_ONE_CODE:
            self._flaws.append(flaw)
            self._counts[kind] += 1
            times -= 1
        if times:
            self._counts[kind] += times

    def all(self) -> tuple[Flaw, ...]:
        """The flaws, and one for each code with more of them than are listed."""
        listed = Counter((flaw.aspect, flaw.code) for flaw in self._flaws)
        rest = [
            Flaw(aspect, code, f"{count - listed[aspect, code]} more of {code} are not listed")
            for (aspect, code), count in self._counts.items()
            if count > listed[aspect, code]
        ]
        return (*self._flaws, *rest)


def shown(value: object) -> str:
    """A hostile value for a message: one line of at most 120 characters."""
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    text = text[: SHOWN + 1]
    return one_line(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
