"""Drives, addresses, folders, simple uploads and items at Graph."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from include.sandbox.core import Sandbox
from tests.sandbox.onedrive import MICROSOFT, USER, OneDrive, inner_codes, problem, sample


class TestDrive:
    def test_of_a_user_and_by_its_id(self, onedrive: OneDrive) -> None:
        onedrive.put("/f.csv", b"12345")

        drive = onedrive.call("GET", "").json()

        assert drive["driveType"] == "business"
        assert drive["owner"]["user"]["email"] == USER
        assert drive["quota"] == {
            "total": 1 << 40, "used": 5, "remaining": (1 << 40) - 5, "deleted": 0, "state": "normal",
        }  # fmt: skip
        graph = onedrive.sandbox.url("graph")
        headers = {"Authorization": f"Bearer {onedrive.token}"}
        assert (
            onedrive.http.get(f"{graph}/v1.0/drives/{drive['id']}", headers=headers).json()["id"]
            == drive["id"]
        )
        by_id = f"{graph}/v1.0/drives/{drive['id']}/root:/F.CSV"
        assert onedrive.http.get(by_id, headers=headers).json()["size"] == 5
        by_user_id = f"{graph}/v1.0/users/{drive['owner']['user']['id']}/drive/root:/f.csv"
        assert onedrive.http.get(by_user_id, headers=headers).json()["size"] == 5

    @pytest.mark.parametrize("path", ["", "/root:/f.csv", "/root/children"])
    @pytest.mark.parametrize(
        ("user", "expected", "message"),
        [
            ("nomysite@contoso.example", (404, "ResourceNotFound"), "User's mysite not found."),
            ("nolicence@contoso.example", (400, "BadRequest"), "Tenant does not have a SPO license."),
            ("nobody@contoso.example", (404, "Request_ResourceNotFound"), None),
        ],
    )
    def test_users_without_one(
        self, onedrive: OneDrive, path: str, user: str, expected: tuple[int, str], message: str | None
    ) -> None:
        answer = onedrive.call("GET", path, user=user)

        assert problem(answer) == expected
        assert message in (None, answer.json()["error"]["message"])

    def test_the_other_code_for_unknown_users(self, onedrive: OneDrive) -> None:
        onedrive.options(unknown_user_code="itemNotFound")

        assert problem(onedrive.call("GET", "", user="nobody")) == (404, "itemNotFound")

    def test_me_is_not_for_applications(self, onedrive: OneDrive) -> None:
        url = f"{onedrive.sandbox.url('graph')}/v1.0/me/drive"

        answer = onedrive.http.get(url, headers={"Authorization": f"Bearer {onedrive.token}"})

        assert problem(answer) == (400, "BadRequest")

    def test_a_seeded_user(self, onedrive: OneDrive) -> None:
        graph = onedrive.sandbox.vendor("graph")
        graph.seed(
            {
                "users": [
                    {"user": "new@contoso.example", "quota_bytes": 10},
                    {"user": USER, "state": "no_mysite"},
                ]
            }
        )

        assert onedrive.call("GET", "", user="new@contoso.example").json()["quota"]["total"] == 10
        assert onedrive.call("GET", "").status_code == 404

    def test_errors_carry_the_request_ids(self, onedrive: OneDrive) -> None:
        answer = onedrive.call("GET", "/root:/missing", headers={"client-request-id": "mine"})

        inner = answer.json()["error"]["innerError"]
        assert inner["client-request-id"] == "mine"
        assert inner["request-id"] == answer.headers["request-id"]

    def test_the_older_spelling_of_inner_errors(self, onedrive: OneDrive) -> None:
        onedrive.options(inner_error_key="innererror")

        assert "innererror" in onedrive.item("/missing").json()["error"]


class TestAddresses:
    @pytest.mark.parametrize(
        "path", ["/A b/f #1.csv", "/100%/50% off.csv", "/Ünï/çødé.csv", "/a+b/c+d.csv", "/x/f.1.csv"]
    )
    def test_each_segment_is_decoded_on_its_own(self, onedrive: OneDrive, path: str) -> None:
        assert onedrive.put(path, b"x").status_code == 201

        assert list(onedrive.files()) == [path]
        assert onedrive.item(path).json()["name"] == path.rpartition("/")[2]

    def test_letter_case_does_not_count(self, onedrive: OneDrive) -> None:
        onedrive.put("/Exports/Données.csv", b"1")

        assert onedrive.put("/EXPORTS/DONNÉES.CSV", b"22").status_code == 200

        assert [(path, file["size"]) for path, file in onedrive.files().items()] == [
            ("/Exports/Données.csv", 2)
        ]

    def test_by_parent_id_and_by_item_id(self, onedrive: OneDrive) -> None:
        folder = onedrive.folder("Exports").json()["id"]

        item = onedrive.call("PUT", f"/items/{folder}:/f.csv:/content", data=b"1").json()["id"]

        assert onedrive.call("PUT", f"/items/{item}/content", data=b"22").status_code == 200
        assert onedrive.call("GET", f"/items/{item}").json()["size"] == 2
        assert onedrive.call("GET", f"/items/{folder}:/F.csv").json()["id"] == item
        assert onedrive.call("GET", "/items/root").json()["name"] == "root"
        assert onedrive.call("GET", "/root").json()["folder"] == {"childCount": 1}

    @pytest.mark.parametrize("name", ["children", "content", "root"])
    def test_names_that_look_like_facets(self, onedrive: OneDrive, name: str) -> None:
        onedrive.put(f"/A/{name}", b"x")

        assert onedrive.item(f"/A/{name}").json()["size"] == 1

    @pytest.mark.parametrize(
        "encoded",
        [
            *(f"A/{quote(c, safe='')}x" for c in '"*:<>?\\|'),
            "A%2FB/x", "A//x", "A/%20x", "A/x%20", "A./x", "CON/x", "A/com1.txt", "A/.lock", "A/Desktop.ini",
            "A/_vti_x", "~A/x", "~$x", "forms/x", "A/..", "A/%FF", "A/" + "n" * 256,
        ],
    )  # fmt: skip
    def test_names_that_are_not_allowed(self, onedrive: OneDrive, encoded: str) -> None:
        for method, facet in (("PUT", ":/content"), ("POST", ":/createUploadSession"), ("GET", "")):
            # As bytes on the wire: requests would tidy up dots and stray percent signs.
            url = f"{onedrive.sandbox.url('graph')}/v1.0/users/{USER}/drive/root:/{encoded}{facet}"
            request = requests.Request(
                method, url, headers={"Authorization": f"Bearer {onedrive.token}"}
            ).prepare()
            request.url = url
            answer = onedrive.http.send(request, timeout=20)

            assert problem(answer) == (400, "invalidRequest")
            assert inner_codes(answer) == ["invalidPath"]
        assert onedrive.files() == {}

    def test_forms_is_reserved_at_the_root_only(self, onedrive: OneDrive) -> None:
        assert onedrive.put("/A/Forms", b"x").status_code == 201
        assert onedrive.folder("Forms").status_code == 400

    def test_the_length_of_the_whole_path(self, onedrive: OneDrive) -> None:
        folder = "a" * 199 + "/" + "b" * 196

        assert onedrive.put(f"/{folder}/cdd", b"x").status_code == 201
        answer = onedrive.put(f"/{folder}/cddd", b"x")

        assert problem(answer) == (400, "invalidRequest")
        assert inner_codes(answer) == ["pathIsTooLong"]

    def test_older_tenants_forbid_hash_and_percent(self, onedrive: OneDrive) -> None:
        onedrive.options(hash_and_percent_allowed=False)

        assert [onedrive.put(f"/{name}", b"x").status_code for name in ("a#b", "a%b", "ab")] == [
            400,
            400,
            201,
        ]

    def test_a_path_through_a_file(self, onedrive: OneDrive) -> None:
        onedrive.put("/f.csv", b"x")

        assert problem(onedrive.put("/f.csv/g.csv", b"x")) == (400, "invalidRequest")

    def test_an_unknown_id(self, onedrive: OneDrive) -> None:
        assert problem(onedrive.call("GET", "/items/01ABC")) == (404, "itemNotFound")
        assert problem(onedrive.call("PUT", "/items/01ABC:/f:/content", data=b"x")) == (404, "itemNotFound")

    def test_an_unknown_facet(self, onedrive: OneDrive) -> None:
        assert problem(onedrive.call("GET", "/root:/A:/thumbnails")) == (400, "BadRequest")
        assert problem(onedrive.call("POST", "/root:/A:/invite", data=b"x")) == (400, "BadRequest")


class TestFolders:
    def create(
        self, onedrive: OneDrive, name: str, conflict: str | None = None, at: str = "/root"
    ) -> requests.Response:
        body = {"name": name, "folder": {}}
        if conflict:
            body["@microsoft.graph.conflictBehavior"] = conflict
        return onedrive.call("POST", f"{at}/children", json=body)

    def test_the_conflict_behaviours(self, onedrive: OneDrive) -> None:
        first = self.create(onedrive, "Exports")
        assert first.status_code == 201

        assert problem(self.create(onedrive, "EXPORTS")) == (409, "nameAlreadyExists")
        assert problem(self.create(onedrive, "Exports", "fail")) == (409, "nameAlreadyExists")
        renamed = self.create(onedrive, "Exports", "rename")
        assert (renamed.status_code, renamed.json()["name"]) == (201, "Exports 1")
        assert self.create(onedrive, "Exports", "replace").json()["id"] == first.json()["id"]
        assert problem(self.create(onedrive, "Exports", "merge")) == (400, "invalidRequest")

        assert [effect["path"] for effect in onedrive.effects("folder_created")] == ["/Exports", "/Exports 1"]

    def test_missing_parents(self, onedrive: OneDrive) -> None:
        for mode, expected in (("404", 404), ("409", 409), ("create", 201)):
            onedrive.options(missing_parents_children=mode)
            assert self.create(onedrive, "C", at="/root:/A/B:").status_code == expected

        assert [e["path"] for e in onedrive.effects("folder_created")] == ["/A", "/A/B", "/A/B/C"]

    def test_the_name_of_a_file(self, onedrive: OneDrive) -> None:
        onedrive.put("/f", b"x")

        assert self.create(onedrive, "f", "replace").status_code == 409

    @pytest.mark.parametrize("body", [{"name": "A"}, {"folder": {}}, []])
    def test_a_body_that_is_no_folder(self, onedrive: OneDrive, body: object) -> None:
        assert problem(onedrive.call("POST", "/root/children", json=body)) == (400, "invalidRequest")

    def test_a_body_that_is_no_json(self, onedrive: OneDrive) -> None:
        assert problem(onedrive.call("POST", "/root/children", data=b"{")) == (400, "BadRequest")

    def test_listing_in_pages(self, onedrive: OneDrive) -> None:
        onedrive.options(children_page_size=2)
        names = [f"f{number}.csv" for number in range(5)]
        for name in names:
            onedrive.put(f"/A b/{name}", b"x")

        pages = [onedrive.call("GET", "/root:/A%20b:/children").json()]
        while link := pages[-1].get("@odata.nextLink"):
            pages.append(
                onedrive.http.get(link, headers={"Authorization": f"Bearer {onedrive.token}"}).json()
            )

        assert [len(page["value"]) for page in pages] == [2, 2, 1]
        assert [item["name"] for page in pages for item in page["value"]] == names
        assert len(onedrive.call("GET", "/root:/A%20b:/children?$top=4").json()["value"]) == 4
        assert problem(onedrive.call("GET", "/root/children?$top=all")) == (400, "invalidRequest")


class TestSimpleUpload:
    def test_new_then_replaced(self, onedrive: OneDrive) -> None:
        first, second = sample(1000), sample(2000, seed=2)

        created = onedrive.put("/Exports/f.csv", first)
        replaced = onedrive.put("/Exports/f.csv", second)

        assert (created.status_code, replaced.status_code) == (201, 200)
        assert created.json()["id"] == replaced.json()["id"]
        assert created.json()["eTag"] != replaced.json()["eTag"]
        assert created.json()["cTag"] != replaced.json()["cTag"]
        assert replaced.json()["size"] == 2000
        assert replaced.json()["file"]["mimeType"] == "text/csv"
        stored = onedrive.effects("file_stored")
        assert [(e["path"], e["size"], e["version"], e["replaced"]) for e in stored] == [
            ("/Exports/f.csv", 1000, 1, False), ("/Exports/f.csv", 2000, 2, True),
        ]  # fmt: skip
        assert [e["sha256"] for e in stored] == [hashlib.sha256(data).hexdigest() for data in (first, second)]
        assert stored[1]["quick_xor_hash"] == replaced.json()["file"]["hashes"]["quickXorHash"]
        versions = onedrive.call("GET", "/root:/Exports/f.csv:/versions").json()["value"]
        assert [(v["id"], v["size"]) for v in versions] == [("2.0", 2000), ("1.0", 1000)]

    def test_an_empty_file(self, onedrive: OneDrive) -> None:
        answer = onedrive.put("/empty.csv", b"")

        assert (answer.status_code, answer.json()["size"]) == (201, 0)
        assert answer.json()["file"]["hashes"]["quickXorHash"] == "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
        onedrive.options(empty_file_hashed=False)
        assert onedrive.item("/empty.csv").json()["file"]["hashes"] == {}

    def test_conflict_behaviour_in_the_query(self, onedrive: OneDrive) -> None:
        def put(conflict: str) -> requests.Response:
            return onedrive.put("/f.tar.gz", b"x", params={"@microsoft.graph.conflictBehavior": conflict})

        assert put("fail").status_code == 201
        assert problem(put("fail")) == (409, "nameAlreadyExists")
        assert put("replace").status_code == 200
        renamed = put("rename")
        assert (renamed.status_code, renamed.json()["name"]) == (201, "f.tar 1.gz")
        assert put("rename").json()["name"] == "f.tar 2.gz"
        assert put("overwrite").status_code == 400

    def test_a_stream_without_a_length(self, onedrive: OneDrive) -> None:
        pieces = [sample(100_000, seed) for seed in range(5)]

        answer = onedrive.call("PUT", "/root:/f:/content", data=iter(pieces))

        assert answer.json()["size"] == 500_000
        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()

    def test_the_limit(self, onedrive: OneDrive) -> None:
        onedrive.options(simple_limit_bytes=1000)

        assert onedrive.put("/f", b"x" * 1000).status_code == 201
        assert onedrive.put("/f", b"x" * 1001).status_code == 413
        assert onedrive.call("PUT", "/root:/f:/content", data=iter([b"x" * 600] * 2)).status_code == 413
        assert onedrive.files()["/f"]["versions"] == 1

    @pytest.mark.parametrize(("mode", "status"), [("404", 404), ("409", 409), ("create", 201)])
    def test_missing_parents(self, onedrive: OneDrive, mode: str, status: int) -> None:
        onedrive.options(missing_parents_put=mode)

        assert onedrive.put("/A/B/f", b"x").status_code == status

        assert list(onedrive.files()) == (["/A/B/f"] if status == 201 else [])

    def test_the_quota(self, onedrive: OneDrive) -> None:
        onedrive.options(quota_bytes=1000)

        assert onedrive.put("/f", b"x" * 900).status_code == 201
        assert problem(onedrive.put("/g", b"x" * 101)) == (507, "quotaLimitReached")
        assert onedrive.put("/g", b"x" * 100).status_code == 201
        assert onedrive.call("GET", "").json()["quota"]["remaining"] == 0

    def test_in_place_of_a_folder(self, onedrive: OneDrive) -> None:
        onedrive.folder("A")

        assert problem(onedrive.put("/A", b"x")) == (409, "nameAlreadyExists")


class TestItems:
    @pytest.fixture
    def etag(self, onedrive: OneDrive) -> str:
        return str(onedrive.put("/A/f.csv", b"hello world").json()["eTag"])

    def test_content_comes_from_the_other_host(self, onedrive: OneDrive, etag: str) -> None:
        answer = onedrive.call("GET", "/root:/A/f.csv:/content", allow_redirects=False)

        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(onedrive.sandbox.url("upload"))
        assert onedrive.http.get(answer.headers["Location"]).content == b"hello world"

    def test_or_directly(self, onedrive: OneDrive, etag: str) -> None:
        onedrive.options(direct_download=True)

        assert (
            onedrive.call("GET", "/root:/A/f.csv:/content", allow_redirects=False).content == b"hello world"
        )

    def test_a_download_url_ends_and_takes_no_token(self, onedrive: OneDrive, etag: str) -> None:
        url = onedrive.item("/A/f.csv").json()["@microsoft.graph.downloadUrl"]

        assert (
            onedrive.http.get(url, headers={"Authorization": f"Bearer {onedrive.token}"}).status_code == 401
        )
        assert onedrive.http.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 401
        onedrive.sandbox.clock.advance(3601)
        answer = onedrive.http.get(url)
        assert problem(answer) == (401, "unauthenticated")
        assert inner_codes(answer) == ["expiredToken"]

    def test_if_match(self, onedrive: OneDrive, etag: str) -> None:
        assert onedrive.put("/A/f.csv", b"2", headers={"If-Match": etag}).status_code == 200

        for method, path in (
            ("PUT", ":/content"),
            ("POST", ":/createUploadSession"),
            ("PATCH", ""),
            ("DELETE", ""),
        ):
            answer = onedrive.call(method, f"/root:/A/f.csv{path}", headers={"If-Match": etag}, json={})
            assert problem(answer) == (412, "resourceModified")
            assert inner_codes(answer) == ["entityTagDoesNotMatch"]
        assert onedrive.put("/A/f.csv", b"3", headers={"If-None-Match": "*"}).status_code == 412
        assert onedrive.put("/A/new.csv", b"3", headers={"If-None-Match": "*"}).status_code == 201
        assert onedrive.put("/A/newer.csv", b"3", headers={"If-Match": "*"}).status_code == 412

    def test_delete(self, onedrive: OneDrive, etag: str) -> None:
        assert onedrive.call("DELETE", "/root:/A/f.csv").status_code == 204
        assert problem(onedrive.call("DELETE", "/root:/A/f.csv")) == (404, "itemNotFound")
        onedrive.put("/A/B/g.csv", b"x")

        assert onedrive.call("DELETE", "/root:/A").status_code == 204

        assert [e["path"] for e in onedrive.effects("item_deleted")] == [
            "/A/f.csv",
            "/A/B/g.csv",
            "/A/B",
            "/A",
        ]
        assert problem(onedrive.call("DELETE", "/root")) == (400, "invalidRequest")
        assert not list((onedrive.sandbox.folder / "drive").iterdir())

    def test_rename(self, onedrive: OneDrive, etag: str) -> None:
        onedrive.put("/A/g.csv", b"x")

        assert problem(onedrive.call("PATCH", "/root:/A/f.csv", json={"name": "G.csv"})) == (
            409,
            "nameAlreadyExists",
        )
        assert onedrive.call("PATCH", "/root:/A/f.csv", json={"name": "F.CSV"}).json()["name"] == "F.CSV"
        assert onedrive.call("PATCH", "/root:/A/f.csv", json={"name": "a:b"}).status_code == 400
        assert sorted(onedrive.files()) == ["/A/F.CSV", "/A/g.csv"]

    def test_a_change_of_times_makes_a_version(self, onedrive: OneDrive, etag: str) -> None:
        body = {"fileSystemInfo": {"lastModifiedDateTime": "2020-01-01T00:00:00Z"}}

        changed = onedrive.call("PATCH", "/root:/A/f.csv", json=body).json()

        assert changed["eTag"] != etag
        assert changed["fileSystemInfo"]["lastModifiedDateTime"] == "2020-01-01T00:00:00Z"
        assert onedrive.files()["/A/f.csv"]["versions"] == 2

    def test_a_locked_file(self, onedrive: OneDrive, etag: str) -> None:
        onedrive.options(locked_paths=["/a/F.csv"])

        assert problem(onedrive.put("/A/f.csv", b"x")) == (423, "resourceLocked")
        assert onedrive.call("DELETE", "/root:/A/f.csv").status_code == 423
        assert onedrive.call("PATCH", "/root:/A/f.csv", json={"name": "g"}).status_code == 423
        assert onedrive.open("/A/f.csv").status_code == 423
        assert onedrive.item("/A/f.csv").status_code == 200
        assert onedrive.put("/A/g.csv", b"x").status_code == 201


class TestWhatVerificationMeets:
    @pytest.mark.parametrize(("mode", "shown"), [("missing", None), ("empty", {})])
    def test_no_hash(self, onedrive: OneDrive, mode: str, shown: object) -> None:
        onedrive.options(hashes=mode)

        assert onedrive.put("/f", b"hello world").json()["file"].get("hashes") == shown
        assert onedrive.item("/f").json()["file"].get("hashes") == shown

    def test_a_wrong_hash(self, onedrive: OneDrive) -> None:
        onedrive.options(hashes="wrong")

        right = "aCgDG9jwBhDc4Q1yawMZAAAAAAA="
        assert onedrive.put("/f", b"hello world").json()["file"]["hashes"]["quickXorHash"] != right
        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(b"hello world").hexdigest()

    def test_wrong_bytes_for_one_upload(self, onedrive: OneDrive) -> None:
        onedrive.options(corrupt_uploads=[1], direct_download=True)

        right = "aCgDG9jwBhDc4Q1yawMZAAAAAAA="
        assert onedrive.put("/f", b"hello world").json()["file"]["hashes"]["quickXorHash"] != right
        assert onedrive.call("GET", "/root:/f:/content").content == b"\x97ello world"
        assert onedrive.put("/f", b"hello world").json()["file"]["hashes"]["quickXorHash"] == right

    def test_a_hash_that_comes_later(self, onedrive: OneDrive) -> None:
        onedrive.options(hashes_after_gets=2)

        shown = [onedrive.put("/f", b"x"), *(onedrive.item("/f") for _ in range(3))]

        assert ["hashes" in answer.json()["file"] for answer in shown] == [False, False, False, True]

    def test_a_file_that_appears_later(self, onedrive: OneDrive) -> None:
        onedrive.options(visible_after_gets=2)

        assert onedrive.put("/f", b"x").status_code == 201

        assert onedrive.call("GET", "/root/children").json()["value"] == []
        assert [onedrive.item("/f").status_code for _ in range(3)] == [404, 404, 200]
        assert len(onedrive.call("GET", "/root/children").json()["value"]) == 1
        assert onedrive.put("/f", b"y").status_code == 200
        assert onedrive.item("/f").status_code == 200

    def test_files_that_the_server_alters(self, onedrive: OneDrive) -> None:
        onedrive.options(altered_suffixes=[".docx"], direct_download=True)

        altered = onedrive.put("/f.DOCX", b"hello world").json()
        kept = onedrive.put("/f.csv", b"hello world").json()

        assert altered["size"] > kept["size"] == 11
        content = onedrive.call("GET", "/root:/f.docx:/content").content
        assert content.startswith(b"hello world")
        assert onedrive.files()["/f.DOCX"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert altered["file"]["hashes"] != kept["file"]["hashes"]

    def test_content_that_is_only_counted(self, onedrive: OneDrive) -> None:
        onedrive.options(store_content=False)
        data = sample(300_000)

        onedrive.put("/f", data)

        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(data).hexdigest()
        assert not list((onedrive.sandbox.folder / "drive").glob("*"))
        assert onedrive.call("GET", "/root:/f:/content", allow_redirects=True).status_code == 404


def test_a_restart_keeps_the_drives(tmp_path: Path) -> None:
    with Sandbox(MICROSOFT, folder=tmp_path) as first:
        client = OneDrive(first)
        client.put("/A/f.csv", b"hello world")
        token, tree = client.token, client.files()
        (tmp_path / "drive" / "orphan").write_bytes(b"left by a killed sandbox")

    with Sandbox(MICROSOFT, folder=tmp_path) as second:
        client = OneDrive(second)
        client.token = token

        assert client.files() == tree
        assert client.call("GET", "/root:/A/f.csv:/content").content == b"hello world"
        assert client.put("/A/f.csv", b"new").status_code == 200
        assert [e["version"] for e in client.effects("file_stored")] == [1, 2]
        assert not (tmp_path / "drive" / "orphan").exists()
