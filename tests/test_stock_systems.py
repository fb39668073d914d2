"""Stock files as systems have them: round trips in every shape, exported columns, ABID's own records, a million lines."""

import csv
import json
import re
import resource
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stock_support import lines, read, stock_xlsx

from binsight.audit.intake import read_records
from binsight.audit.mapping import Mapping, load_mapping, shipped
from binsight.audit.spreadsheets import Value, write_rows
from binsight.records import StockRecord

WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f\x85"), min_size=1, max_size=8
).filter(lambda text: text == text.strip() and all(c.isprintable() for c in text))
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@st.composite
def bins(draw: st.DrawFn) -> list[tuple[StockRecord, list[dict[str, Value]]]]:
    """Records, and the lines that they are the sum of, in the generic mapping's fields."""
    found = []
    for number, name in enumerate(draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))):
        items = draw(st.dictionaries(WORDS, st.integers(0, 99), min_size=1, max_size=3))
        taken_at = draw(st.none() | MOMENTS)
        record = StockRecord(
            bin_id=name,
            expected=sum(items.values()),
            row=0,
            photo=f"{number}.jpg",
            skus=tuple(items),
            site=draw(st.none() | WORDS),
            aisle=draw(st.none() | WORDS),
            as_of=draw(st.none() | MOMENTS),
            photo_taken_at=taken_at,
            unit_value=draw(st.none() | st.decimals(0, 1000, places=2).map(float)),
            item_class=draw(st.none() | st.sampled_from("ABC")),
        )
        same: dict[str, Value] = {
            **{"bin_id": name, "photo": record.photo, "site": record.site, "aisle": record.aisle},
            **{"record_as_of": record.as_of, "photo_taken_at": taken_at, "unit_value": record.unit_value},
            "item_class": record.item_class,
        }
        found.append((record, [same | {"sku": sku, "expected_qty": quantity} for sku, quantity in items.items()]))
    return found


def known(record: StockRecord, mapping: Mapping) -> StockRecord:
    """What is left of a record in a mapping's columns."""
    ours = {"as_of": "record_as_of", "skus": "sku", "expected": "expected_qty"}
    fields = mapping.records.by_field()
    lost = {name for name in StockRecord.__slots__ if ours.get(name, name) not in fields and name != "row"}
    return replace(record, row=0, **dict.fromkeys(lost))


@pytest.mark.parametrize("name", [name for name in shipped() if name != "abid"])
@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
@settings(max_examples=15)
@given(written=bins())
def test_records_that_are_written_in_a_mappings_shape_are_read_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    ending: str,
    written: list[tuple[StockRecord, list[dict[str, Value]]]],
) -> None:
    mapping = load_mapping(name)
    path = tmp_path_factory.mktemp("round") / f"stock{ending}"
    write_rows(path, mapping.record_shape(), (line for _, lines in written for line in lines))
    records, problems = read(path, mapping)
    assert not problems
    assert [known(record, mapping) for record in records] == [known(record, mapping) for record, _ in written]


@pytest.mark.parametrize(
    ("name", "header", "row", "record"),
    [
        (
            "odoo",
            "Location,Product,Lot/Serial Number,Quantity",
            "WH/Stock/A1,[E-1] Desk,,3.00",
            ("WH/Stock/A1", 3, "[E-1] Desk", None),
        ),
        (
            "erpnext",
            "Item,Item Name,Warehouse,Balance Qty,Valuation Rate",
            "E-1,Desk,A1 - X,3.0,2.5",
            ("A1 - X", 3, "E-1", None),
        ),
        ("erpnext", "Item Code,Warehouse,Quantity,Current Qty", "E-1,A1 - X,5,3", ("A1 - X", 3, "E-1", None)),
        (
            "openboxes",
            "productCode,product,lotNumber,expirationDate,binLocation,quantityOnHand,quantity",
            "10,Gloves,,,A1,3,",
            ("A1", 3, "10", None),
        ),
        (
            "sap",
            "LGNUM,LGTYP,LGPLA,MATNR,WERKS,GESME",
            "001,002,01-02-03,4711,1000,3.000",
            ("01-02-03", 3, "4711", "001"),
        ),
        (
            "sap",
            "Plant,StorageLocation,Material,BookQtyBfrCountInMatlBaseUnit",
            "1000,0001,4711,3",
            ("0001", 3, "4711", "1000"),
        ),
    ],
)
def test_columns_as_systems_export_them_are_read(
    tmp_path: Path, name: str, header: str, row: str, record: tuple[str, int, str, str | None]
) -> None:
    records, problems = read(lines(tmp_path, header, row), load_mapping(name))
    assert not problems
    assert [(r.bin_id, r.expected, r.skus[0], r.site) for r in records] == [record]


