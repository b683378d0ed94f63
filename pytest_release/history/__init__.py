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
from pytest_release.history.record import REPAIR, SUCCESS, Entry, Record
from pytest_release.history.selection import last_good, select, since

__all__ = [
    "REPAIR",
    "SUCCESS",
    "Book",
    "Chain",
    "Entry",
    "History",
    "Record",
    "Repair",
    "Written",
    "anchors_of",
    "last_good",
    "select",
    "since",
    "verify",
]
