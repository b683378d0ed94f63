"""Which of xdist's workers runs a test: declared cases are kept together, in one.

xdist's own ``--dist loadgroup`` marks a group in the node id, which pytest 9.2 no longer lets it
change; and a worker knows the words of the command only, not what its controller made of them.
"""

from __future__ import annotations

from collections.abc import Collection

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

TIMING_GROUP = "release-timing"


class Together(LoadGroupScheduling):  # type: ignore[misc]  # xdist is optional
    """One worker for all declared cases, which would measure each other; any other test by itself.

    Args:
        config: pytest's.
        log: xdist's.
        declared: The ids by which tests are parametrized with declared cases.
    """

    def __init__(self, config: pytest.Config, log: Producer, declared: Collection[str]) -> None:
        super().__init__(config, log)
        self._declared = declared

    def _split_scope(self, nodeid: str) -> str:
        parameter = nodeid.partition("[")[2].rpartition("]")[0]
        scope: str = TIMING_GROUP if parameter in self._declared else super()._split_scope(nodeid)
        return scope
