"""Upload sessions: opening, fragments, ranges, resuming, conflicts, the two times they live by, their end."""

from __future__ import annotations

import datetime as dt
import hashlib
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from include.sandbox.core import Sandbox
from tests.sandbox.onedrive import MICROSOFT, UNIT, OneDrive, inner_codes, problem, sample

CONTENT = sample(3 * UNIT + 1000)
CONFLICT = "@microsoft.graph.conflictBehavior"


def ranges(answer: requests.Response) -> list[str]:
    found: list[str] = answer.json()["nextExpectedRanges"]
    return found


def expires(answer: requests.Response) -> dt.datetime:
    return dt.datetime.fromisoformat(answer.json()["expirationDateTime"])


class TestOpening:
    def test_the_answer(self, onedrive: OneDrive) -> None:
        answer = onedrive.open("/f.csv")

        assert answer.status_code == 200
        assert ranges(answer) == ["0-"]
        assert answer.json()["expirationDateTime"].endswith("Z")
        left = expires(answer) - onedrive.sandbox.clock.now()
        assert dt.timedelta(minutes=14) < left <= dt.timedelta(minutes=15)
        url = answer.json()["uploadUrl"]
        assert urlsplit(url).netloc == urlsplit(onedrive.sandbox.url("upload")).netloc
        assert "tempauth=" in url
        assert [e["path"] for e in onedrive.effects("session_created")] == ["/f.csv"]

    def test_an_existing_file_fails_by_default(self, onedrive: OneDrive) -> None:
        item = onedrive.put("/f.csv", b"old").json()["id"]

        assert problem(onedrive.open("/F.csv")) == (409, "nameAlreadyExists")
        assert onedrive.open("/f.csv", item={CONFLICT: "replace"}).status_code == 200
        assert onedrive.open("/f.csv", item={CONFLICT: "rename"}).status_code == 200
        assert onedrive.call("POST", f"/items/{item}/createUploadSession").status_code == 200

    def test_the_name_in_the_body(self, onedrive: OneDrive) -> None:
        assert onedrive.open("/f.csv", item={"name": "f.csv"}).status_code == 200
        assert problem(onedrive.open("/f.csv", item={"name": "g.csv"})) == (400, "invalidRequest")

    @pytest.mark.parametrize("item", [{"name": 1}, {"fileSize": "big"}, ["name"]])
    def test_a_body_of_the_wrong_kind(self, onedrive: OneDrive, item: object) -> None:
        assert problem(onedrive.open("/f.csv", item=item)) == (400, "invalidRequest")

    def test_on_a_folder(self, onedrive: OneDrive) -> None:
        onedrive.folder("A")

        answer = onedrive.open("/A")

        assert problem(answer) == (400, "invalidRequest")
        assert answer.json()["error"]["message"] == "Cannot create an upload session on a folder"

    def test_a_size_beyond_the_quota(self, onedrive: OneDrive) -> None:
        onedrive.options(quota_bytes=1000)

        assert problem(onedrive.open("/f", item={"fileSize": 1001})) == (507, "quotaLimitReached")
        assert onedrive.open("/f", item={"fileSize": 1000}).status_code == 200
        assert len(onedrive.effects("session_created")) == 1

    @pytest.mark.parametrize(("mode", "status"), [("404", 404), ("409", 409), ("create", 200)])
    def test_missing_parents(self, onedrive: OneDrive, mode: str, status: int) -> None:
        onedrive.options(missing_parents_session=mode)

        assert onedrive.open("/A/B/f").status_code == status

    def test_parents_are_created_with_the_file(self, onedrive: OneDrive) -> None:
        onedrive.options(missing_parents_session="create")
        url = onedrive.session_url("/A/B/f")
        assert onedrive.effects("folder_created") == []

        onedrive.send_all(url, CONTENT)

        assert [e["path"] for e in onedrive.effects("folder_created")] == ["/A", "/A/B"]
        assert list(onedrive.files()) == ["/A/B/f"]

    def test_a_second_session(self, onedrive: OneDrive) -> None:
        onedrive.session_url("/f")
        assert onedrive.open("/f").status_code == 200

        onedrive.options(second_session="conflict")
        answer = onedrive.open("/F")

        assert problem(answer) == (409, "nameAlreadyExists")
        assert answer.json()["error"]["message"] == "An upload session already exists for this file"
        assert onedrive.open("/g").status_code == 200
        onedrive.sandbox.clock.advance(901)
        onedrive.token = onedrive.ask_token()
        assert onedrive.open("/f").status_code == 200


