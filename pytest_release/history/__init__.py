"""The history: the append-only, hash-chained record of every action.

- A line is the canonical JSON of a record, and a line feed; any other byte is found.
- A record carries the hash of the one before, and its own.
- Nothing truncates or rewrites the file. What a killed writer left half written is ended, and the
  next writer appends a record that names it: a repair.

::

    entry = Entry(stack="shop", env="prod", action="promote", version="1.4.2", status="success")
    with History(path).locked() as book:
        if nonce not in {record.details.get("nonce") for record in book.records()}:
            written = book.append(entry, now)
"""

from pytest_release.history.book import Book, History, Repair, Written, anchors_of, verify
from pytest_release.history.chain import Chain
from pytest_release.history.record import (
    DEPLOY,
    REPAIR,
    ROLLBACK,
    ROLLOUT,
    SUCCESS,
    Entry,
    Record,
)
from pytest_release.history.selection import is_good, last_good, select, since

__all__ = [
    "DEPLOY",
    "REPAIR",
    "ROLLBACK",
    "ROLLOUT",
    "SUCCESS",
    "Book",
    "Chain",
    "Entry",
    "History",
    "Record",
    "Repair",
    "Written",
    "anchors_of",
    "is_good",
    "last_good",
    "select",
    "since",
    "verify",
]
