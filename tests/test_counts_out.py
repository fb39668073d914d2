"""What goes out to spreadsheets and back into stock systems: one workbook, and counts in each system's own columns."""

import csv
import json
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner, Result
from tests.stock_support import read, stock_csv
from tests.tasks_support import a_line, a_user, an_audit, count, settle

from binsight.audit.certifying import counts_as_records
from binsight.audit.mapping import load_mapping, shipped
from binsight.cli import cli
from binsight.errors import BadInput, MissingObject
from binsight.storage.ledger import Journal, Leases, Ledger, prove

COUNTS = "bin_id,sku,site,expected_qty,counted_qty,counter,counted_at,reason,comment"
ROW = "=A1,E-1,N,4,3,ann,2026-11-24T16:30:00+01:00,MISSING,'=x"


def audit(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)])


def test_an_audits_tables_are_sheets_of_one_workbook_without_formulas(
    tmp_path: Path, places: dict[str, str]
) -> None:
    estimates = tmp_path / "counts.jsonl"
    probs = [0.01, 0.97, *[0.02 / 19] * 19]
    estimates.write_text("".join(json.dumps({"photo": f"{n}.jpg", "probs": probs}) + "\n" for n in ("=1+1", "B")))
    file = stock_csv(tmp_path / "records.csv", "bin_id,expected_qty\n=1+1,2\nB,1\nC,x\n")
    out = tmp_path / "out"
    audit(file, "--estimates", estimates, "--out", out, "--xlsx")
    book = openpyxl.load_workbook(out / "audit.xlsx")
    assert book.sheetnames == ["verdicts", "exceptions", "tasks", "plan", "problems"]
    for sheet in book:
        with (out / f"{sheet.title}.csv").open(newline="") as rows:
            in_csv = [[cell.removeprefix("'") for cell in row] for row in csv.reader(rows)]
        assert [len(row) for row in sheet.iter_rows()] == [len(row) for row in in_csv]
        assert [str(row[0].value or "") for row in sheet.iter_rows()] == [row[0] for row in in_csv]
        assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)
    assert book["verdicts"]["A2"].value == "=1+1"
    assert isinstance(book["verdicts"]["B2"].value, int)
    audit(file, "--estimates", estimates, "--out", out)
    assert not (out / "audit.xlsx").exists(), "an earlier audit's would tell of other records"


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_counts_go_out_in_every_mappings_columns(tmp_path: Path, name: str, suffix: str) -> None:
    file, out = stock_csv(tmp_path / "in.csv", f"{COUNTS}\n{ROW}\n"), tmp_path / f"out.{suffix}"
    result = audit("counts", file, "--to", name, "--out", out)
    assert result.exit_code == 0, result.output
    mapping = load_mapping(name)
    (record,), problems = read(out, counts_as_records(mapping))
    assert (record.bin_id, record.expected, problems) == ("=A1", 3, [])
    if suffix == "csv":
        with out.open(newline="") as rows:
            header, row = csv.reader(rows)
        assert header == list(mapping.counts)
        by_field = dict(zip(mapping.counts.values(), row, strict=True))
        assert by_field["bin_id"] == "'=A1", "no formula"
        assert by_field.get("sku", "E-1") == "E-1"
        assert by_field.get("counted_at", "2026-11-24T15:30:00+00:00") == "2026-11-24T15:30:00+00:00"


def test_a_line_that_cannot_be_read_is_named_and_the_rest_goes_out(tmp_path: Path) -> None:
    rows = ["A,E,,4,3,,,,", "B,E,,4,minus,,,,", ",E,,4,3,,,,", "D,E,,x,3,,,,", "E,E,,4,3,,yesterday,,", "F,E"]
    file = stock_csv(tmp_path / "in.csv", "\n".join([COUNTS, *rows, ""]))
    result = audit("counts", file, "--to", "odoo", "--out", tmp_path / "out.csv", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["counts"] == 1
    assert [problem.split(" must")[0] for problem in said["problems"]] == [
        "row 3: counted_qty",
        "row 4: bin_id",
        "row 5: expected_qty",
        "row 6: counted_at",
        "row 7",
    ]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2


def test_what_is_asked_wrongly_is_explained(tmp_path: Path) -> None:
    file = stock_csv(tmp_path / "in.csv", "bin_id,expected_qty\nA,1\n")
    missing = audit("counts", file, "--to", "odoo", "--out", tmp_path / "out.csv")
    assert "must have a column counted_qty" in str(missing.exception)
    assert not (tmp_path / "out.csv").exists()
    nowhere = audit("counts", tmp_path / "no.csv", "--to", "odoo", "--out", tmp_path / "out.csv")
    assert isinstance(nowhere.exception, MissingObject)
    counts = stock_csv(tmp_path / "in.csv", f"{COUNTS}\n{ROW}\n")
    ending = audit("counts", counts, "--to", "odoo", "--out", tmp_path / "out.ods")
    assert isinstance(ending.exception, BadInput)


def test_what_was_settled_on_the_console_goes_out_once(tmp_path: Path, places: dict[str, str]) -> None:
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    made = an_audit(ledger, [a_line(place, skus=["E-1"]) for place in (1, 2, 3)])
    people = [a_user(ledger, name) for name in ("ben", "cat")]
    for bin_counts in ((3,), (4, 4)):  # the first as its record, the second not; the third is left
        for user, number in zip(people, bin_counts, strict=False):
            lease = Leases(ledger).claim(user.id, where="photo", seconds=60)[0]
            count(ledger, lease.token, number, user)
    out = tmp_path / "out.csv"
    audit("counts", "--audit", made.id, "--to", "generic", "--out", out)
    assert not out.exists(), "they can be taken back as yet"
    settle(ledger)
    assert audit("counts", "--audit", made.id, "--to", "generic", "--out", out).exit_code == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["bin_id"], row["expected_qty"], row["counted_qty"], row["counter"]) for row in rows] == [
        ("A-0001", "3", "3", "ben"),
        ("A-0002", "3", "4", "cat"),
    ]
    other = tmp_path / "other.csv"
    audit("counts", "--audit", made.id, "--to", "generic", "--out", other)
    assert not other.exists(), "they went out"
    audit("counts", "--audit", made.id, "--to", "generic", "--out", other, "--again")
    assert len(other.read_text().splitlines()) == 3
    assert [entry.kind for entry in Journal(ledger).read() if entry.kind == "tasks.posted"] == ["tasks.posted"] * 2
    assert prove(ledger).broken is None
    ledger.close()


def test_counts_come_from_a_file_or_an_audit(tmp_path: Path) -> None:
    for given in ((), (tmp_path / "in.csv", "--audit", "x")):
        result = audit("counts", *given, "--to", "generic", "--out", tmp_path / "out.csv")
        assert isinstance(result.exception, BadInput)