class TestFragments:
    def test_in_order(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f.csv")

        answers = [onedrive.fragment(url, CONTENT, start, 2 * UNIT) for start in (0, 2 * UNIT)]

        assert [answer.status_code for answer in answers] == [202, 201]
        assert ranges(answers[0]) == [f"{2 * UNIT}-"]
        item = answers[1].json()
        (stored,) = onedrive.effects("file_stored")
        assert item["size"] == stored["size"] == len(CONTENT)
        assert stored["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert item["file"]["hashes"]["quickXorHash"] == stored["quick_xor_hash"]
        assert onedrive.http.get(item["@microsoft.graph.downloadUrl"]).content == CONTENT
        assert onedrive.sandbox.vendor("graph").snapshot()["open_sessions"] == 0

    def test_a_replaced_file_keeps_its_id(self, onedrive: OneDrive) -> None:
        item = onedrive.put("/f", b"old").json()["id"]
        url = onedrive.session_url("/f", item={CONFLICT: "replace"})

        answer = onedrive.send_all(url, CONTENT)

        assert (answer.status_code, answer.json()["id"]) == (200, item)
        assert onedrive.files()["/f"]["versions"] == 2

    def test_renaming(self, onedrive: OneDrive) -> None:
        onedrive.put("/f.csv", b"old")

        answer = onedrive.send_all(onedrive.session_url("/f.csv", item={CONFLICT: "rename"}), CONTENT)

        assert (answer.status_code, answer.json()["name"]) == (201, "f 1.csv")

    def test_an_authorization_header_is_refused(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        bearer = {"Authorization": f"Bearer {onedrive.token}"}

        answer = onedrive.fragment(url, CONTENT, 0, UNIT, headers=bearer)

        assert problem(answer) == (401, "unauthenticated")
        assert ranges(onedrive.status(url)) == ["0-"]
        calls = onedrive.sandbox.requests.entries(vendor="upload")
        assert ["Authorization" in call["headers"] for call in calls] == [True, False]
        onedrive.host_options(refuse_authorization=False)
        assert onedrive.fragment(url, CONTENT, 0, UNIT, headers=bearer).status_code == 202

    def test_the_credential_of_another_session(self, onedrive: OneDrive) -> None:
        one, other = onedrive.session_url("/f"), onedrive.session_url("/g")
        mixed = one.partition("tempauth=")[0] + "tempauth=" + other.partition("tempauth=")[2]

        assert problem(onedrive.status(mixed)) == (401, "unauthenticated")
        assert problem(onedrive.status(one.partition("&tempauth=")[0])) == (401, "unauthenticated")

    @pytest.mark.parametrize("start", [0, UNIT, 2 * UNIT - 1])
    def test_bytes_that_are_there_already(self, onedrive: OneDrive, start: int) -> None:
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, 2 * UNIT)

        answer = onedrive.fragment(url, CONTENT, start, UNIT)

        assert problem(answer) == (416, "invalidRange")
        assert inner_codes(answer) == ["fragmentOverlap"]
        assert ranges(onedrive.status(url)) == [f"{2 * UNIT}-"]

    def test_a_gap(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")

        answer = onedrive.fragment(url, CONTENT, UNIT, UNIT)

        assert problem(answer) == (416, "invalidRange")
        assert inner_codes(answer) == ["fragmentOutOfOrder"]

    @pytest.mark.parametrize(("status", "code"), [(416, "invalidRange"), (400, "invalidRequest")])
    def test_another_total(self, onedrive: OneDrive, status: int, code: str) -> None:
        onedrive.host_options(length_mismatch_status=status)
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, UNIT)

        answer = onedrive.fragment(url, CONTENT, UNIT, UNIT, total=len(CONTENT) + 1)

        assert problem(answer) == (status, code)
        assert inner_codes(answer) == ["fragmentLengthMismatch"]

    @pytest.mark.parametrize(
        "span", ["", "bytes 0-9", "bytes */10", "bytes 0-8/10", "bytes 0-9/9", "bytes 9-0/10", "0-9/10"]
    )
    def test_a_range_that_makes_no_sense(self, onedrive: OneDrive, span: str) -> None:
        answer = onedrive.http.put(
            onedrive.session_url("/f"), data=b"x" * 10, headers={"Content-Range": span}
        )

        assert problem(answer) == (400, "invalidRequest")

    def test_a_fragment_without_a_length(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")

        answer = onedrive.http.put(url, data=iter([b"x" * 10]), headers={"Content-Range": "bytes 0-9/10"})

        assert answer.status_code == 411

    @pytest.mark.parametrize("status", [413, 400])
    def test_a_fragment_that_is_too_large(self, onedrive: OneDrive, status: int) -> None:
        onedrive.host_options(fragment_limit_bytes=2 * UNIT, oversized_status=status)
        url = onedrive.session_url("/f")

        assert onedrive.fragment(url, CONTENT, 0, 2 * UNIT).status_code == status
        assert onedrive.fragment(url, CONTENT, 0, UNIT).status_code == 202

    def test_sizes_that_are_no_multiple_fail_at_the_end(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")

        statuses = [onedrive.fragment(url, CONTENT, start, 500_000).status_code for start in (0, 500_000)]

        assert statuses == [202, 400]
        assert onedrive.files() == {}
        onedrive.host_options(misaligned_commit_status=0)
        assert onedrive.fragment(url, CONTENT, 500_000, 500_000).status_code == 201

    def test_the_quota_in_the_middle(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, UNIT)
        onedrive.options(quota_bytes=2 * UNIT - 1)

        assert problem(onedrive.fragment(url, CONTENT, UNIT, UNIT)) == (507, "quotaLimitReached")
        assert ranges(onedrive.status(url)) == [f"{UNIT}-"]

    def test_a_broken_fragment_is_dropped_whole(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, UNIT)
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=str(onedrive.sandbox.ca_bundle))
        with (
            socket.create_connection((str(parts.hostname), int(parts.port or 0))) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as line,
        ):
            head = (
                f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                f"Content-Length: {UNIT}\r\nContent-Range: bytes {UNIT}-{2 * UNIT - 1}/{len(CONTENT)}\r\n\r\n"
            )
            line.sendall(head.encode() + b"x" * 100_000)

        assert ranges(onedrive.status(url)) == [f"{UNIT}-"]
        for start in (UNIT, 2 * UNIT, 3 * UNIT):
            answer = onedrive.fragment(url, CONTENT, start, UNIT)
        assert answer.status_code == 201
        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    def test_two_at_once(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        statuses: list[int] = []

        def send() -> None:
            client = OneDrive(onedrive.sandbox)
            statuses.append(client.fragment(url, CONTENT, 0, 2 * UNIT).status_code)
            client.http.close()

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(statuses) == [202, 416, 416, 416]
        assert onedrive.fragment(url, CONTENT, 2 * UNIT, 2 * UNIT).status_code == 201
        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    def test_content_that_is_only_counted(self, onedrive: OneDrive) -> None:
        onedrive.options(store_content=False)

        onedrive.send_all(onedrive.session_url("/f"), CONTENT)

        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert not list((onedrive.sandbox.folder / "drive").glob("*"))


class TestTime:
    def test_fragments_move_the_end(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        ends = []
        for start in (0, UNIT, 2 * UNIT):
            onedrive.sandbox.clock.advance(800)
            ends.append(expires(onedrive.fragment(url, CONTENT, start, UNIT)))

        assert ends == sorted(set(ends))
        assert onedrive.fragment(url, CONTENT, 3 * UNIT, UNIT).status_code == 201

    def test_looking_does_not(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        onedrive.sandbox.clock.advance(800)
        assert onedrive.status(url).status_code == 200

        onedrive.sandbox.clock.advance(101)

        assert problem(onedrive.status(url)) == (404, "itemNotFound")
        assert problem(onedrive.fragment(url, CONTENT, 0, UNIT)) == (404, "itemNotFound")
        assert [e["path"] for e in onedrive.effects("session_expired")] == ["/f"]
        assert not list((onedrive.sandbox.folder / "drive").iterdir())

    def test_the_credential_ends_after_a_day(self, onedrive: OneDrive) -> None:
        onedrive.options(session_life_s=20 * 3600)
        url = onedrive.session_url("/f")
        onedrive.sandbox.clock.advance(19 * 3600)
        assert onedrive.fragment(url, CONTENT, 0, UNIT).status_code == 202
        onedrive.sandbox.clock.advance(5 * 3600)

        answer = onedrive.fragment(url, CONTENT, UNIT, UNIT)

        assert problem(answer) == (401, "unauthenticated")
        assert inner_codes(answer) == ["expiredToken"]
        assert answer.json()["error"]["message"].startswith("The access token has expired. It's valid from ")


class TestTheEnd:
    def test_cancel(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, UNIT)

        assert onedrive.http.delete(url).status_code == 204

        assert problem(onedrive.http.delete(url)) == (404, "itemNotFound")
        assert problem(onedrive.status(url)) == (404, "itemNotFound")
        assert problem(onedrive.fragment(url, CONTENT, UNIT, UNIT)) == (404, "itemNotFound")
        assert [e["path"] for e in onedrive.effects("session_deleted")] == ["/f"]
        assert not list((onedrive.sandbox.folder / "drive").iterdir())

    @pytest.mark.parametrize("status", [404, 410, 200])
    def test_a_finished_session(self, onedrive: OneDrive, status: int) -> None:
        onedrive.host_options(finished_status=status)
        url = onedrive.session_url("/f")
        onedrive.send_all(url, CONTENT)

        answer = onedrive.status(url)

        assert answer.status_code == status
        if status == 200:
            assert ranges(answer) == []
        assert onedrive.fragment(url, CONTENT, 0, UNIT).status_code in (status, 416)
        assert onedrive.http.delete(url).status_code in (status, 404)
        assert onedrive.files()["/f"]["versions"] == 1

    def test_deferred(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f", deferCommit=True)
        assert problem(onedrive.http.post(url)) == (400, "invalidRequest")

        last = onedrive.send_all(url, CONTENT)

        assert last.status_code == 202
        assert ranges(last) == []
        assert onedrive.files() == {}
        assert onedrive.http.post(url).status_code == 201
        assert onedrive.files()["/f"]["size"] == len(CONTENT)
        assert onedrive.http.post(url).status_code == 404

    def test_a_conflict_at_the_last_fragment_keeps_the_bytes(self, onedrive: OneDrive) -> None:
        onedrive.options(conflict_at="commit")
        onedrive.put("/f.csv", b"old")
        url = onedrive.session_url("/f.csv")

        last = onedrive.send_all(url, CONTENT)

        assert problem(last) == (409, "nameAlreadyExists")
        assert ranges(onedrive.status(url)) == []
        wanted = {"name": "f.csv", CONFLICT: "rename", "@microsoft.graph.sourceUrl": url}
        committed = onedrive.call("PUT", "/root:/f.csv", json=wanted)
        assert (committed.status_code, committed.json()["name"]) == (201, "f 1.csv")
        assert onedrive.files()["/f 1.csv"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert onedrive.status(url).status_code == 404

    def test_a_file_that_appears_during_the_upload(self, onedrive: OneDrive) -> None:
        url = onedrive.session_url("/f")
        onedrive.put("/f", b"quicker")

        assert problem(onedrive.send_all(url, CONTENT)) == (409, "nameAlreadyExists")
        onedrive.call("DELETE", "/root:/f")
        assert onedrive.http.post(url).status_code == 201

    def test_commit_by_source_url_wants_a_complete_session_and_its_credential(
        self, onedrive: OneDrive
    ) -> None:
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, UNIT)

        def commit(source: str) -> requests.Response:
            return onedrive.call("PUT", "/root:/g", json={"name": "g", "@microsoft.graph.sourceUrl": source})

        assert problem(commit(url)) == (400, "invalidRequest")
        assert problem(commit(url.partition("&tempauth=")[0])) == (401, "unauthenticated")
        assert onedrive.call("PUT", "/root:/g").status_code == 401

    def test_the_folder_has_gone(self, onedrive: OneDrive) -> None:
        folder = onedrive.folder("A").json()["id"]
        answer = onedrive.call("POST", f"/items/{folder}:/f:/createUploadSession")
        onedrive.call("DELETE", f"/items/{folder}")

        assert problem(onedrive.send_all(answer.json()["uploadUrl"], CONTENT)) == (404, "itemNotFound")


class TestBehaviourOfOneFragment:
    def test_the_session_is_lost(self, onedrive: OneDrive) -> None:
        onedrive.host_options(fragments={2: "session_lost"})
        url = onedrive.session_url("/f")
        onedrive.fragment(url, CONTENT, 0, UNIT)

        for _ in range(2):
            assert problem(onedrive.fragment(url, CONTENT, UNIT, UNIT)) == (404, "itemNotFound")
        assert onedrive.status(url).status_code == 404
        assert onedrive.send_all(onedrive.session_url("/f"), CONTENT).status_code == 201

    def test_half_of_it_kept(self, onedrive: OneDrive) -> None:
        onedrive.host_options(fragments={"1": "keeps_half", "2": "keeps_half"})
        url = onedrive.session_url("/f")

        assert ranges(onedrive.fragment(url, CONTENT, 0, 2 * UNIT)) == [f"{UNIT}-"]
        assert ranges(onedrive.fragment(url, CONTENT, UNIT, UNIT)) == [f"{UNIT}-"]
        for start in (UNIT, 2 * UNIT, 3 * UNIT):
            answer = onedrive.fragment(url, CONTENT, start, UNIT)
        assert answer.status_code == 201
        assert onedrive.files()["/f"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    def test_half_of_the_last_one_kept(self, onedrive: OneDrive) -> None:
        onedrive.host_options(fragments={"1": "keeps_half"})
        url = onedrive.session_url("/f")

        answer = onedrive.fragment(url, CONTENT, 0, len(CONTENT))

        assert (answer.status_code, ranges(answer)) == (202, [f"{UNIT}-"])
        assert onedrive.files() == {}

    def test_several_ranges(self, onedrive: OneDrive) -> None:
        onedrive.host_options(fragments={"1": "splits_ranges"})
        url = onedrive.session_url("/f")
        expected = [f"{UNIT}-{2 * UNIT - 1}", f"{2 * UNIT}-"]

        assert ranges(onedrive.fragment(url, CONTENT, 0, UNIT)) == expected
        assert ranges(onedrive.status(url)) == expected
        assert ranges(onedrive.fragment(url, CONTENT, UNIT, UNIT)) == [f"{2 * UNIT}-"]

    def test_a_behaviour_that_does_not_exist(self, onedrive: OneDrive) -> None:
        with pytest.raises(ValueError, match="cannot meet"):
            onedrive.host_options(fragments={"1": "explodes"})

    def test_counting_starts_again_at_a_reset(self, onedrive: OneDrive) -> None:
        onedrive.fragment(onedrive.session_url("/f"), CONTENT, 0, UNIT)
        onedrive.sandbox.reset()
        onedrive.host_options(fragments={"1": "session_lost"})
        onedrive.token = onedrive.ask_token()

        assert onedrive.fragment(onedrive.session_url("/f"), CONTENT, 0, UNIT).status_code == 404


def test_a_restart_in_the_middle_of_a_session(tmp_path: Path) -> None:
    ports = {}
    with Sandbox(MICROSOFT, folder=tmp_path) as first:
        client = OneDrive(first)
        client.send_all(client.session_url("/g"), CONTENT)
        client.put("/g", b"replaced")
        url = client.session_url("/f")
        client.fragment(url, CONTENT, 0, UNIT)
        ports = {name: int(urlsplit(first.url(name)).port or 0) for name in first.vendors}

    with Sandbox(MICROSOFT, folder=tmp_path, ports=ports) as second:
        client = OneDrive(second)
        assert ranges(client.status(url)) == [f"{UNIT}-"]
        assert len(list((tmp_path / "drive").iterdir())) == 2
        for start in (UNIT, 2 * UNIT, 3 * UNIT):
            answer = client.fragment(url, CONTENT, start, UNIT)

        assert answer.status_code == 201
        assert client.files()["/f"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert answer.json()["file"]["hashes"]["quickXorHash"] == client.files()["/f"]["quick_xor_hash"]
