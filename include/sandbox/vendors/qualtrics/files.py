"""The file of a finished export, before any compression."""

from __future__ import annotations

from include.sandbox.vendors.qualtrics import columns, formats
from include.sandbox.vendors.qualtrics.archive import Content, large_csv
from include.sandbox.vendors.qualtrics.data import Store
from include.sandbox.vendors.qualtrics.jobs import Job
from include.sandbox.wire import Request


def plain(job: Job, store: Store) -> Content:
    """The same bytes at each call, whatever was seeded since."""
    if job.mark is None or job.completed is None:
        raise ValueError(f"export {job.progress_id} has no file")
    if not job.survey.large_bytes:
        responses = store.select(job.query(job.mark))
        return Content.of(formats.render(job.survey, job.start, responses, job.completed))
    header = formats.table(job.survey, job.start, (), ",")
    row = ["1"] * (len(columns.columns_of(job.survey, job.start)) - 1)
    return large_csv(header, row, job.survey.large_bytes)


def gzip_is_offered(request: Request) -> bool:
    for item in request.headers.get("Accept-Encoding", "").split(","):
        coding, _, weight = item.replace(" ", "").lower().partition(";q=")
        if coding in ("gzip", "*") and (not weight or weight.strip("0.")):
            return True
    return False
