"""
What can go wrong, named by what to do next.

A hook translates every vendor failure into one of these classes, once, where the answer is read. Nothing above
a hook looks at status codes. What Airflow does about each class is in :mod:`interchange.policies`.

None of these carries a request or response body, a header, a token or a URL with a credential: their text
ends up in logs, in the grid and in notifications.
"""

from __future__ import annotations


class InterchangeError(Exception):
    """Base of everything this package raises on purpose."""


class SettingsError(InterchangeError):
    """A setting, a connection or a trigger-form value is wrong: a person must change it before a retry helps."""


class BadRecord(InterchangeError):
    """
    One input is wrong: set it aside with its reason and carry on with the rest.

    :param field: the column, element or key that is wrong, in the vendor's spelling.
    :param reason: what is wrong with it, without personal data.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class RemoteError(InterchangeError):
    """
    A call to another system did not give what we asked for.

    :param operation: our name of the call, such as ``qualtrics.start_export``.
    :param detail: one sentence for a person: what happened and, where known, what to do.
    :param status: the HTTP status, if there was an answer.
    :param request_id: the vendor's own id of the call, to quote in a support ticket.
    :param code: the vendor's own code of the error, for hooks that must tell two errors of one status apart.
    """

    def __init__(
        self,
        operation: str,
        detail: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        code: str = "",
    ) -> None:
        facts = [f"HTTP {status}"] if status is not None else []
        if request_id:
            facts.append(f"request {request_id}")
        super().__init__(f"{operation}: {detail}" + (f" ({', '.join(facts)})" if facts else ""))
        self.operation = operation
        self.detail = detail
        self.status = status
        self.request_id = request_id
        self.code = code


class Unavailable(RemoteError):
    """Nothing was changed: the same call may be tried again later."""


class RateLimited(Unavailable):
    """
    The other side, or our own share of its limit, asks us to wait. Nothing was changed.

    :param retry_after_s: seconds until the next try makes sense.
    """

    def __init__(
        self,
        operation: str,
        detail: str,
        *,
        retry_after_s: float,
        status: int | None = None,
        request_id: str | None = None,
        code: str = "",
    ) -> None:
        super().__init__(operation, detail, status=status, request_id=request_id, code=code)
        self.retry_after_s = retry_after_s


class Busy(RateLimited):
    """Somebody else holds the claim on this effect or resource. Nothing was changed."""


class Refused(RemoteError):
    """The call will fail again unchanged: a person must act. Nothing was changed."""


class NotFound(Refused):
    """The thing asked for does not exist (any more)."""


class Conflict(Refused):
    """The thing exists already, or has changed since it was read."""


class OutcomeUnknown(RemoteError):
    """The call may have happened: look it up, never send it again blindly."""
