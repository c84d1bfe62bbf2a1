"""
Microsoft Graph: drives, items by path or id, folders, simple uploads, the opening of upload sessions.

    GET    /v1.0/users/{user}/drive   /v1.0/drives/{drive}     either way leads to all that follows
    GET    …/root:/{path}   …/items/{id}   …/items/{id}:/{path}                a driveItem
    PUT    the same         {"name", "@microsoft.graph.sourceUrl": uploadUrl}  commit a session under a name
    PATCH  the same         {"name"} or {"fileSystemInfo"}     DELETE the same
    GET    …/children      POST …/children {"name", "folder": {}}
    GET    …/content       PUT …/content
    GET    …/versions      POST …/createUploadSession
"""

from __future__ import annotations

import dataclasses
import pickle  # the state this sandbox has written itself
import urllib.parse
from collections.abc import Callable
from typing import Any

from include.sandbox.core import Vendor
from include.sandbox.vendors.microsoft.address import Address, check_names, parse_address
from include.sandbox.vendors.microsoft.drive import Library
from include.sandbox.vendors.microsoft.errors import (
    Refusal,
    failed,
    invalid,
    name_exists,
    not_found,
    refusal_answer,
)
from include.sandbox.vendors.microsoft.model import DriveState, Item, Session, Target
from include.sandbox.vendors.microsoft.options import GraphOptions
from include.sandbox.vendors.microsoft.reading import number_in_query, optional_json, too_large, up_to
from include.sandbox.vendors.microsoft.resources import Resources, mime_type, time_text
from include.sandbox.wire import Handler, Request, Response, answer_json, route

AUDIENCES = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")
READ_ROLES = {"Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All"}
WRITE_ROLES = {"Files.ReadWrite.All", "Sites.ReadWrite.All"}
DEFAULT_USERS = {
    "reports@contoso.example": "normal",
    "archive@contoso.example": "normal",
    "nomysite@contoso.example": "no_mysite",
    "nolicence@contoso.example": "no_licence",
}
CONFLICT = "@microsoft.graph.conflictBehavior"
TIMES = ("createdDateTime", "lastModifiedDateTime")
SOURCE_URL = "@microsoft.graph.sourceUrl"

Action = Callable[["Graph", Request, Address], Response]


def on_item(method: str, facet: str | None, *, operation: str) -> Callable[[Action], Handler]:
    """Mark an action as reached by every way of addressing an item. It runs for callers who may do it."""

    def mark(action: Action) -> Handler:
        def handler(graph: Graph, request: Request) -> Response:
            return graph.guarded(request, lambda: action(graph, request, graph.address(request, facet)))

        marked: Handler = handler
        for base in ("/v1.0/users/{user}/drive", "/v1.0/drives/{drive}"):
            for place in ("/root:/{path:path}", "/items/{item}:/{path:path}"):
                marked = route(
                    method, f"{base}{place}:/{facet}" if facet else base + place, operation=operation
                )(marked)
            for place in ("/items/{item}", "/root"):
                marked = route(
                    method, f"{base}{place}/{facet}" if facet else base + place, operation=operation
                )(marked)
        return marked

    return mark


