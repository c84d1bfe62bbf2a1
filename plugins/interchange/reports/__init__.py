"""Where a ticket report comes from: rows of a Google Sheet, or of an Excel workbook in S3."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interchange.core.report import ReportRow
    from interchange.settings.ticket_closure import ExcelSource, SheetSource


@contextmanager
def open_report(source: SheetSource | ExcelSource) -> Iterator[Iterator[ReportRow]]:
    """
    A report's rows, from the first to the last.

    :raises Unavailable: try again later. :raises Refused: a person must act on rights or address.
    :raises SettingsError: the connection or the settings are wrong, or it is no workbook.
    """
    if source.kind == "sheet":
        from interchange.reports.sheet import sheet_rows

        yield sheet_rows(source)
        return
    from interchange.reports.workbook import workbook_rows

    with (
        tempfile.TemporaryDirectory(prefix="interchange-report-") as folder,
        workbook_rows(source, Path(folder)) as rows,
    ):
        yield rows
