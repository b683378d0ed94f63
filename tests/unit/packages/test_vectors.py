"""Tests of `pytest_release.packages.vectors`: dimensions and numbers of each vector."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.packages.vectors import Vectors

FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)


@pytest.mark.parametrize(
    "value",
    [
        b"[0.5,-0.25,7.1e-05]",
        b"[-0.5,0.25,1.0]",
        b"[0,1,-1]",
        b"[1e-05,2e+10,0]",
        b"[ 1 , 2 , 3 ]",
        b" [.5,5.,+1] ",
        b"[3.4028235e+38,-3.4028235e+38,0]",
    ],
)
def test_a_good_vector_has_its_dimensions(value: bytes) -> None:
    """However its numbers are written."""
    vectors = Vectors(3)

    assert vectors.add([value]) == []
    assert vectors.seen == {3: 1}


@pytest.mark.parametrize(
    ("value", "code", "problem"),
    [
        (b"[0.1,0.2]", "vector-dimensions", "has 2 dimensions, expected 3"),
        (b"[0.1,0.2,0.3,4]", "vector-dimensions", "has 4 dimensions, expected 3"),
        (b"[0.1,NaN,0.3]", "not-finite", "holds NaN at place 2, expected a finite number"),
        (b"[0.1,0.2,-Infinity]", "not-finite", "holds -Infinity at place 3, expected"),
        (b"[inf,0.2,0.3]", "not-finite", "holds inf at place 1, expected a finite number"),
        (b"[0.1,1.5e39,0.3]", "not-finite", "holds 1.5e39, which no vector can hold"),
        (b"[0.1,1.5e+39,0.3]", "not-finite", "holds 1.5e+39, which no vector can hold"),
        (b"[0.1,%d,0.3]" % 10**40, "not-finite", "which no vector can hold"),
        (b"[0.1,x,0.3]", "not-a-vector", "holds 'x' at place 2, expected a number"),
        (b"[0.1,,0.3]", "not-a-vector", "holds '' at place 2, expected a number"),
        (b"[0.1,0.2.3,0]", "not-a-vector", "holds '0.2.3' at place 2, expected a number"),
        (b"[0.1,0.2,0.3e]", "not-a-vector", "holds '0.3e' at place 3, expected a number"),
        (b"[0.1,0.2,0.3e-]", "not-a-vector", "holds '0.3e-' at place 3, expected a number"),
        (b"[e-5.1,0.2,0.3]", "not-a-vector", "holds 'e-5.1' at place 1, expected a number"),
        (b"0.1,0.2,0.3", "not-a-vector", "is no vector: '0.1,0.2,0.3'"),
        (b"5[0.1,0.2,0.3]", "not-a-vector", "is no vector: '5[0.1,0.2,0.3]'"),
        (b"[0.1,0.2,0.3]-", "not-a-vector", "is no vector: '[0.1,0.2,0.3]-'"),
        (b"", "not-a-vector", "is no vector: ''"),
        (b"[", "not-a-vector", "is no vector: '['"),
        (b"[]", "not-a-vector", "holds '' at place 1, expected a number"),
        (b"{0.1,0.2,0.3}", "not-a-vector", "is no vector"),
    ],
)
def test_a_wrong_vector_is_found(value: bytes, code: str, problem: str) -> None:
    """Among good ones, with its place and the number that is wrong."""
    good = b"[0.1,0.2,0.3]"
    [(place, found, message)] = Vectors(3).add([good, value, good])

    assert (place, found) == (1, code)
    assert message.startswith(problem) or problem in message


@given(FLOATS)
def test_what_is_printed_as_json_is_a_vector(numbers: list[float]) -> None:
    """Any finite float4."""
    value = json.dumps(numbers, separators=(",", ":")).encode()
    vectors = Vectors(len(numbers))
    largest = struct.unpack("f", struct.pack("I", 0x7F7FFFFF))[0]

    assert vectors.add([value]) == []
    assert vectors.seen == {len(numbers): 1}
    assert Vectors(1).add([f"[{largest}]".encode()]) == []


@given(st.binary(max_size=40), st.integers(1, 4))
def test_any_bytes_are_looked_at(value: bytes, dimensions: int) -> None:
    """Nothing raises."""
    for data in (value, b"[" + value + b"]", b"[0.1," + value + b"]"):
        Vectors(dimensions).add([data])
