"""Tests of `pytest_release.history.chain`: whatever is done to a line is found, and named."""

from __future__ import annotations

import io
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.errors import HistoryError
from pytest_release.history import History
from pytest_release.history.chain import Chain, read_chain
from pytest_release.history.lines import LARGEST, MOST_TORN
from pytest_release.history.record import NOTHING, Record, make_record, read_record
from tests.unit.history.conftest import NOW, entry, joined, read


def clean(content: bytes) -> Chain | None:
    """The chain, if these bytes verify to their end."""
    try:
        chain = read(content)
    except HistoryError:
        return None
    return chain if chain.ended and not chain.torn else None


def make(*notes: str) -> list[Record]:
    """A chain of records."""
    records: list[Record] = []
    for text in notes:
        records.append(make_record(records[-1] if records else None, entry(notes=text), NOW))
    return records


def test_a_chain_has_a_head_and_repairs(lines: list[bytes]) -> None:
    """The torn line is no record; the record that names it is a repair."""
    chain = read(joined(lines))

    assert [record.version for record in chain.records] == ["1", "2", "-", "3", "4"]
    assert chain.count == 5
    assert chain.head == read_record(lines[-1]).hash
    assert [record.sequence for record in chain.repairs] == [3]
    assert chain.repairs[0].notes == "a write was cut off, 24 bytes are left"
    assert (chain.torn, chain.ended) == ((), True)


def test_an_empty_history_has_no_head() -> None:
    """But a chain it is."""
    assert read(b"") == Chain(())
    assert read(b"").head == NOTHING


def test_any_changed_byte_is_found(lines: list[bytes]) -> None:
    """At every position, those of torn lines, hashes and line feeds included."""
    content = joined(lines)
    unfound = []
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= (0x01, 0x20, 0x80)[position % 3]
        if clean(bytes(changed)) is not None:
            unfound.append(position)

    assert unfound == []


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4), st.data()
)
def test_any_byte_of_any_history_is_bound(notes: list[str], data: st.DataObject) -> None:
    """To any other byte; removed; or doubled by any byte."""
    content = b"".join(record.line for record in make(*notes))
    position = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[position]))
    before, after = content[:position], content[position + 1 :]

    assert clean(content)
    assert clean(before + bytes([byte]) + after) is None
    assert clean(before + after) is None
    assert clean(before + bytes([byte]) + content[position:]) is None


@pytest.mark.parametrize("line", range(5))
def test_a_removed_line_is_found(lines: list[bytes], line: int) -> None:
    """Wherever it was but at the end, torn or not."""
    content = joined([*lines[:line], *lines[line + 1 :]])

    assert clean(content) is None


def test_a_removed_end_is_not_found(lines: list[bytes]) -> None:
    """The chain is whole without it; that is what anchors are for."""
    assert clean(joined(lines[:-1])) is not None


def test_any_other_order_is_found(lines: list[bytes]) -> None:
    """All 719 of them."""
    found = [order for order in permutations(lines) if clean(joined(order)) is not None]

    assert found == [tuple(lines)]


@pytest.mark.parametrize("place", range(7))
def test_an_inserted_line_is_found(lines: list[bytes], place: int) -> None:
    """A copy of any other, a forged one that fits there, an empty one."""
    before = [read_record(line) for line in lines[:place] if b"hash" in line]
    forged = make_record(before[-1] if before else None, entry("forged"), NOW).line[:-1]
    others = [*lines, b""] if place == 6 else [*lines, b"", forged]

    for other in others:
        assert clean(joined([*lines[:place], other, *lines[place:]])) is None


R = [record.line for record in make("a", "b", "c", "d")]
FORGED = [record.line for record in make("a", "B", "c")]
TORN = b'{"action":"pro'
EDITED = R[1].replace(b'"notes":"b"', b'"notes":"B"')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (R[0] + EDITED + R[2], "line 2: changed: its hash is not that of its content"),
        (R[0] + FORGED[1] + R[2], "line 3: changed: the record before it is not the one that "),
        (R[0] + b"{}\n", "line 2: changed: its members are not those of a record"),
        (R[0] + b" " + R[1], "line 2: changed: it is not the canonical JSON of a record"),
        (R[0] + R[2], "line 2: removed: here stands record 3, and not record 2"),
        (R[1], "line 1: removed: here stands record 2, and not record 1"),
        (R[0] + R[0], "line 2: inserted: a record 1 stands before it already"),
        (R[0] + FORGED[1] + R[1], "line 3: inserted: a record 2 stands before it already"),
        (R[0] + R[2] + R[1], "line 2: reordered: here stands record 3, and not record 2"),
        (R[0] + TORN + b"\n" + R[1], "line 2: not JSON: and the next record is no repair that "),
        (R[0] + b"\n" + R[1], "line 2: not JSON: and the next record is no repair that names it"),
        (R[0] + b"x" * LARGEST + b"\n", "line 2: changed: it has more than 1048576 bytes"),
        (R[0] + b"\n" * (MOST_TORN + 1), "line 1002: not JSON: and so are the 1000 lines before"),
    ],
)  # fmt: skip
def test_it_is_named_with_its_line(content: bytes, message: str) -> None:
    """File, line, which of the ways, and why."""
    with pytest.raises(HistoryError, match=f"^history.jsonl, {message}"):
        read(content)


def test_a_repair_names_exactly_what_is_torn(path: Path) -> None:
    """All of it, nothing else, in the order in which it stands before it."""
    path.write_bytes(R[0] + b'{"a\n{"b')
    History(path).append(entry(), NOW)
    first, a, b, *rest = path.read_bytes().splitlines()

    assert read(joined([first, a, b, *rest])).count == 3
    with pytest.raises(HistoryError, match=r"line 3: removed: a torn line that this repair names"):
        read(joined([first, a, *rest]))
    with pytest.raises(HistoryError, match=r"line 4: not JSON: and the next record is no repair"):
        read(joined([first, a, b, b'{"c', *rest]))
    with pytest.raises(HistoryError, match=r"line 4: reordered: the torn lines before it are not"):
        read(joined([first, b, a, *rest]))


def test_what_cannot_be_read_is_an_error() -> None:
    """A folder perhaps, or a broken disk."""

    class Broken(io.BytesIO):
        def readline(self, _: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(HistoryError, match=r"^h cannot be read: Input/output error$"):
        read_chain(Broken(), Path("h"))
