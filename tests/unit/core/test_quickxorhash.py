"""QuickXorHash against published values, a bit-by-bit reference, and any way of cutting the input."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.quickxorhash import QuickXorHash

PUBLISHED = {
    "empty": (b"", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "a": (b"a", "YQAAAAAAAAAAAAAAAQAAAAAAAAA="),
    "abc": (b"abc", "YRDDGAAAAAAAAAAAAwAAAAAAAAA="),
    "hello world": (b"hello world", "aCgDG9jwBhDc4Q1yawMZAAAAAAA="),
    "every byte": (bytes(range(256)), "QkGEfSisZcA7k+FCh71r2dbCayY="),
    "one upload unit": (b"A" * 327_680, "AAAAAAAAAAAAAAAAAAAFAAAAAAA="),
    "a million": (bytes(i % 251 for i in range(1_000_003)), "DVm6DZEtWr3VHJPlF5tbLXBwV0c="),
}


def reference(data: bytes) -> bytes:
    """The definition, one bit at a time."""
    bits = [0] * 160
    for index, byte in enumerate(data):
        for bit in range(8):
            bits[(index * 11 + bit) % 160] ^= byte >> bit & 1
    state = bytearray(sum(bits[8 * i + bit] << bit for bit in range(8)) for i in range(20))
    for index, byte in enumerate(len(data).to_bytes(8, "little")):
        state[12 + index] ^= byte
    return bytes(state)


@pytest.mark.parametrize(("data", "expected"), PUBLISHED.values(), ids=PUBLISHED.keys())
def test_published_values(data: bytes, expected: str) -> None:
    assert QuickXorHash(data).base64() == expected


@given(st.binary(max_size=2000))
def test_equals_the_definition(data: bytes) -> None:
    assert QuickXorHash(data).digest() == reference(data)


@given(
    st.binary(max_size=400),
    st.integers(1, 40),
    st.lists(st.integers(0, 14_000), max_size=12),
    st.integers(0, 11),
)
def test_any_cutting_and_any_interruption_give_the_same_hash(
    seed: bytes, repeat: int, cuts: list[int], stop: int
) -> None:
    data = (seed + b"x") * repeat
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(borders)]
    hasher = QuickXorHash()
    for number, piece in enumerate(pieces):
        if number == stop:
            hasher = QuickXorHash.from_state(hasher.export_state())
        hasher.update(memoryview(piece))

    assert hasher.digest() == reference(data)
    assert hasher.length == len(data)


def test_reading_the_digest_changes_nothing() -> None:
    hasher = QuickXorHash(b"first ")
    before = hasher.digest()
    twin = hasher.copy()
    twin.update(b"other")

    assert hasher.digest() == before
    hasher.update(b"second")
    assert hasher.digest() == reference(b"first second")
    assert twin.digest() == reference(b"first other")


def test_the_state_is_small_text() -> None:
    state = QuickXorHash(b"z" * 1_000_000).export_state()

    assert len(state) < 400
    assert json.loads(state)["length"] == 1_000_000


@pytest.mark.parametrize(
    "state",
    [
        "",
        "{}",
        "[]",
        '{"length": -1, "columns": ""}',
        '{"length": true, "columns": "' + "00" * 160 + '"}',
        '{"length": 1, "columns": "00"}',
        '{"length": 1, "columns": "zz"}',
    ],
)
def test_a_damaged_state_is_refused(state: str) -> None:
    with pytest.raises(ValueError, match=r"state|JSON|hex|value"):
        QuickXorHash.from_state(state)


def test_base64_is_the_digest() -> None:
    hasher = QuickXorHash(b"abc")
    assert base64.b64decode(hasher.base64()) == hasher.digest()
