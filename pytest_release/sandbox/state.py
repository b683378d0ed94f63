"""What the worker processes share: one JSON object in an open file without a name.

The file is unlinked before the first worker starts, so nothing is left behind whatever dies. It is
locked per process (`fcntl.lockf`): the workers inherit one open file, on which `flock` would not
exclude them from one another. A lock of the process does the same for its threads.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class SharedState:
    """A small JSON object that every worker sees.

    Args:
        descriptor: An open file, empty at first.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._threads = threading.Lock()

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """The object, locked until the block ends, then written back."""
        with self._threads:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            try:
                size = os.fstat(self._descriptor).st_size
                value = json.loads(os.pread(self._descriptor, size, 0) or b"{}")
                yield value
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, json.dumps(value).encode(), 0)
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def count(self, key: str) -> int:
        """How often any worker has asked for this key, this time included."""
        with self.edit() as value:
            counts = value.setdefault("counts", {})
            counts[key] = number = counts.get(key, 0) + 1
        return int(number)
