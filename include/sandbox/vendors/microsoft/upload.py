"""
The host that the URLs of upload sessions and of downloads lead to. The credential is part of the URL.

    PUT    uploadUrl    one fragment                    GET    uploadUrl    what is still missing
    POST   uploadUrl    commit, after deferCommit       DELETE uploadUrl    give the session up
    GET    /personal/{user}/_layouts/15/download.aspx   a file's bytes
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from include.sandbox.core import Vendor
from include.sandbox.vendors.microsoft.errors import Refusal, failed, invalid, not_found, refusal_answer
from include.sandbox.vendors.microsoft.graph import Graph
from include.sandbox.vendors.microsoft.model import Session
from include.sandbox.wire import Request, Response, answer_json, route

UNIT = 327_680
"""A fragment's size must be a multiple of this, except the last one's."""

SESSION_PATH = "/personal/{site}/_api/v2.0/drive/items/{item}/uploadSession"
BEHAVIOURS = ("session_lost", "keeps_half", "splits_ranges")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


class Upload(Vendor):
    name = "upload"

    @dataclasses.dataclass
    class Options(Vendor.Options):
        fragments: dict[str, str] = dataclasses.field(default_factory=dict)
        """What the n-th fragment (counted from 1 over all sessions, since the last clear) meets, beside the
        sandbox's general faults.

        ``session_lost``: 404, now and for good; ``keeps_half``: 202, but only the first half, in whole units
        of 320 KiB, is kept; ``splits_ranges``: 202 that names what is missing as two ranges, the first with a
        closed end. A fragment that is refused anyway meets none of this."""
        refuse_authorization: bool = True
        """401 for any call with an Authorization header. Enforced widely since 2024."""
        fragment_limit_bytes: int = 60 * 1024 * 1024
        """A fragment must be smaller."""
        oversized_status: int = 413
        """Not certain; 400 is the other candidate."""
        length_mismatch_status: int = 416
        """For a total that differs from the first fragment's; or 400."""
        misaligned_commit_status: int = 400
        """The commit of a file whose fragments were no multiples of 320 KiB fails with it; 0: it works."""
        finished_status: int = 404
        """What status, fragment and cancel of a finished session get. Not certain; 200 lists no ranges."""

    options: Options

    def clear(self) -> None:
        self._fragments = 0

    def snapshot(self) -> dict[str, Any]:
        with self.graph.lock:
            return {"fragments": self._fragments, "open_sessions": len(self.graph.documents.open_sessions())}

    def set_options(self, values: dict[str, Any]) -> None:
        chosen = {str(number): what for number, what in (values.get("fragments") or {}).items()}
        if wrong := [what for what in chosen.values() if what not in BEHAVIOURS]:
            raise ValueError(f"fragments cannot meet {wrong}")
        super().set_options({**values, "fragments": chosen} if "fragments" in values else values)

    @property
    def graph(self) -> Graph:
        graph: Graph = self.sandbox.vendor("graph")
        return graph

    def bad_body(self, request: Request, reason: str) -> Response:
        return self._refused(request, invalid(reason))

    def failure(self, request: Request, status: int) -> Response:
        return self._refused(request, failed(status))

    # What every call goes through

    def _guarded(self, request: Request, action: Callable[[Request, Session], Response]) -> Response:
        try:
            with self.graph.lock:
                session = self._session(request)
            return action(request, session)
        except Refusal as refusal:
            return self._refused(request, refusal)

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        return refusal_answer(refusal, request, self.now(), inner_key=self.graph.options.inner_error_key)

    def _check_credential(self, request: Request, subject: str) -> None:
        if self.options.refuse_authorization and "Authorization" in request.headers:
            raise Refusal(401, "unauthenticated", "The caller is not authenticated.")
        self.graph.documents.check_ticket(request.arg("tempauth") or "", subject)

    def _session(self, request: Request) -> Session:
        guid = (request.arg("guid") or "").strip("'")
        self._check_credential(request, guid)
        return self.graph.documents.session(guid)

    def _open(self, session: Session) -> None:
        """:raises Refusal: for a session that is finished, or ended while its caller waited for its turn."""
        self.graph.documents.session(session.guid)
        if session.finished is not None and self.options.finished_status != 200:
            raise failed(self.options.finished_status)

    # The session's calls

    @route("PUT", SESSION_PATH, operation="fragment")
    def fragment(self, request: Request) -> Response:
        with self.lock:
            self._fragments += 1
            behaviour = self.options.fragments.get(str(self._fragments), "")
        return self._guarded(request, lambda request, session: self._fragment(request, session, behaviour))

    def _fragment(self, request: Request, session: Session, behaviour: str) -> Response:
        library = self.graph.documents
        with session.content.turn:
            with self.graph.lock:
                self._open(session)
                start, size, total = self._range(request, session)
                library.check_lock(session.path)
                library.need_room(library.state.drives[session.drive], start + size)
                if behaviour == "session_lost":
                    library.drop_session(session, "session_lost")
                    raise not_found()
            keep = size // 2 // UNIT * UNIT if behaviour == "keeps_half" else size
            last = start + size == total and keep == size
            misaligned = session.misaligned or (keep % UNIT != 0 and not last)
            if last and misaligned and self.options.misaligned_commit_status:
                raise failed(self.options.misaligned_commit_status)
            session.content.take(request.body, keep=keep)
            with self.graph.lock:
                library.session(session.guid)
                session.total, session.misaligned = total, misaligned
                library.touch(session)
                middle = (session.content.size + total) // 2 // UNIT * UNIT
                session.split = (
                    middle - 1 if behaviour == "splits_ranges" and session.content.size < middle else None
                )
                return self._commit(session) if last and not session.defer else self._status(session, 202)

    def _range(self, request: Request, session: Session) -> tuple[int, int, int]:
        """:return: the fragment's start and size, and the file's size."""
        found = _RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if found is None:
            raise invalid("The Content-Range header is missing or not valid.")
        first, last, total = (int(part) for part in found.groups())
        size = last - first + 1
        if request.body.length is None:
            raise Refusal(411, "invalidRequest", "The Content-Length header is required.")
        if size < 1 or last >= total or request.body.length != size:
            raise invalid("The Content-Range and the Content-Length do not agree.")
        if size >= self.options.fragment_limit_bytes:
            raise failed(self.options.oversized_status)
        if session.total not in (None, total):
            status = self.options.length_mismatch_status
            code = "invalidRange" if status == 416 else "invalidRequest"
            raise Refusal(status, code, "The total size has changed.", inner=("fragmentLengthMismatch",))
        if first < session.content.size:
            raise Refusal(416, "invalidRange", "The uploaded fragment overlaps.", inner=("fragmentOverlap",))
        if first > session.content.size:
            raise Refusal(
                416, "invalidRange", "The uploaded fragment is out of order.", inner=("fragmentOutOfOrder",)
            )
        return first, size, total

    def _status(self, session: Session, status: int) -> Response:
        ranges = [] if session.finished else session.ranges()
        ends = session.expires.strftime("%Y-%m-%dT%H:%M:%SZ")
        return answer_json(status, {"expirationDateTime": ends, "nextExpectedRanges": ranges})

    def _commit(self, session: Session) -> Response:
        item, new = self.graph.documents.commit(session)
        drive = self.graph.documents.state.drives[session.drive]
        return answer_json(201 if new else 200, self.graph.resources.drive_item(drive, item))

    @route("GET", SESSION_PATH, operation="session_status")
    def session_status(self, request: Request) -> Response:
        def act(request: Request, session: Session) -> Response:
            with self.graph.lock:
                self._open(session)
                return self._status(session, 200)

        return self._guarded(request, act)

    @route("POST", SESSION_PATH, operation="commit")
    def commit(self, request: Request) -> Response:
        def act(request: Request, session: Session) -> Response:
            with session.content.turn, self.graph.lock:
                self._open(session)
                if session.finished or not session.complete:
                    raise invalid("The upload session is not complete.")
                return self._commit(session)

        return self._guarded(request, act)

    @route("DELETE", SESSION_PATH, operation="cancel")
    def cancel(self, request: Request) -> Response:
        def act(request: Request, session: Session) -> Response:
            with self.graph.lock:
                self._open(session)
                if session.finished:
                    raise not_found()
                self.graph.documents.drop_session(session, "session_deleted")
            return Response(status=204)

        return self._guarded(request, act)

    # Downloads

    @route("GET", "/personal/{site}/_layouts/15/download.aspx", operation="download")
    def download(self, request: Request) -> Response:
        item_id = request.arg("UniqueId") or ""
        try:
            with self.graph.lock:
                self._check_credential(request, item_id)
                for drive in self.graph.documents.state.drives.values():
                    if item_id in drive.items:
                        return self.graph.download(drive.items[item_id])
                raise not_found()
        except Refusal as refusal:
            return self._refused(request, refusal)
