"""
A Google Sheet's rows, through the Google provider's hook.

Values are asked for as they are shown (``FORMATTED_VALUE``), in one call: blocks read one after another could miss or
double a row that somebody moves in between. Google recommends at most 2 MB for an answer, some 20,000 rows of six
short cells; the client reads an answer as a whole. Sources: Google's discovery document of Sheets v4, its page on
limits, the provider's hook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from interchange.core.report import ReportRow
from interchange.errors import NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.settings.ticket_closure import SheetSource

OPERATION = "google.get_values"
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
QUOTA_WAIT_S = 60.0
"""The quota counts by the minute; Google names no time to wait."""
_QUOTA = ("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED")


def sheet_rows(source: SheetSource) -> Iterator[ReportRow]:
    """
    :raises RateLimited: too many reads this minute. :raises Unavailable: no usable answer.
    :raises Refused: not shared with the account, no such range. :raises NotFound: no such spreadsheet.
    :raises SettingsError: the connection is missing or its key is none.
    """
    values = _values(source)
    first = _first_row(source.range)
    for number, cells in enumerate(values, first):
        yield ReportRow(number=number, cells=tuple(cells))


def _values(source: SheetSource) -> list[list[Any]]:
    from http.client import HTTPException

    import google.auth.exceptions
    import httplib2  # type: ignore[import-untyped]  # it has no types
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException
    from airflow.providers.google.suite.hooks.sheets import GSheetsHook
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]  # it has no types

    class ReadingHook(GSheetsHook):
        """Asks for the right to read sheets and nothing else, whatever the connection says."""

        @property
        def scopes(self) -> list[str]:
            return [SCOPE]

    named = f"connection {source.conn_id}"
    try:
        hook = ReadingHook(gcp_conn_id=source.conn_id)
        hook.api_endpoint = hook.extras.get("sheets_api_endpoint") or None
        found: list[list[Any]] = hook.get_values(source.spreadsheet_id, source.range)
    except AirflowNotFoundException:
        raise SettingsError(f"there is no {named}; create it (type google_cloud_platform)") from None
    except HttpError as exc:
        raise _translated(exc) from None
    except google.auth.exceptions.TransportError:
        raise Unavailable("google.token", "no answer; nothing was read") from None
    except google.auth.exceptions.RefreshError as exc:
        if getattr(exc, "retryable", False):
            raise Unavailable("google.token", "no usable answer; nothing was read") from None
        raise Refused(
            "google.token", f"Google gives no token: is the key of {named} still valid, and the clock right?"
        ) from None
    except (OSError, HTTPException, httplib2.HttpLib2Error) as exc:
        raise Unavailable(OPERATION, f"no usable answer ({type(exc).__name__}); nothing was read") from None
    except (AirflowException, ValueError) as exc:
        # The text of neither is safe to show: it may quote the key.
        raise SettingsError(f"{named}: its key file cannot be used ({type(exc).__name__})") from None
    return found


def _translated(exc: Any) -> Exception:
    status = int(exc.resp.status)
    text = exc.content.decode("utf-8", "replace") if isinstance(exc.content, bytes) else str(exc.content)
    if status == 429 or (status == 403 and any(reason in text for reason in _QUOTA)):
        return RateLimited(OPERATION, "too many reads this minute", retry_after_s=QUOTA_WAIT_S, status=status)
    if status >= 500:
        return Unavailable(OPERATION, "Google is not well; nothing was read", status=status)
    if status == 404:
        return NotFound(OPERATION, "there is no such spreadsheet: check source.spreadsheet_id", status=status)
    if status == 403:
        return Refused(
            OPERATION,
            "not allowed: share the spreadsheet with the service account, and enable the Sheets API in its project",
            status=status,
        )
    if status == 400:
        return Refused(
            OPERATION, "there is no such range: check source.range and the sheet's name", status=status
        )
    return Refused(OPERATION, "the request was refused", status=status)


def _first_row(named: str) -> int:
    """Where a range begins: ``'My Sheet'!$A$2:F`` → 2; 1 where it names no row."""
    cells = named.rpartition("!")[2]
    found = re.match(r"\$?[A-Za-z]{1,3}\$?([0-9]+)", cells)
    return int(found[1]) if found and ("!" in named or ":" in cells) else 1
