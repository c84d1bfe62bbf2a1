"""A file's bytes: the checksum, by published vectors and the product's own; what a broken stream leaves."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.sandbox.vendors.microsoft.content import BLOCK, Content, QuickXor
from interchange.core.quickxorhash import QuickXorHash
from tests.sandbox.onedrive import sample

VECTORS = [
    (b"", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    (b"a", "YQAAAAAAAAAAAAAAAQAAAAAAAAA="),
    (b"abc", "YRDDGAAAAAAAAAAAAwAAAAAAAAA="),
    (b"hello world", "aCgDG9jwBhDc4Q1yawMZAAAAAAA="),
    (bytes(range(256)), "QkGEfSisZcA7k+FCh71r2dbCayY="),
    (b"A" * 327_680, "AAAAAAAAAAAAAAAAAAAFAAAAAAA="),
    (bytes(i % 251 for i in range(1_000_003)), "DVm6DZEtWr3VHJPlF5tbLXBwV0c="),
]


def quick_xor(*pieces: bytes) -> str:
    made = QuickXor()
    for piece in pieces:
        made.update(piece)
    return made.text()


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_published_vectors(data: bytes, expected: str) -> None:
    assert quick_xor(data) == expected


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 700) | st.sampled_from([BLOCK - 1, BLOCK, 2 * BLOCK + 7]), max_size=6),
    seed=st.integers(0, 1000),
)
def test_any_pieces_give_what_the_product_computes(sizes: list[int], seed: int) -> None:
    pieces = [sample(size, seed + number) for number, size in enumerate(sizes)]
    product = QuickXorHash()
    for piece in pieces:
        product.update(piece)

    assert quick_xor(*pieces) == product.base64() == quick_xor(b"".join(pieces))


def test_a_broken_stream_leaves_nothing(tmp_path: Path) -> None:
    content = Content(tmp_path / "blob")
    content.take([b"first "])

    def breaking() -> Iterator[bytes]:
        yield b"lost and longer than what follows"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        content.take(breaking())
    content.take([b"second"])
    sealed = content.seal()

    assert (tmp_path / "blob").read_bytes() == b"first second"
    assert sealed.sha256 == hashlib.sha256(b"first second").hexdigest()
    assert sealed.quick_xor_hash == quick_xor(b"first second")


def test_a_restart_in_the_middle_of_a_file(tmp_path: Path) -> None:
    content = Content(tmp_path / "blob")
    content.take([b"first "])

    again = pickle.loads(pickle.dumps(content))  # noqa: S301
    again.take([b"second"])

    assert again.seal().sha256 == hashlib.sha256(b"first second").hexdigest()
    assert (tmp_path / "blob").read_bytes() == b"first second"


def test_only_the_beginning_is_kept(tmp_path: Path) -> None:
    content = Content(tmp_path / "blob")

    content.take(iter([b"abc", b"def", b"ghi"]), keep=4)

    assert content.size == 4
    assert content.seal().sha256 == hashlib.sha256(b"abcd").hexdigest()