class Graph(Vendor):
    name = "graph"

    Options = GraphOptions
    options: GraphOptions

    def clear(self) -> None:
        library = getattr(self, "documents", None)
        if library is not None:
            for drive in library.state.drives.values():
                for item in drive.items.values():
                    library.drop_blob(item)
            for session in library.state.sessions.values():
                session.content.discard()
        self.documents = Library(self, self.sandbox.folder.absolute() / "drive")
        for user, state in DEFAULT_USERS.items():
            self.documents.add_user(user, state=state)

    def seed(self, data: dict[str, Any]) -> None:
        """
        ``{"users": [{"user": principal name, "state": "normal" | "no_mysite" | "no_licence",
        "quota_bytes": …}]}``; a user who exists is given the new state and quota, and keeps their files.
        """
        if unknown := set(data) - {"users"}:
            raise ValueError(f"graph takes users, not {sorted(unknown)}")
        for entry in data["users"]:
            drive_id = self.documents.state.users.get(entry["user"].lower())
            if drive_id is None:
                self.documents.add_user(
                    entry["user"], state=entry.get("state", "normal"), total=entry.get("quota_bytes")
                )
            else:
                drive = self.documents.state.drives[drive_id]
                drive.state = entry.get("state", drive.state)
                drive.total = entry.get("quota_bytes", drive.total)

    def snapshot(self) -> dict[str, Any]:
        open_sessions = self.documents.open_sessions()
        users = {}
        for drive in self.documents.state.drives.values():
            paths = sorted((drive.path_of(item), item) for item in drive.items.values() if item.parent)
            users[drive.user] = {
                "state": drive.state,
                "drive_id": drive.id,
                "used": drive.used,
                "folders": [path for path, item in paths if item.folder],
                "files": {
                    path: {
                        "item_id": item.id,
                        "size": item.size,
                        "sha256": item.versions[-1].sha256,
                        "quick_xor_hash": item.versions[-1].quick_xor_hash,
                        "versions": len(item.versions),
                    }
                    for path, item in paths
                    if not item.folder
                },
                "open_sessions": [s.path for s in open_sessions if s.drive == drive.id],
            }
        return {"users": users, "open_sessions": len(open_sessions)}

    def dump(self) -> bytes:
        with self.lock:
            kept = {
                guid: s
                for guid, s in self.documents.state.sessions.items()
                if s.finished or s.content.path is not None
            }
            return pickle.dumps(dataclasses.replace(self.documents.state, sessions=kept))

    def load(self, dumped: bytes) -> None:
        with self.lock:
            state: DriveState = pickle.loads(dumped)  # noqa: S301  # see the import
            self.documents.state = state
            kept = {item.blob for drive in state.drives.values() for item in drive.items.values()}
            kept |= {s.content.path for s in state.sessions.values()}
            for blob in (self.sandbox.folder.absolute() / "drive").glob("*"):
                if blob not in kept:
                    blob.unlink()

    def not_found(self, request: Request) -> Response:
        return self.guarded(request, lambda: self._no_route(request))

    def _no_route(self, request: Request) -> Response:
        if request.path.startswith("/v1.0/me"):
            raise Refusal(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        segment = request.path.rstrip("/").rpartition("/")[2]
        raise Refusal(400, "BadRequest", f"Resource not found for the segment '{segment}'.")

    def bad_body(self, request: Request, reason: str) -> Response:
        return self.refused(request, Refusal(400, "BadRequest", "Unable to read JSON request payload."))

    @property
    def resources(self) -> Resources:
        return Resources(self.documents, self.sandbox.url("upload"))

    def failure(self, request: Request, status: int) -> Response:
        return self.refused(request, failed(status))

    # What every call goes through

    def guarded(self, request: Request, action: Callable[[], Response]) -> Response:
        try:
            self._authorise(request)
            return action()
        except Refusal as refusal:
            return self.refused(request, refusal)

    def refused(self, request: Request, refusal: Refusal) -> Response:
        return refusal_answer(refusal, request, self.now(), inner_key=self.options.inner_error_key)

    def _authorise(self, request: Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        identity = self.sandbox.vendor("identity")
        claims, problem = (
            identity.claims(token)
            if scheme.lower() == "bearer" and token
            else (None, "Access token is empty.")
        )
        if claims is not None and claims["aud"] not in (*AUDIENCES, self.url):
            claims, problem = None, "Access token validation failure. Invalid audience."
        if claims is None:
            where = (
                f'Bearer realm="", authorization_uri="{identity.url}/common/oauth2/authorize", '
                f'client_id="{AUDIENCES[1]}"'
            )
            raise Refusal(401, "InvalidAuthenticationToken", problem, headers=[("WWW-Authenticate", where)])
        if not set(claims["roles"]) & (READ_ROLES if request.method == "GET" else WRITE_ROLES):
            raise Refusal(403, "accessDenied", "Either scp or roles claim need to be present in the token.")

    def address(self, request: Request, facet: str | None) -> Address:
        """:raises Refusal: where the route fits only because of an encoded colon or slash."""
        address = parse_address(
            request.raw_path, hash_and_percent_allowed=self.options.hash_and_percent_allowed
        )
        if address.facet != facet:
            raise Refusal(400, "BadRequest", f"Resource not found for the segment '{address.facet}'.")
        return address

    def check_match(self, request: Request, item: Item | None) -> None:
        """If-Match and If-None-Match, against eTag and cTag."""
        tags = {item.etag, item.ctag, "*"} if item else set()
        wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
        if (wanted and wanted not in tags) or (unwanted and unwanted in tags):
            raise Refusal(
                412,
                "resourceModified",
                "ETag does not match current item's value",
                inner=("entityTagDoesNotMatch",),
            )

    @staticmethod
    def conflict(value: str | None, default: str) -> str:
        if value is None:
            return default
        if value not in ("fail", "replace", "rename"):
            raise invalid("The conflict behavior is not supported.")
        return value

    # Drives

    @route("GET", "/v1.0/users/{user}/drive", operation="get_drive")
    @route("GET", "/v1.0/drives/{drive}", operation="get_drive")
    def get_drive(self, request: Request) -> Response:
        return self.guarded(request, lambda: self._get_drive(self.address(request, None)))

    def _get_drive(self, address: Address) -> Response:
        with self.lock:
            drive = self.documents.drive(address)
            used, total = drive.used, self.documents.quota(drive)
            return answer_json(
                200,
                {
                    "@odata.context": f"{self.url}/v1.0/$metadata#drives/$entity",
                    "id": drive.id,
                    "driveType": "business",
                    "name": "OneDrive",
                    "owner": {"user": {"id": drive.user_id, "displayName": drive.user, "email": drive.user}},
                    "quota": {
                        "total": total,
                        "used": used,
                        "remaining": max(total - used, 0),
                        "deleted": 0,
                        "state": "normal" if used < total else "exceeded",
                    },
                    "webUrl": self.resources.web_url(drive, drive.root),
                },
            )

    # Folders

    @on_item("GET", "children", operation="list_children")
    def list_children(self, request: Request, address: Address) -> Response:
        with self.lock:
            drive, folder = self.documents.look_up(address)
            children = [item for item in drive.children(folder) if item.hidden_gets == 0]
            size = number_in_query(request, "$top", self.options.children_page_size)
            start = number_in_query(request, "$skiptoken", 0)
            page: dict[str, Any] = {
                "value": [self.resources.drive_item(drive, item) for item in children[start : start + size]]
            }
            if start + size < len(children):
                query = urllib.parse.urlencode({"$top": size, "$skiptoken": start + size}, safe="$")
                page["@odata.nextLink"] = f"{self.url}{request.raw_path}?{query}"
            return answer_json(200, page)

    @on_item("POST", "children", operation="create_folder")
    def create_folder(self, request: Request, address: Address) -> Response:
        wanted = request.json()
        if not isinstance(wanted, dict) or "folder" not in wanted or not isinstance(wanted.get("name"), str):
            raise invalid("A folder needs a name and the folder facet.")
        name = wanted["name"]
        conflict = self.conflict(wanted.get(CONFLICT), "fail")
        at_root = address.item is None and not address.segments
        check_names((name,), from_root=at_root, folder=True)
        with self.lock:
            parent = self.documents.find(address)
            target = self.documents.find(dataclasses.replace(address, segments=(*address.segments, name)))
            drive = target.drive
            if target.item is not None:
                if conflict == "fail" or (conflict == "replace" and not target.item.folder):
                    raise name_exists()
                if conflict == "replace":
                    # Not documented for folders: the one that exists is taken.
                    return answer_json(200, self.resources.drive_item(drive, target.item))
                name = self.documents.free_name(drive, target.parent, name)
            self.documents.need_parents(
                dataclasses.replace(target, missing=(*parent.missing, name)),
                self.options.missing_parents_children,
            )
            place = target.parent
            for missing in parent.missing:
                place = self.documents.make_folder(drive, place, missing)
            folder = self.documents.make_folder(drive, place, name)
            return answer_json(201, self.resources.drive_item(drive, folder))

    # Content

    @on_item("PUT", "content", operation="put_content")
    def put_content(self, request: Request, address: Address) -> Response:
        conflict = self.conflict(request.arg(CONFLICT), "replace")
        limit = int(self.options.simple_limit_bytes)
        if (request.body.length or 0) > limit:
            raise too_large()
        with self.lock:
            self._check_put(request, self.documents.find(address), conflict)
        with self.documents.incoming() as content:
            content.take(up_to(request.body, limit))
            with self.lock:
                target = self.documents.find(address)
                self._check_put(request, target, conflict)
                item, new = self.documents.store(target, content, conflict)
                return answer_json(201 if new else 200, self.resources.drive_item(target.drive, item))

    def _check_put(self, request: Request, target: Target, conflict: str) -> None:
        self.check_match(request, target.item)
        self.documents.check_conflict(target, conflict)
        self.documents.check_lock(target.path)
        self.documents.need_parents(target, self.options.missing_parents_put)
        self.documents.need_room(target.drive, request.body.length or 0)

    @on_item("GET", "content", operation="get_content")
    def get_content(self, request: Request, address: Address) -> Response:
        with self.lock:
            drive, item = self.documents.look_up(address)
            if item.folder:
                raise not_found()
            if not self.options.direct_download:
                return Response(status=302, headers=[("Location", self.resources.download_url(drive, item))])
            return self.download(item)

    def download(self, item: Item) -> Response:
        """The bytes of a file, opened while it cannot be replaced."""
        if item.blob is None or not item.blob.exists():
            raise not_found()
        source = item.blob.open("rb")

        def pieces() -> Any:
            with source:
                while piece := source.read(1 << 20):
                    yield piece

        return Response(body=pieces(), length=item.size, headers=[("Content-Type", mime_type(item))])

    @on_item("GET", "versions", operation="list_versions")
    def list_versions(self, request: Request, address: Address) -> Response:
        with self.lock:
            _, item = self.documents.look_up(address)
            return answer_json(
                200,
                {
                    "value": [
                        {"id": f"{v.number}.0", "lastModifiedDateTime": time_text(v.modified), "size": v.size}
                        for v in reversed(item.versions)
                    ]
                },
            )

    # Sessions

    @on_item("POST", "createUploadSession", operation="create_session")
    def create_session(self, request: Request, address: Address) -> Response:
        body = optional_json(request)
        wanted = body.get("item") or {}
        size = wanted.get("fileSize", 0) if isinstance(wanted, dict) else None
        if not isinstance(size, int) or not isinstance(wanted.get("name", ""), str):
            raise invalid("The item is not valid.")
        with self.lock:
            target = self.documents.find(address)
            if target.item is not None and target.item.folder:
                raise invalid("Cannot create an upload session on a folder")
            # A file named by its id is there already: only replacing it makes sense.
            conflict = self.conflict(wanted.get(CONFLICT), "fail" if address.segments else "replace")
            name = address.segments[-1] if address.segments else target.item.name if target.item else ""
            if wanted.get("name", name).lower() != name.lower():
                raise invalid("The name in the body is not the name in the URL.")
            self.check_match(request, target.item)
            self.documents.check_lock(target.path)
            if self.options.conflict_at == "creation":
                self.documents.check_conflict(target, conflict)
            self.documents.need_parents(target, self.options.missing_parents_session)
            self.documents.need_room(target.drive, size)
            others = (s.path.lower() for s in self.documents.open_sessions(target.drive))
            if self.options.second_session == "conflict" and target.path.lower() in others:
                raise name_exists("An upload session already exists for this file")
            anchor = target.drive.items[address.item] if address.item else target.drive.root
            session = self.documents.open_session(
                target,
                anchor=anchor,
                segments=address.segments,
                conflict=conflict,
                defer=bool(body.get("deferCommit")),
            )
            return answer_json(
                200,
                {
                    "@odata.context": f"{self.url}/v1.0/$metadata#microsoft.graph.uploadSession",
                    "uploadUrl": self.resources.upload_url(target.drive, session),
                    "expirationDateTime": session.expires.isoformat(timespec="milliseconds")[:23] + "Z",
                    "nextExpectedRanges": session.ranges(),
                },
            )

    @on_item("PUT", None, operation="commit_session")
    def commit_session(self, request: Request, address: Address) -> Response:
        """Give the bytes of a session, whose own commit met a name conflict, another name."""
        wanted = optional_json(request)
        with self.lock:
            session = self._session_of(str(wanted.get(SOURCE_URL, "")))
            target = self.documents.find(address)
            conflict = self.conflict(wanted.get(CONFLICT), "fail")
            self.check_match(request, target.item)
            if session.drive != target.drive.id or not session.complete or session.finished:
                raise invalid("The upload session is not complete.")
            item, new = self.documents.commit(session, target=target, conflict=conflict)
            return answer_json(201 if new else 200, self.resources.drive_item(target.drive, item))

    def _session_of(self, upload_url: str) -> Session:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(upload_url).query)
        guid = query.get("guid", [""])[0].strip("'")
        self.documents.check_ticket(query.get("tempauth", [""])[0], guid)
        return self.documents.session(guid)

    # Items themselves

    @on_item("GET", None, operation="get_item")
    def get_item(self, request: Request, address: Address) -> Response:
        with self.lock:
            drive, item = self.documents.look_up(address)
            shown = self.resources.drive_item(drive, item)
            item.hashless_gets = max(item.hashless_gets - 1, 0)
            return answer_json(200, shown)

    @on_item("PATCH", None, operation="update_item")
    def update_item(self, request: Request, address: Address) -> Response:
        wanted = optional_json(request)
        with self.lock:
            drive, item = self.documents.look_up(address)
            self.check_match(request, item)
            self.documents.check_lock(drive.path_of(item))
            if (name := wanted.get("name")) and item.parent:
                check_names((name,), from_root=item.parent == drive.root.id, folder=item.folder)
                if drive.child(drive.items[item.parent], name) not in (None, item):
                    raise name_exists()
                drive.rename(item, name)
            times = wanted.get("fileSystemInfo") or {}
            item.client_times |= {k: str(times[k]) for k in TIMES if k in times}
            self.documents.new_metadata(item)
            return answer_json(200, self.resources.drive_item(drive, item))

    @on_item("DELETE", None, operation="delete_item")
    def delete_item(self, request: Request, address: Address) -> Response:
        with self.lock:
            drive, item = self.documents.look_up(address)
            self.check_match(request, item)
            self.documents.check_lock(drive.path_of(item))
            if item.parent is None:
                raise invalid("The root cannot be deleted.")
            self.documents.delete(drive, item)
            return Response(status=204)
