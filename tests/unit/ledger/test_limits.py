"""Rate limits shared by processes."""

from __future__ import annotations

import bisect
import itertools
import multiprocessing
from typing import Any

import pytest
from sqlalchemy import select

from interchange.errors import RateLimited
from interchange.ledger.database import make_engine
from interchange.ledger.limits import RateLimiter
from interchange.ledger.schema import epoch


def most_in_a_window(grants: list[float], period_s: float) -> int:
    """The most grants in any half-open window, but for a microsecond of rounding."""
    grants = sorted(grants)
    return max(
        bisect.bisect_left(grants, start + period_s - 1e-5) - number for number, start in enumerate(grants)
    )


@pytest.fixture
def limiter(engine: Any) -> RateLimiter:
    return RateLimiter(engine)


def grants(limiter: RateLimiter, engine: Any, number: int, **rate: Any) -> list[float]:
    """When each of so many calls, all asked for now, may be made, by the database's clock."""
    found = []
    for _ in range(number):
        wait_s = limiter.acquire("vendor", **rate)
        with engine.connect() as connection:
            found.append(connection.execute(select(epoch())).scalar_one() + wait_s)
    return found


@pytest.mark.parametrize(("limit", "burst"), [(1, None), (5, None), (5, 5), (20, None), (20, 10), (40, 1)])
def test_no_window_holds_more_than_the_limit(limiter, engine, limit, burst):
    asked = grants(limiter, engine, 60, limit=limit, period_s=1000.0, burst=burst)

    # The clock is read a little after the grant, so windows are measured a little short.
    assert most_in_a_window(asked, 990) <= limit


def test_a_burst_goes_out_at_once_and_the_rest_evenly(limiter):
    waits = [limiter.acquire("vendor", limit=20, period_s=2000.0, burst=5) for _ in range(10)]

    assert waits[:5] == pytest.approx([0] * 5, abs=20)
    # 16 more in the rest of a window of 2,000 seconds.
    assert waits[5:] == pytest.approx([125, 250, 375, 500, 625], abs=20)


def test_buckets_do_not_share_their_limit(limiter):
    assert limiter.acquire("a", limit=1, period_s=60) == 0
    assert limiter.acquire("b", limit=1, period_s=60) == 0
    assert limiter.acquire("a", limit=1, period_s=60) == pytest.approx(60, abs=10)


def test_a_pause_gives_back_the_burst_and_no_more(limiter, sql):
    for _ in range(2):
        limiter.acquire("vendor", limit=4, period_s=600, burst=2)
    sql("UPDATE rate_limits SET next_at = next_at - 10000")

    waits = [limiter.acquire("vendor", limit=4, period_s=600, burst=2) for _ in range(3)]

    assert waits == [0, 0, pytest.approx(200, abs=20)]


def test_a_penalty_holds_for_everybody_and_is_never_cut_short(limiter, engine):
    limiter.acquire("vendor", limit=10, period_s=1)
    limiter.penalise("vendor", 30)
    limiter.penalise("vendor", 5)
    limiter.penalise("new", 30)

    assert RateLimiter(engine).acquire("vendor", limit=10, period_s=1) == pytest.approx(30, abs=10)
    assert RateLimiter(engine).acquire("new", limit=10, period_s=1) == pytest.approx(30, abs=10)
    after = grants(limiter, engine, 30, limit=10, period_s=1000.0)
    assert most_in_a_window(after, 990) <= 10


def test_who_will_not_wait_takes_nothing(limiter):
    limiter.acquire("vendor", limit=1, period_s=60)

    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            limiter.acquire("vendor", limit=1, period_s=60, max_wait_s=5)
        assert caught.value.retry_after_s == pytest.approx(60, abs=10)
    assert limiter.acquire("vendor", limit=1, period_s=60, max_wait_s=61) == pytest.approx(60, abs=10)


@pytest.mark.parametrize("rate", [(0, 1, None), (1, 0, None), (5, 1, 6), (5, 1, 0)])
def test_what_is_no_rate_is_refused(limiter, rate):
    limit, period_s, burst = rate
    with pytest.raises(ValueError, match="No rate"):
        limiter.acquire("vendor", limit=limit, period_s=period_s, burst=burst)


LIMIT, PERIOD_S, CALLS = 20, 20.0, 50
# Notes each slot, in the database that gives it.
NOTE_SLOTS = {
    "sqlite": [
        "CREATE TABLE slots (next_at double)",
        """CREATE TRIGGER note_first AFTER INSERT ON rate_limits
        BEGIN INSERT INTO slots VALUES (NEW.next_at); END""",
        """CREATE TRIGGER note AFTER UPDATE ON rate_limits
        BEGIN INSERT INTO slots VALUES (NEW.next_at); END""",
    ],
    "postgresql": [
        "CREATE TABLE slots (next_at double precision)",
        """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO slots VALUES (NEW.next_at); RETURN NULL; END $$""",
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON rate_limits FOR EACH ROW EXECUTE FUNCTION note()",
    ],
}


def call_often(url: str, barrier: Any) -> None:
    limiter = RateLimiter(make_engine(url))
    barrier.wait(30)
    for _ in range(CALLS):
        limiter.acquire("vendor", limit=LIMIT, period_s=PERIOD_S)


def test_processes_together_never_exceed_the_limit(empty_database_url, in_process, database):
    engine = make_engine(empty_database_url)
    RateLimiter(engine)
    with engine.begin() as connection:
        for statement in NOTE_SLOTS[database]:
            connection.exec_driver_sql(statement)
    barrier = multiprocessing.get_context("fork").Barrier(3)
    processes = [in_process(call_often, empty_database_url, barrier) for _ in range(3)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0

    # Each call got a slot of its own, at least the spacing after the one before: then no window can hold more
    # than the limit, as the tests above show for one process.
    with engine.connect() as connection:
        slots = sorted(connection.exec_driver_sql("SELECT next_at FROM slots").scalars())
    engine.dispose()
    spacing_s = PERIOD_S / (LIMIT - LIMIT // 10 + 1)
    assert len(slots) == 3 * CALLS
    assert min(after - before for before, after in itertools.pairwise(slots)) > spacing_s - 1e-6
    # And none is wasted, as long as somebody asks.
    assert slots[-1] - slots[0] == pytest.approx((3 * CALLS - 1) * spacing_s, rel=0.1)
