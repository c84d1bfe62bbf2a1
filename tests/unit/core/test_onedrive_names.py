"""OneDrive's rules for names, and paths in URLs."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.onedrive_names import PATH_LIMIT, check_path, comparison_key, encode_path
from interchange.errors import BadRecord


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("", "a.csv"),
        ("/", "a.csv"),
        ("A/B c/", "50% #1.csv"),
        ("Exports", "Größe + 1 & 'x'.zip"),
        ("Exports/forms", "forms"),
        ("Exports", "console.csv"),
        ("Exports", "COM10.csv"),
        ("v.ti", ".hidden"),
    ],
)
def test_good_paths(folder: str, name: str) -> None:
    check_path(folder, name)


@pytest.mark.parametrize("bad", [*'"*:<>?|\\', "\x00", "\n", "\x7f"])
def test_forbidden_characters(bad: str) -> None:
    with pytest.raises(BadRecord) as in_name:
        check_path("Exports", f"a{bad}b.csv")
    with pytest.raises(BadRecord) as in_folder:
        check_path(f"Ex{bad}ports", "a.csv")

    assert (in_name.value.field, in_folder.value.field) == ("file_name", "folder")


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        ".",
        "..",
        "a/b",
        ".lock",
        "CON",
        "prn.txt",
        "Aux",
        "nul.csv",
        "COM0",
        "lpt9.zip",
        "Desktop.ini",
        "a_VTI_b",
        "~a",
        "~$a.docx",
        "x" * 256,
    ],
)
def test_names_that_onedrive_refuses(name: str) -> None:
    with pytest.raises(BadRecord) as refused:
        check_path("Exports", name)

    assert refused.value.field == "file_name"


@pytest.mark.parametrize("folder", ["forms", "A//B", "A/CON", "A./B", "A/B.", " A", "A/ B", "../up", "~A"])
def test_folders_that_onedrive_refuses(folder: str) -> None:
    with pytest.raises(BadRecord) as refused:
        check_path(folder, "a.csv")

    assert refused.value.field == "folder"


def test_forms_is_reserved_at_the_root_only() -> None:
    check_path("Exports", "forms")
    with pytest.raises(BadRecord):
        check_path("", "Forms")


def test_the_whole_path_has_a_limit() -> None:
    folder = "/".join(["f" * 99] * 3)
    check_path(folder, "n" * (PATH_LIMIT - 300))
    with pytest.raises(BadRecord, match="401 characters"):
        check_path(folder, "n" * (PATH_LIMIT - 299))


def test_paths_are_encoded_segment_by_segment() -> None:
    assert encode_path("A/B c", "50% #1.csv") == "A/B%20c/50%25%20%231.csv"
    assert encode_path("/", "a?b:c.csv") == "a%3Fb%3Ac.csv"


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1),
        min_size=1,
        max_size=4,
    )
)
def test_encoding_is_undone_by_decoding_each_segment(segments: list[str]) -> None:
    encoded = encode_path("/".join(segments[:-1]), segments[-1])

    assert [unquote(segment) for segment in encoded.split("/")] == segments
    assert not set(encoded) & set(" :?#\\")


def test_letter_case_does_not_count() -> None:
    assert comparison_key("Größe.CSV") == comparison_key("gRÖßE.csv")
    assert comparison_key("Straße") != comparison_key("Strasse")
