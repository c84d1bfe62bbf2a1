"""Which texts are one plain address."""

from __future__ import annotations

import string

import pytest

from interchange.core.addresses import normalised
from interchange.errors import BadRecord

ATEXT = frozenset(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-")
"""RFC 5322 §3.2.3."""
ASCII = [chr(code) for code in range(128)]


def accepted(text: str) -> bool:
    try:
        normalised(text)
    except BadRecord:
        return False
    return True


def test_before_the_at_stands_what_the_rfc_calls_an_atom() -> None:
    assert {character for character in ASCII if accepted(f"a{character}b@example.com")} == ATEXT | {"."}


def test_a_domain_is_letters_digits_and_hyphens_inside() -> None:
    allowed = frozenset(string.ascii_letters + string.digits)
    assert {character for character in ASCII if accepted(f"a@x{character}y.com")} == allowed | {".", "-"}
    assert {character for character in ASCII if accepted(f"a@{character}.com")} == allowed


@pytest.mark.parametrize("letter", ["\u00e9", "\u0391", "\u4e2d", "\uffff", "\U0001d4d0", "\U0010ffff"])
def test_letters_of_other_scripts_are_letters(letter: str) -> None:
    """RFC 6531."""
    assert normalised(f"{letter}@{letter}{letter}.{letter}") == f"{letter}@{letter}{letter}.{letter}".lower()


@pytest.mark.parametrize("space", ["\u0085", "\u00a0", "\u2003", "\u3000"])
def test_white_space_of_other_scripts_is_white_space(space: str) -> None:
    assert not accepted(f"a{space}b@example.com")
    assert not accepted(f"a@exam{space}ple.com")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a" * 64 + "@example.com", True),
        ("a" * 65 + "@example.com", False),
        ("a@" + "b" * 63 + ".com", True),
        ("a@" + "b" * 64 + ".com", False),
        ("a@" + "b." * 124 + "com", True),
        ("a@" + "b." * 125 + "com", False),
        ("a..b@example.com", False),
        (".a@example.com", False),
        ("a@example.com.", False),
    ],
)
def test_lengths_and_dots(text: str, fits: bool) -> None:
    assert accepted(text) is fits
