"""What people settled goes into a stock system's file: each count once, and none into a file that is lost."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.tasks_support import a_line, a_user, an_audit, claim, count, settle

from binsight.audit import posting
from binsight.audit.mapping import load_mapping
from binsight.audit.posting import post_counts
from binsight.cli import cli
from binsight.errors import BadInput, ChangedMeanwhile, MissingObject
from binsight.storage.ledger import Detail, Journal, Ledger, prove

GENERIC = load_mapping("generic")


@pytest.fixture
def ledger(places: dict[str, str]) -> Iterator[Ledger]:
    opened = Ledger.open(places["BINSIGHT_LEDGER"])
    yield opened
    opened.close()


@pytest.fixture
def audit(ledger: Ledger) -> str:
    """An audit of four bins, of which the third holds two items; the first three were counted."""
    items = (["E-1"], ["E-2"], ["WIDGET", "GADGET"], [])
    made = an_audit(ledger, [a_line(place, skus=skus) for place, skus in enumerate(items, 1)])
    counted(ledger, "ben", 3)
    return made.id


def counted(ledger: Ledger, name: str, number: int) -> None:
    """Count the next bins as their records say, past the time in which that can be taken back."""
    user = a_user(ledger, name)
    for _ in range(number):
        count(ledger, claim(ledger, user).token, 3, user)
    settle(ledger)


def export(audit: str, out: Path, *more: str, to: str = "generic") -> Result:
    return CliRunner().invoke(cli, ["audit", "counts", "--audit", audit, "--to", to, "--out", str(out), *more])


def bins(out: Path, column: str = "bin_id") -> list[str]:
    with out.open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def test_a_file_that_may_not_be_imported_yet_is_not_written_over(
    tmp_path: Path, ledger: Ledger, audit: str
) -> None:
    out = tmp_path / "out.csv"
    export(audit, out)
    before = out.read_bytes()
    nothing = export(audit, out)
    assert f"nothing to post; {out} was not written" in nothing.stdout
    assert out.read_bytes() == before
    counted(ledger, "cat", 1)
    refused = export(audit, out)
    assert isinstance(refused.exception, BadInput)
    assert "is there already" in str(refused.exception)
    assert out.read_bytes() == before
    out.rename(tmp_path / "imported.csv")
    assert export(audit, out).exit_code == 1, "the bin of two items is named again"
    assert bins(out) == ["A-0004"]
    export(audit, out, "--again")
    assert bins(out) == ["A-0001", "A-0002", "A-0004"]


def test_nothing_to_post_is_no_file(tmp_path: Path, ledger: Ledger, audit: str) -> None:
    out = tmp_path / "out.csv"
    export(audit, out)
    out.unlink()
    said = json.loads(export(audit, out, "--json").stdout.splitlines()[0])
    assert (said["out"], said["counts"]) == (None, 0)
    assert not out.exists()
    assert isinstance(export("none", out).exception, MissingObject)
    assert prove(ledger).broken is None


def test_of_two_exports_at_once_one_has_the_counts(
    tmp_path: Path, ledger: Ledger, audit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, count_of = tmp_path / "first.csv", tmp_path / "second.csv", posting.count_of

    def meanwhile(detail: Detail) -> object:
        monkeypatch.setattr(posting, "count_of", count_of)
        post_counts(ledger, audit, GENERIC, second, by="cron")
        return count_of(detail)

    monkeypatch.setattr(posting, "count_of", meanwhile)
    with pytest.raises(ChangedMeanwhile, match="went out into another file meanwhile"):
        post_counts(ledger, audit, GENERIC, first, by="ann")
    assert not first.exists()
    assert bins(second) == ["A-0001", "A-0002"]
    assert [entry.by for entry in Journal(ledger).read(kind="tasks.posted")] == ["cron"]
    assert list(tmp_path.glob(".*.part")) == []


def test_killed_before_the_file_is_in_its_place_nothing_counts_as_posted(
    tmp_path: Path, ledger: Ledger, audit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", killed)
        post_counts(ledger, audit, GENERIC, out, by="ann")
    assert not out.exists()
    assert list(Journal(ledger).read(kind="tasks.posted")) == []
    export(audit, out)
    assert bins(out) == ["A-0001", "A-0002"]


@pytest.mark.parametrize(("system", "bin_column"), [("erpnext", "Warehouse"), ("odoo", "location_id")])
def test_the_total_of_several_items_is_no_items_count(
    tmp_path: Path, audit: str, system: str, bin_column: str
) -> None:
    out = tmp_path / "out.csv"
    result = export(audit, out, to=system)
    assert result.exit_code == 1
    assert "error: bin A-0003 holds 2 items (WIDGET, GADGET), of which the count says only the total, 3" in (
        result.stderr
    )
    assert bins(out, bin_column) == ["A-0001", "A-0002"]
    assert "GADGET" not in out.read_text()


def test_a_mapping_without_items_takes_the_totals_of_bins(tmp_path: Path, audit: str) -> None:
    mine, out = tmp_path / "mine.toml", tmp_path / "totals.csv"
    mine.write_text(
        'name = "mine"\n[records]\nbin_id = "bin"\nexpected_qty = "qty"\n'
        '[counts]\nbin = "bin_id"\ntotal = "counted_qty"\n'
    )
    export(audit, tmp_path / "items.csv", to="erpnext")
    assert export(audit, out, to=str(mine)).exit_code == 0
    assert out.read_text().split() == ["bin,total", "A-0003,3"]
