"""
Drawing twelve weekly rounds after a year of history: seconds, peak memory, and how far from the best.

    python -m benchmarks.pairing [PEOPLE …]

Each measurement is a process of its own, so that its peak memory is its own; the history is part of it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import resource
import subprocess
import sys
import time

from interchange.core.pairing import (
    Draw,
    PairingRules,
    PastGroup,
    PastRound,
    Person,
    Slot,
    draw_rounds,
)

SIZES = (100, 1_000, 10_000)
DEPARTMENTS = 12
ROUNDS = 12
PAST_ROUNDS = 52
FIRST_DAY = dt.date(2026, 11, 5)
WEEK = dt.timedelta(days=7)


def staff(number: int, rng: random.Random) -> list[Person]:
    """The largest department has about a quarter of all, the smallest a fiftieth."""
    names = [f"department {place}" for place in range(DEPARTMENTS)]
    weights = [DEPARTMENTS / (place + 2) for place in range(DEPARTMENTS)]
    chosen = rng.choices(names, weights, k=number)
    return [Person(key=f"p{who:06}", departments=frozenset((name,))) for who, name in enumerate(chosen)]


def year(people: list[Person], rng: random.Random) -> list[PastRound]:
    """Weekly rounds in which one of twenty was away and pairs were random, one in ten of them not held."""
    past = []
    for week in range(1, PAST_ROUNDS + 1):
        keys = [person.key for person in people if rng.random() > 0.05]
        rng.shuffle(keys)
        groups = tuple(
            PastGroup(members=frozenset(pair), met=rng.random() > 0.1)
            for pair in zip(keys[::2], keys[1::2], strict=False)
        )
        past.append(
            PastRound(day=FIRST_DAY - week * WEEK, groups=groups, rested=frozenset(keys[len(groups) * 2 :]))
        )
    return past


def drawn(number: int) -> tuple[Draw, float]:
    """One draw, and the seconds it took without the making of its input."""
    rng = random.Random(number)
    people = staff(number, rng)
    history = year(people, rng)
    slots = [
        Slot(
            day=FIRST_DAY + week * WEEK,
            absent=frozenset(person.key for person in people if rng.random() < 0.05),
        )
        for week in range(ROUNDS)
    ]
    blocked = frozenset(
        frozenset(person.key for person in rng.sample(people, 2)) for _ in range(number // 20)
    )
    began = time.monotonic()
    draw = draw_rounds(people, slots, history=history, rules=PairingRules(blocked=blocked), seed=1)
    return draw, time.monotonic() - began


def compare(sizes: tuple[int, ...] = SIZES) -> None:
    """Print a line for each size."""
    for number in sizes:
        command = [sys.executable, "-m", "benchmarks.pairing", "--measure", str(number)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=int, nargs="*")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.measure:
        compare(tuple(arguments.people) or SIZES)
        return
    (number,) = arguments.people
    draw, seconds = drawn(number)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    quality = draw.quality
    print(
        f"{ROUNDS} rounds of {number} people after {PAST_ROUNDS}: {seconds:.2f} s, peak {peak:.0f} MiB; "
        f"{quality.repeats.drawn} pairs twice, {quality.past_repeats.drawn} met before, "
        f"{quality.same_department.drawn} of one department, {quality.resting.drawn} rests; "
        + quality.gap_text
    )


if __name__ == "__main__":
    main()
