"""The harness itself: each step of a run has a number of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.steps import CALL, LEDGER, Numbered, is_of_the_work

EACH = 2000
THREADS = 4


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns after each few instructions."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hurried")
def test_steps_of_threads_that_come_at_once_are_numbered_without_gaps() -> None:
    """A kill at the sixth call was missed: two threads had come at once, and both took the number of the second."""
    numbered = Numbered()

    def reach(where: str) -> list[int]:
        return [numbered.add(where, "a step") for _ in range(EACH)]

    with ThreadPoolExecutor(THREADS) as pool:
        numbers = list(pool.map(reach, [CALL] * (THREADS - 1) + [LEDGER]))

    assert sorted(number for of_thread in numbers[:-1] for number in of_thread) == list(
        range(1, (THREADS - 1) * EACH + 1)
    )
    assert numbers[-1] == list(range(1, EACH + 1))
    assert len(numbered.seen) == THREADS * EACH


def test_what_googles_library_asks_by_itself_is_no_step() -> None:
    """It came at any time, and never came back: a kill after it was missed."""
    assert not is_of_the_work(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/x/allowedLocations"
    )
    assert is_of_the_work("https://localhost:8600/storage/v1/b/recordings/o")
