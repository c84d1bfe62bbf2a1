"""The inspector tells a whole export from everything else that can come instead, in pieces of any size."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.export_content import ExportFacts, ExportInspector, iter_rows
from interchange.core.zip_reader import ZipEntryReader
from interchange.errors import BadRecord, SettingsError

HEADERS = [
    ["StartDate", "ResponseId", "Q1", "Q2"],
    ["Start Date", "Response ID", "How are\nyou, <b>really</b>?", 'Say "why"'],
    [
        '{"ImportId":"startDate","timeZone":"Z"}',
        '{"ImportId":"_recordId"}',
        '{"ImportId":"QID1"}',
        '{"ImportId":"QID2"}',
    ],
]
CELLS = st.text(st.sampled_from('ab"",\n\r\tü€😀\\{}[]'), max_size=6)


def table(rows: list[list[str]], delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([*HEADERS, *rows])
    return text.getvalue().encode()


def response(number: int, **values: Any) -> dict[str, Any]:
    return {
        "responseId": f"R_{number}",
        "values": {"_recordId": f"R_{number}", "finished": 1, **values},
        "labels": {"QID1": "Yes"},
        "displayedFields": ["QID1", "QID2"],
        "displayedValues": {"QID1": [1, 2]},
    }


def packed(
    content: bytes,
    *,
    method: int = zipfile.ZIP_DEFLATED,
    streamed: bool = True,
    name: str = "x.csv",
    zip64: bool = False,
) -> bytes:
    """A ZIP as Qualtrics sends it: written to a stream, so its sizes follow the data."""

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return not streamed

        def seek(self, *args: Any) -> int:
            if streamed:
                raise OSError("a stream")
            return super().seek(*args)

        def tell(self) -> int:
            if streamed:
                raise OSError("a stream")
            return super().tell()

    target = Unseekable()
    with zipfile.ZipFile(target, "w", method) as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        with archive.open(info, "w", force_zip64=zip64) as entry:
            entry.write(content)
    return target.getvalue()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(borders)]


def inspect(export_format: str, data: bytes, cuts: list[int] | None = None) -> ExportFacts:
    inspector = ExportInspector(export_format)
    for piece in pieces(data, cuts or []):
        inspector.feed(memoryview(piece))
    return inspector.finish()


CUTS = st.lists(st.integers(0, 10_000), max_size=20)


@given(
    st.lists(st.lists(CELLS, min_size=4, max_size=4), max_size=8),
    CUTS,
    st.sampled_from([",", "\t"]),
    st.booleans(),
)
def test_tables_are_counted_and_read_whatever_is_in_the_cells(
    rows: list[list[str]], cuts: list[int], delimiter: str, zipped: bool
) -> None:
    content = table(rows, delimiter)
    data = packed(content) if zipped else content
    export_format = "csv" if delimiter == "," else "tsv"

    facts = inspect(export_format, data, cuts)
    assert facts == ExportFacts(rows=len(rows), size=len(data), content_size=len(content), zipped=zipped)
    assert list(iter_rows(pieces(data, cuts), export_format)) == [
        dict(zip(HEADERS[0], row, strict=True)) for row in rows
    ]


@given(
    st.lists(
        st.dictionaries(CELLS, st.one_of(CELLS, st.integers(), st.lists(CELLS)), max_size=3), max_size=6
    ),
    CUTS,
    st.booleans(),
)
def test_json_is_counted_and_read_whatever_is_in_the_strings(
    values: list[dict[str, Any]], cuts: list[int], zipped: bool
) -> None:
    responses = [response(number, **entry) for number, entry in enumerate(values)]
    whole = json.dumps({"responses": responses}, ensure_ascii=False).encode()
    lines = b"".join(json.dumps(entry).encode() + b"\n" for entry in responses)

    for export_format, content in (("json", whole), ("ndjson", lines)):
        if not content:
            continue
        data = packed(content) if zipped else content
        assert inspect(export_format, data, cuts).rows == len(responses)
        found = list(iter_rows(pieces(data, cuts), export_format))
        assert [row["ResponseId"] for row in found] == [f"R_{n}" for n in range(len(responses))]


def test_columns_of_a_json_response() -> None:
    data = json.dumps(
        {"responses": [response(1, QID1=2, QID2=["a", "b"], QID3=True, QID4=None, QID5=1.5, QID6={"x": 1})]}
    )

    (row,) = iter_rows([data.encode()], "json")

    assert row == {
        "_recordId": "R_1",
        "finished": "1",
        "QID1": "2",
        "QID2": "a,b",
        "QID3": "true",
        "QID4": "",
        "QID5": "1.5",
        "QID6": '{"x": 1}',
        "labels.QID1": "Yes",
        "ResponseId": "R_1",
    }


def test_no_responses_is_a_good_export() -> None:
    assert inspect("csv", table([])).rows == 0
    assert inspect("tsv", packed(table([], "\t"))).rows == 0
    assert inspect("json", b'{"responses":[]}').rows == 0
    assert inspect("ndjson", packed(b"")).rows == 0
    assert inspect("xml", b"<?xml version='1.0'?><Responses></Responses>").rows == 0
    assert list(iter_rows([table([])], "csv")) == []


def test_the_last_row_may_lack_its_line_end() -> None:
    assert inspect("csv", table([["a", "b", "c", "d"]]).rstrip()).rows == 1


@given(st.integers(0, 30), CUTS)
def test_xml_responses_are_counted_over_any_cut(count: int, cuts: list[int]) -> None:
    data = b"<Responses>" + b"<Response><Q1>&lt;/Response&gt;</Q1></Response>" * count + b"</Responses>\n"
    assert inspect("xml", data, cuts).rows == count


def test_formats_whose_responses_cannot_be_counted() -> None:
    assert inspect("spss", b"$FL2@(#) SPSS DATA FILE" + bytes(200)).rows is None
    assert inspect("xml", b"<other><row/></other>").rows is None
    assert inspect("csv", table([["a", "b", "c", "d"]]).decode().encode("utf-16")).rows is None


def test_a_table_in_utf_16_can_still_be_read() -> None:
    data = table([["2026", "R_1", "ä\nb", "d"]], "\t").decode().encode("utf-16")
    assert [row["Q1"] for row in iter_rows([data[:7], data[7:]], "tsv")] == ["ä\nb"]


HTML = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>"


@pytest.mark.parametrize("export_format", ["csv", "tsv", "json", "ndjson", "spss", "xml"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (HTML, "HTML page"),
        (b"\xef\xbb\xbf \r\n" + HTML.lower(), "HTML page"),
        (HTML + b" " * 2000, "HTML page"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">', "HTML page"),
        (b'{"meta":{"httpStatus":"500 - Internal Server Error","error":{}}}', "API answer"),
        (b'{ "result": {"status": "failed"}, "meta": {} }', "API answer"),
        (packed(HTML), "HTML page"),
        (b"PK\x05\x06" + bytes(18), "holds no file"),
    ],
)
def test_what_is_no_export_is_refused(export_format: str, data: bytes, reason: str) -> None:
    for cuts in ([], list(range(len(data)))[:40]):
        with pytest.raises(BadRecord, match=reason) as refused:
            inspect(export_format, data, cuts)
        assert refused.value.field == "export"


@pytest.mark.parametrize(
    ("export_format", "data", "reason"),
    [
        ("csv", table([["a", "b", "c", 'x"y']])[:-4], "cut off"),
        ("csv", b"a,b\r\nc,d\r\n", "2 rows"),
        ("csv", b"x", "1 rows"),
        ("json", b'{"responses":[{"values":{}}', "cut off"),
        ("json", b'{"responses":["', "cut off"),
        ("json", b'{"responses":[]}}', "brackets"),
        ("json", b'{"responses":[}]', "brackets"),
        ("json", b'{"responses":[]}{"responses":[]}', "not one object"),
        ("json", b"[1]", "does not begin"),
        ("json", b'{"a":' + b"[" * 300, "nested"),
        ("json", b"StartDate,EndDate", "does not begin like json"),
        ("json", b'{"error":{"code":"RC_1"}}', 'no "responses"'),
        ("json", b"{}", 'no "responses"'),
        ("ndjson", b'{"error":{"code":"RC_1"}}', 'no "values"'),
        ("spss", b"Service unavailable", "does not begin like an SPSS system file"),
        ("spss", b"", "is empty"),
        ("ndjson", b'{"a":1}\n{"a":', "cut off"),
        ("xml", b"<Responses><Response></Resp", "cut off"),
        ("xml", b"a,b,c", "does not begin like xml"),
    ],
)
def test_damaged_content_is_refused(export_format: str, data: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        inspect(export_format, data)


def test_what_was_ordered_packed_must_be_a_zip() -> None:
    """A gateway's words, or an API's, are none, whatever the format."""
    content = table([["a", "b", "c", "d"]])
    for data, reason in ((content, "a ZIP was ordered"), (b"Service unavailable", "a ZIP was ordered")):
        inspector = ExportInspector("csv", packed=True)
        inspector.feed(data)
        with pytest.raises(BadRecord, match=reason):
            inspector.finish()
    inspector = ExportInspector("csv", packed=True)
    inspector.feed(packed(content))
    assert inspector.finish().rows == 1


ZIPS = {
    "streamed": packed(table([["a", "b", "c", "d"]] * 20)),
    "with sizes in front": packed(table([["a", "b", "c", "d"]] * 20), streamed=False),
    "stored": packed(table([["a", "b", "c", "d"]] * 20), method=zipfile.ZIP_STORED, streamed=False),
    "zip64": packed(table([["a", "b", "c", "d"]] * 20), streamed=False, zip64=True),
    "zip64, streamed": packed(table([["a", "b", "c", "d"]] * 20), zip64=True),
    "a name that leaves the folder": packed(table([["a", "b", "c", "d"]] * 20), name="../ev:il?.csv"),
}


@pytest.mark.parametrize("data", ZIPS.values(), ids=ZIPS.keys())
def test_every_kind_of_zip_is_read_byte_by_byte(data: bytes) -> None:
    facts = inspect("csv", data, list(range(len(data))))
    assert facts == inspect("csv", data)
    assert (facts.rows, facts.zipped, facts.size) == (20, True, len(data))


@pytest.mark.parametrize("data", ZIPS.values(), ids=ZIPS.keys())
def test_a_zip_cut_off_anywhere_is_refused(data: bytes) -> None:
    for length in range(4, len(data)):
        with pytest.raises(BadRecord, match="damaged or cut off"):
            inspect("csv", data[:length])


@pytest.mark.parametrize("data", ZIPS.values(), ids=ZIPS.keys())
def test_a_flipped_bit_never_changes_the_content_unnoticed(data: bytes) -> None:
    good = table([["a", "b", "c", "d"]] * 20)
    draw = random.Random(5)
    for _ in range(400):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        reader = ZipEntryReader()
        try:
            content = b"".join(bytes(piece) for piece in reader.feed(bytes(damaged)))
            reader.finish()
        except BadRecord:
            continue
        # A bit of a name, a time or a version number: the file inside is still the same.
        assert content == good


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"PK\x01\x02"])
@pytest.mark.parametrize("field", [0, 4, 8], ids=["checksum", "packed size", "unpacked size"])
def test_header_and_directory_must_both_fit_the_content(start: bytes, field: int) -> None:
    data = bytearray(ZIPS["with sizes in front"])
    data[data.index(start) + (14 if start == b"PK\x03\x04" else 16) + field] ^= 1
    with pytest.raises(BadRecord, match="damaged"):
        inspect("csv", bytes(data))


def test_a_descriptor_without_signature_is_understood() -> None:
    data = ZIPS["streamed"]
    at = data.rindex(b"PK\x07\x08")
    assert inspect("csv", data[:at] + data[at + 4 :]).rows == 20


def test_more_than_one_file_in_a_zip_is_refused() -> None:
    for size in (10, 2_000_000):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("one.csv", table([]))
            archive.writestr("two.csv", random.Random(1).randbytes(size))
        with pytest.raises(BadRecord, match="more than one file"):
            inspect("csv", target.getvalue())


@pytest.mark.parametrize("tail", [b"x", b"\x00" * 50, b"PK\x05\x06" + bytes(18)])
def test_bytes_after_the_end_of_a_zip_are_refused(tail: bytes) -> None:
    with pytest.raises(BadRecord, match="damaged"):
        inspect("csv", ZIPS["streamed"] + tail)


def test_encryption_and_other_methods_are_refused() -> None:
    encrypted = bytearray(ZIPS["with sizes in front"])
    encrypted[6] |= 1
    with pytest.raises(BadRecord, match="encrypted"):
        inspect("csv", bytes(encrypted))
    with pytest.raises(BadRecord, match="compression method 14"):
        inspect("csv", packed(table([]), method=zipfile.ZIP_LZMA, streamed=False))


def test_a_zip_made_to_explode_is_unpacked_in_small_pieces() -> None:
    bomb = packed(b"\n" * 50_000_000)
    assert len(bomb) < 100_000

    reader = ZipEntryReader()
    largest = total = 0
    for piece in reader.feed(bomb):
        largest, total = max(largest, len(piece)), total + len(piece)
    reader.finish()

    assert total == 50_000_000
    assert largest <= 256 * 1024


def test_zipped_is_known_from_the_first_bytes_not_from_the_request() -> None:
    inspector = ExportInspector("csv")
    assert inspector.zipped is None
    inspector.feed(b"PK\x03")
    assert inspector.zipped is None
    inspector.feed(b"\x04")
    assert inspector.zipped is True


@pytest.mark.parametrize(
    ("export_format", "data", "reason"),
    [
        ("csv", table([["a", "b", "c"]]), "row 1 has 3 cells, the header 4"),
        ("csv", table([])[:20], "header row"),
        ("csv", b"", "no header row"),
        ("csv", table([]) + b'2026,"R_1"x,secret answer,d\r\n', "cannot be read"),
        ("csv", table([]) + b"2026,R_1,\xff\xfe,d\r\n", "cannot be read"),
        ("json", b'{"responses":[{"values":{}}', "cannot be read"),
        ("json", b'{"responses":[5]}', "no values"),
        ("ndjson", b'{"values":{}}\nsecret answer\n', "line 2 is not JSON"),
        ("csv", ZIPS["streamed"][:-30], "damaged"),
    ],
)
def test_unreadable_rows_are_reported_without_their_content(
    export_format: str, data: bytes, reason: str
) -> None:
    with pytest.raises(BadRecord, match=reason) as refused:
        list(iter_rows([data], export_format))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("export_format", ["spss", "xml", "excel"])
def test_rows_are_not_read_from_other_formats(export_format: str) -> None:
    with pytest.raises(SettingsError, match="use csv, tsv, json or ndjson"):
        iter_rows([b"x"], export_format)


def test_rows_are_read_as_the_bytes_come() -> None:
    """The first response is there long before the file ends."""
    taken = 0

    def endless() -> Any:
        nonlocal taken
        yield table([])
        while True:
            taken += 1
            yield b"2026,R_1,yes,no\r\n" * 100

    rows = iter_rows(endless(), "csv")
    for _ in range(1000):
        next(rows)
    assert taken < 1000
