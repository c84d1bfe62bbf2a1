"""The message for the bus: every value escaped, ASCII, and allowed by the schema."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from interchange.core.esb_message import NAMES, SCHEMA, TEMPLATE, build_message, load_template
from interchange.core.xml_text import illegal_characters, without_illegal
from interchange.errors import BadRecord, SettingsError
from interchange.settings.files import templates_dir

VALUES = {
    "emi_id": "EMI-1",
    "timestamp": "2026-11-22T13:15:00.123456+00:00",
    "record_id": "6552f0a1c3d2b4001234abcd",
    "csr_activity_id": "",
    "sr_number": "26-00012345",
    "status_code": "closed_resolved",
    "code": "CLOIS001",
    "details": "Replaced lamp",
    "activity_date": "2026-11-22T07:10:00-06:00",
}
ELEMENTS = {
    "emi": "emi_id", "timestamp": "timestamp", "id": "record_id", "csr_activity_id": "csr_activity_id",
    "sr_number": "sr_number", "issue_status_code": "status_code", "activity_type_code": "code",
    "activity_details": "details", "activity_date": "activity_date",
}  # fmt: skip
XML_TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from("\t\n\r &<>\"'é李\u2028😀]"),
        st.characters(exclude_categories=["Cs"], min_codepoint=0x20, exclude_characters="\ufffe\uffff"),
    )
)


def message(**changes: str) -> bytes:
    return build_message(VALUES | changes, load_template(templates_dir()))


def test_what_the_bus_has_always_got() -> None:
    root = etree.fromstring(message())
    soap, service = "{http://schemas.xmlsoap.org/soap/envelope/}", "{http://www.austintexas.gov/AcceptKnack/}"
    assert [element.tag for element in root.iter()] == [
        f"{soap}Envelope", f"{soap}Header", f"{soap}Body", f"{service}submitKnack",
        "header", "emi", "timestamp", "source", "target", "data_type", "event",
        "data", "csr", "id", "csr_activity_id", "sr_number", "issue_status_code", "activity_type_code",
        "activity_details", "outcome_code", "activity_date",
    ]  # fmt: skip
    constants = {
        name: root.findtext(f".//{name}")
        for name in ("source", "target", "data_type", "event", "outcome_code")
    }
    assert list(constants.values()) == ["KNACK", "CSR", "CSR", "UPDATE", "COMPLET1"]
    for element, name in ELEMENTS.items():
        assert (root.findtext(f".//{element}") or "") == VALUES[name]


@given(details=XML_TEXT, others=st.lists(XML_TEXT.filter(str.strip), min_size=4, max_size=4))
def test_any_text_that_xml_can_hold_comes_back_equal(details: str, others: list[str]) -> None:
    """Defects A2 and A3: only the details were escaped, and the rest went as UTF-8 under a type that means ASCII."""
    fields = dict(zip(("emi_id", "sr_number", "status_code", "code"), others, strict=True))
    made = message(details=details, **fields)
    assert made.isascii()
    root = etree.fromstring(made)
    assert (root.findtext(".//activity_details") or "") == details
    assert root.findtext(".//emi") == fields["emi_id"]
    assert root.findtext(".//activity_type_code") == fields["code"]


@pytest.mark.parametrize("details", ["a < b & c", "&amp;", "&lt;", '"quoted"', "]]>"])
def test_nothing_is_escaped_twice_or_not_at_all(details: str) -> None:
    """Defect A1: `&` was escaped last, so 311 showed the entities themselves."""
    assert etree.fromstring(message(details=details)).findtext(".//activity_details") == details


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"timestamp", "activity_date"}))
@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1f", "\ufffe", "\ud800"])
def test_what_xml_forbids_is_reported_in_every_element_and_never_dropped(name: str, character: str) -> None:
    """Defect A4: such characters went as they were, in what was no XML then."""
    with pytest.raises(BadRecord, match=f"U\\+{ord(character):04X}") as caught:
        message(**{name: f"secret words{character}"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "element"),
    [
        ({"emi_id": ""}, "emi"),
        ({"record_id": " "}, "id"),
        ({"sr_number": ""}, "sr_number"),
        ({"code": "\n"}, "activity_type_code"),
        ({"activity_date": "22.11.2026"}, "activity_date"),
        ({"activity_date": "2026-11-22T07:10:00"}, "activity_date"),
    ],
)
def test_what_the_schema_does_not_allow_names_the_element_not_the_value(
    change: dict[str, str], element: str
) -> None:
    with pytest.raises(BadRecord) as caught:
        message(**change)
    assert caught.value.field == element
    assert "22" not in caught.value.reason


def test_forbidden_characters_can_be_replaced() -> None:
    assert illegal_characters("a\x07b\x07\x0bc") == ["U+0007", "U+000B"]
    assert without_illegal("a\x07b", "\ufffd") == "a\ufffdb"
    assert illegal_characters("\t\n\r é😀") == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (TEMPLATE, SCHEMA):
        shutil.copyfile(templates_dir() / name, tmp_path / name)
    return tmp_path


def change(folder: Path, old: str, new: str, name: str = TEMPLATE) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_a_maintainers_change_is_seen_at_once(folder: Path) -> None:
    """Defect A15: the template was read from the disk for each record."""
    before = load_template(folder)
    assert load_template(folder) is before
    change(folder, "<target>CSR</target>", "<target>CSR2</target>")
    assert b"<target>CSR2</target>" in build_message(VALUES, load_template(folder))


def test_the_templates_comment_names_what_it_can_hold_and_in_which_form() -> None:
    """Defect A16: it told of another unit of time than was sent."""
    comment = etree.parse(templates_dir() / TEMPLATE).xpath("string(/comment())")
    names, _, _ = comment.partition("Names: ")[2].partition("Everything else")
    described = re.findall(r"(\w+)(?: \(([^)]*)\))?[,.]", names)
    assert [name for name, _ in described] == list(NAMES)
    assert [name for name, form in described if "ISO 8601" in form] == ["timestamp", "activity_date"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{{ details }}", "{{ detail }}", "Did you mean 'details'"),
        ("{{ details }}", "Says: {{ details }}", "the whole text of its element"),
        ("<data>", '<data kind="{{ code }}">', "the whole text of its element"),
        ("</header>", "</haeder>", "is no XML"),
        ("acc:submitKnack", "acc:submit", "no element submitKnack"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_its_place(
    folder: Path, old: str, new: str, words: str
) -> None:
    change(folder, old, new)
    with pytest.raises(SettingsError, match=words) as caught:
        load_template(folder)
    assert TEMPLATE in str(caught.value)


@pytest.mark.parametrize(("old", "new"), [("xs:sequence>", "xs:sequenz>"), ("acc:filled", "acc:full")])
def test_so_is_a_schema(folder: Path, old: str, new: str) -> None:
    change(folder, old, new, SCHEMA)
    with pytest.raises(SettingsError, match=SCHEMA):
        load_template(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=TEMPLATE):
        load_template(tmp_path)


def test_a_template_cannot_read_other_files(folder: Path) -> None:
    entity = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>\n<soapenv:Envelope'
    change(folder, "<soapenv:Envelope", entity)
    change(folder, "<target>CSR</target>", "<target>&e;</target>")
    with pytest.raises(SettingsError, match="document type"):
        load_template(folder)
