"""
An Excel workbook's rows: streamed from S3 to disk, then read row by row.

A workbook is a ZIP, whose directory stands at its end: it cannot be read before it is there as a whole. What openpyxl
says of reading row by row: rows may be shorter than others, a formula whose value Excel has not stored is empty.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interchange.core.report import ReportRow
from interchange.core.suggest import did_you_mean
from interchange.errors import NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.settings.ticket_closure import ExcelSource

OPERATION = "s3.get_object"
CHUNK = 1 << 20
_THROTTLED = ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded")
_MISSING = ("NoSuchKey", "NoSuchBucket", "404")


@contextmanager
def workbook_rows(source: ExcelSource, folder: Path) -> Iterator[Iterator[ReportRow]]:
    """
    :param folder: an empty one, for the file.
    :raises Unavailable: S3 gives no usable answer. :raises NotFound: no such object.
    :raises Refused: not allowed. :raises SettingsError: it is no workbook, or has no such sheet.
    """
    path = folder / "report.xlsx"
    _fetch(source, path)
    place = f"s3://{source.bucket}/{source.key}"
    import openpyxl  # type: ignore[import-untyped]  # it has no types
    from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]  # as above

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as exc:
        raise SettingsError(
            f"{place} is no Excel workbook (.xlsx) that can be read ({type(exc).__name__}): an old .xls, one with "
            "a password and one that was cut look like that; save it anew as .xlsx and clear this task"
        ) from None
    try:
        if source.sheet is not None and source.sheet not in book.sheetnames:
            raise SettingsError(
                f"{place} has no sheet {source.sheet!r}; it has: {', '.join(book.sheetnames)}."
                f"{did_you_mean(source.sheet, book.sheetnames)}"
            )
        sheet = book[source.sheet] if source.sheet is not None else book.worksheets[0]
        # What the file says of its size may be wrong, and would cut rows.
        sheet.reset_dimensions()
        yield (
            ReportRow(number=number, cells=tuple(cells))
            for number, cells in enumerate(sheet.iter_rows(values_only=True), 1)
        )
    finally:
        book.close()


def _fetch(source: ExcelSource, path: Path) -> None:
    """One GET: what is read is one version of the object, whoever replaces it meanwhile."""
    import botocore.exceptions  # type: ignore[import-untyped]  # it has no types
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        client: Any = S3Hook(aws_conn_id=source.conn_id).get_conn()
        answer = client.get_object(Bucket=source.bucket, Key=source.key)
        size = 0
        with path.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(CHUNK):
                size += file.write(chunk)
    except AirflowNotFoundException:
        raise SettingsError(f"there is no connection {source.conn_id}; create it (type aws)") from None
    except botocore.exceptions.ClientError as exc:
        raise _translated(exc, source) from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
        raise SettingsError(f"connection {source.conn_id} holds no credentials for AWS") from None
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError, OSError) as exc:
        raise Unavailable(OPERATION, f"no usable answer ({type(exc).__name__}); nothing was read") from None
    if size != answer["ContentLength"]:
        raise Unavailable(OPERATION, "the object came in part only; nothing was read")


def _translated(exc: Any, source: ExcelSource) -> Exception:
    code = str(exc.response.get("Error", {}).get("Code", ""))
    facts: dict[str, Any] = {
        "status": exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode"),
        "request_id": exc.response.get("ResponseMetadata", {}).get("RequestId"),
        "code": code,
    }
    if code in _THROTTLED:
        return RateLimited(OPERATION, "S3 asks to slow down", retry_after_s=30.0, **facts)
    if code in _MISSING:
        return NotFound(OPERATION, f"there is no s3://{source.bucket}/{source.key} (yet)", **facts)
    if (facts["status"] or 500) >= 500:
        return Unavailable(OPERATION, "S3 is not well; nothing was read", **facts)
    return Refused(OPERATION, f"S3 refuses to give s3://{source.bucket}/{source.key} ({code})", **facts)
