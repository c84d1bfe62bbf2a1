"""
Rate limits that all tasks of a deployment share, kept in the ledger's database.

The generic cell rate algorithm (a leaky bucket kept as one time stamp): calls are granted ``burst`` at once
and otherwise ``period / (limit - burst + 1)`` apart. With that spacing **no** half-open window of ``period``
seconds holds more than ``limit`` grants, wherever it begins; the textbook's ``period / limit`` would let a
burst and the spaced calls after it add up to nearly twice the limit. The price is a sustained rate of
``(limit - burst + 1) / limit`` of the vendor's.

What is bounded is when calls are granted. Two calls granted apart may reach the vendor closer together, so a
vendor that counts to the last call can still answer 429 now and then: :meth:`RateLimiter.penalise` is for
that.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Double, Engine, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from interchange.errors import RateLimited
from interchange.ledger.database import transaction
from interchange.ledger.schema import epoch, rate_limits
from interchange.ledger.upgrade import ensure_current


class RateLimiter:
    """
    Grants calls within vendors' limits, by the database's clock.

    :param engine: the ledger's, as ``ledger.engine``.
    """

    def __init__(self, engine: Engine) -> None:
        ensure_current(engine)
        self._engine = engine
        on_postgresql = engine.dialect.name == "postgresql"
        self._dialect = postgresql if on_postgresql else sqlite
        self._latest = func.greatest if on_postgresql else func.max

    def acquire(
        self,
        bucket: str,
        *,
        limit: int,
        period_s: float,
        burst: int | None = None,
        max_wait_s: float | None = None,
    ) -> float:
        """
        Reserve the next call and return how many seconds to wait before making it.

        A reservation that is not used is lost, never given to somebody else.

        :param bucket: what the vendor counts: a token, an application, an account. No secrets, it is stored.
        :param limit: calls allowed in any ``period_s`` seconds.
        :param burst: calls that may go out at once; a tenth of the limit unless given.
        :param max_wait_s: reserve nothing if the wait would be longer.
        :raises RateLimited: the wait would be longer; ``retry_after_s`` says how long it would have been.
        """
        burst = max(1, limit // 10) if burst is None else burst
        if not (1 <= burst <= limit and period_s > 0):
            raise ValueError(f"No rate: {limit} calls in {period_s} s, {burst} at once.")
        spacing_s = period_s / (limit - burst + 1)
        # So far may next_at be ahead of a call: that much of a burst has been used.
        ahead_s = (burst - 1) * spacing_s
        row = rate_limits.c
        # The clock is read once: two readings in one statement differ, and calls would slip in between.
        changed = self._latest(row.next_at, row.blocked_until, epoch()) + _seconds(spacing_s)
        due = self._latest(row.next_at - _seconds(ahead_s), row.blocked_until)
        fits = None if max_wait_s is None else due <= epoch() + _seconds(max_wait_s)
        statement = (
            self._dialect.insert(rate_limits)
            .values(bucket=bucket, next_at=epoch() + _seconds(spacing_s))
            .on_conflict_do_update(index_elements=[row.bucket], set_={"next_at": changed}, where=fits)
            .returning(row.next_at, row.blocked_until, epoch().label("at"))
        )
        with transaction(self._engine) as connection:
            granted = connection.execute(statement).one_or_none()
            if granted is None:
                wait_s = connection.execute(select(due - epoch()).where(row.bucket == bucket)).scalar_one()
                raise RateLimited(
                    "ledger.rate_limit",
                    f"the next call to {bucket} is due later than we may wait",
                    retry_after_s=max(0.0, wait_s),
                )
        call_at = max(granted.next_at - spacing_s - ahead_s, granted.blocked_until)
        return max(0.0, float(call_at - granted.at))

    def penalise(self, bucket: str, seconds: float) -> None:
        """
        Grant nothing for so many seconds: a vendor's ``Retry-After``, obeyed by all tasks.

        Calls granted before are not recalled. A shorter penalty never cuts a longer one.
        """
        until = epoch() + _seconds(seconds)
        statement = (
            self._dialect.insert(rate_limits)
            .values(bucket=bucket, next_at=epoch(), blocked_until=until)
            .on_conflict_do_update(
                index_elements=[rate_limits.c.bucket],
                set_={"blocked_until": self._latest(rate_limits.c.blocked_until, until)},
            )
        )
        with transaction(self._engine) as connection:
            connection.execute(statement)


def _seconds(value: float) -> ColumnElement[float]:
    return literal(float(value), Double)