def test_abids_labels_are_read_with_its_mapping(abid: Path) -> None:
    """32 of the 13,979 photos have no record."""
    with read_records(abid / "labels.csv", load_mapping("abid")) as records:
        with (abid / "labels.csv").open(newline="", encoding="utf-8") as file:
            labels = [row for row in csv.DictReader(file) if row["count"]]
        assert [(r.bin_id, r.photo, r.expected) for r in records] == [
            (row["image_id"], row["image_id"], int(row["count"])) for row in labels
        ]
        assert len(records.problems) == 32
        assert {p.column for p in records.problems} == {"count"}


def abid_lines(abid: Path, num_photos: int) -> Iterator[tuple[str, int, list[tuple[str, int]]]]:
    """Photo, its record's total and its items' lines, from the dataset's own records."""
    with tarfile.open(abid / "metadata.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            record = json.load(file)
            items = record["BIN_FCSKU_DATA"].values()
            yield Path(member.name).stem, record["EXPECTED_QUANTITY"], [(i["asin"], i["quantity"]) for i in items]
            num_photos -= 1
            if num_photos == 0:
                return


def test_items_of_abids_records_add_up_to_their_totals(abid: Path, tmp_path: Path) -> None:
    photos = [photo for photo in abid_lines(abid, 1000) if photo[2]]
    path = tmp_path / "abid.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "asin", "quantity"])
        writer.writerows((photo, asin, quantity) for photo, _, items in photos for asin, quantity in items)
    records, problems = read(path, load_mapping("abid"))
    assert not problems
    assert [(r.photo, r.expected, set(r.skus)) for r in records] == [
        (photo, total, {asin for asin, _ in items}) for photo, total, items in photos
    ]


MEASURE = """
import resource, sys
from pathlib import Path
from binsight.audit.intake import read_records
from binsight.audit.mapping import load_mapping
with read_records(Path(sys.argv[1]), load_mapping("generic")) as records:
    num_records, num_problems = sum(1 for _ in records), sum(1 for _ in records.problems)
print(num_records, num_problems, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measured(path: Path) -> tuple[int, int, int]:
    """Records, problems and peak memory in KiB of a process that reads a file."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    num_records, num_problems, memory = map(int, done.stdout.split())
    return num_records, num_problems, memory


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="needs getrusage")
def test_memory_is_flat_for_a_million_lines(tmp_path: Path) -> None:
    """Half of them are problems, of which as little is kept in memory."""

    def stock(num_lines: int) -> Path:
        path = tmp_path / f"{num_lines}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write("bin_id,sku,expected_qty,photo\n")
            for n in range(num_lines):
                file.write(f"A{n:07},SKU{n},{n % 20 if n % 2 else 'many'},{n}.jpg\n")
        return path

    _, _, few = measured(stock(10_000))
    num_records, num_problems, many = measured(stock(1_000_000))
    assert (num_records, num_problems) == (500_000, 500_000)
    assert many < few + 40 * 1024, f"{few} KiB for 10,000 lines, {many} for 1,000,000"


def test_a_bad_line_of_an_xlsx_has_its_row_there(tmp_path: Path) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], [], ["A1", "x"]])
    assert [(p.row, p.column) for p in read(path)[1]] == [(3, "expected_qty")]


PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "stock-files.md"


def block(language: str) -> str:
    """The page's one block of a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(code)


def test_the_mapping_of_the_documents_reads_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(block("toml"), encoding="utf-8")
    mapping = load_mapping(str(tmp_path / "mine.toml"))
    records, problems = read(
        lines(tmp_path, "Lagerplatz;Menge;Artikel;Charge", "A1;1.000,0;x;1", "A1;2;x;2", "A2;1;;"), mapping
    )
    assert not problems
    assert [(r.bin_id, r.expected, r.skus) for r in records] == [("A1", 1002, ("x",)), ("A2", 1, ())]
    assert all(
        f"`{field}`" in PAGE.read_text(encoding="utf-8")
        for field in mapping.records.model_dump()
        if field != "told_apart_by"
    )


def test_the_code_of_the_documents_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stock_xlsx(
        tmp_path / "quants.xlsx", [["Location", "Product", "Quantity"], ["WH/A1", "Desk", 3], ["WH/A2", "Desk", -1]]
    )
    exec(compile(block("python"), str(PAGE), "exec"), {})
    assert capsys.readouterr().out == "WH/A1 3\nrow 3: Quantity must be 0 or more, but is -1\n"
    assert (tmp_path / "counts.csv").read_text(encoding="utf-8").splitlines()[1] == "WH/Stock/A1,E-1,3,,"
