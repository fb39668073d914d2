"""Column mappings: those that are shipped, a user's own, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from binsight.audit.mapping import load_mapping, shipped
from binsight.errors import BadInput, MissingObject

MINE = """
name = "mine"
decimal = ","
thousands = "."
time_zone = "Europe/Berlin"
[records]
bin_id = "Lagerplatz"
expected_qty = ["Bestand", "Menge"]
[counts]
Lagerplatz = "bin_id"
Frei = ""
"Gezählt" = "counted_qty"
"""


def own(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_mappings_are_those_of_the_documents() -> None:
    assert shipped() == ("abid", "erpnext", "generic", "odoo", "openboxes", "sap")
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "stock-files.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in shipped())


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_mapping_has_its_files_name_and_says_where_its_columns_are_documented(name: str) -> None:
    mapping = load_mapping(name)
    assert mapping.name == name
    assert mapping.about
    assert mapping.sources or name == "generic"


def test_what_was_counted_is_never_read_as_what_is_expected() -> None:
    """A sheet of counts that comes back must not become the record."""
    for name in shipped():
        mapping = load_mapping(name)
        counted = {column for column, field in mapping.counts.items() if field == "counted_qty"}
        if name != "abid":  # whose `count` is the record
            assert counted.isdisjoint(mapping.records.expected_qty), name


def test_a_mapping_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    mapping = load_mapping(own(tmp_path, MINE))
    assert mapping.records.bin_id == ("Lagerplatz",)
    assert mapping.records.expected_qty == ("Bestand", "Menge")
    assert list(mapping.counts) == ["Lagerplatz", "Frei", "Gezählt"]
    assert mapping.record_shape() == {"Lagerplatz": "bin_id", "Bestand": "expected_qty"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('bin_id = "Lagerplatz"\n', "", "records.bin_id is missing"),
        ('bin_id = "Lagerplatz"\n', "bin_id = []\n", "records.bin_id: tuple should have at least 1 item"),
        ('bin_id = "Lagerplatz"', 'bin_id = "L"\ncolour = "F"', "unknown field records.colour"),
        ('thousands = "."', 'thousands = ","', "decimal and thousands must be different signs, but both are ','"),
        ('decimal = ","', 'decimal = ";"', "decimal: input should be '.' or ','"),
        ("Europe/Berlin", "Berlin", "time_zone: must be a time zone such as Europe/Berlin, but is 'Berlin'"),
        (
            "[records]",
            'moments = ["%Q"]\n[records]',
            "moments: must be patterns such as %d.%m.%Y %H:%M, but '%Q' is none",
        ),
        ("Europe/Berlin", "Europe", "time_zone: must be a time zone such as Europe/Berlin, but is 'Europe'"),
        ('"Gezählt" = "counted_qty"', "", "counts must name a column for counted_qty"),
        ('"Gezählt" = "counted_qty"', '"Gezählt" = "count"', "counts.Gezählt: input should be"),
        ("[records]", "[records", "is not TOML"),
    ],
)
def test_a_wrong_mapping_is_named_with_its_file_and_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINE
    path = own(tmp_path, MINE.replace(old, new))
    with pytest.raises(BadInput) as raised:
        load_mapping(path)
    assert said in str(raised.value)
    assert path in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_nearly_a_mappings_gets_the_right_one() -> None:
    with pytest.raises(
        MissingObject, match=r"oddo is neither a mapping \(abid, .*\) nor a file .*; did you mean odoo\?"
    ):
        load_mapping("oddo")


def test_a_stock_file_given_as_a_mapping_is_not_read_into_memory(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be a mapping of at most"):
        load_mapping(own(tmp_path, "#" * (2 << 20)))
