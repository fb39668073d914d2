"""Consignments: RELEASE, HOLD or CHECK by the photos of their totes, and who lets them go."""

import csv
import json
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.ledger_support import Opener
from tests.stock_support import stock_csv

from binsight.audit.consignment_lines import read_consignments
from binsight.audit.consignments import CHECK, HOLD, RELEASE, SWAPS, decide_consignment
from binsight.audit.lines import NOT_ASSESSABLE, SUSPECT, VERIFIED, WORDS, AuditLine
from binsight.audit.mapping import load_mapping
from binsight.cli import cli
from binsight.errors import BadInput, BinsightError, ChangedMeanwhile, GateFailed, MissingObject
from binsight.imaging.drawn import drawn_photo
from binsight.records import StockRecord
from binsight.storage.ledger import Consignments, Journal, Ledger, prove
from binsight.storage.ledger.journal import hold_end

Run = Callable[..., Result]
GENERIC = load_mapping("generic")
HEADER = "consignment,tote,sku,expected_qty,photo"
SURE = 0.97


def probs(count: int, sure: float = SURE) -> list[float]:
    return [sure if n == count else (1 - sure) / 20 for n in range(21)]


def tote(word: str) -> AuditLine:
    record = StockRecord(bin_id="T", expected=1, row=2)
    return AuditLine(record=record, word=word, reason="", estimate=None, p_record=None, p_right=0.9, units_off=0.1)


@pytest.fixture
def run(places: dict[str, str]) -> Run:
    def run_it(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["audit", "consignments", *map(str, arguments)])

    return run_it


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """T1 shows 1, T2 shows 2 and T3 shows 3, all for sure; T4 shows 1 or 2."""
    file = tmp_path / "counts.jsonl"
    photos = [{"photo": f"T{n}.jpg", "probs": probs(shown)} for n, shown in ((1, 1), (2, 2), (3, 3))]
    photos.append({"photo": "T4.jpg", "probs": [0.1, 0.5, 0.4, *[0.0] * 18]})
    file.write_text("".join(json.dumps(photo) + "\n" for photo in photos))
    return file


def lines_of(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def a_file(folder: Path, *rows: str, header: str = HEADER) -> Path:
    return stock_csv(folder / "lines.csv", "\n".join([header, *rows, ""]))


@pytest.mark.parametrize("words", list(product(WORDS, repeat=2)))
def test_only_what_is_verified_as_a_whole_is_released(words: Sequence[str]) -> None:
    totes = list(map(tote, words))
    found = decide_consignment(totes, is_whole=True)
    assert (found == RELEASE) == (set(words) == {VERIFIED})
    assert (found == HOLD) == (SUSPECT in words)
    assert decide_consignment(totes, is_whole=False) == (HOLD if SUSPECT in words else CHECK)


def test_nothing_at_all_is_not_released() -> None:
    assert decide_consignment([], is_whole=True) == CHECK


def test_each_consignment_gets_its_decision_with_the_evidence(tmp_path: Path, counts: Path, run: Run) -> None:
    file = a_file(
        tmp_path, "C-1,T1,E,1,", "C-1,T2,E,1,", "C-1,T2,F,1,", "C-2,T3,E,2,", "C-3,T4,E,1,", "C-4,T9,E,1,"
    )
    result = run(file, "--estimates", counts, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    lines = lines_of(result)
    assert {line["consignment"]: line["decision"] for line in lines} == {
        "C-1": RELEASE,
        "C-2": HOLD,
        "C-3": CHECK,
        "C-4": CHECK,
    }
    second = lines[0]["totes"][1]  # type: ignore[index]
    assert (second["tote"], second["expected"], second["seen"], second["verdict"]) == ("T2", 2, 2, VERIFIED)
    assert second["skus"] == ["E", "F"], "several lines of a tote are one total"
    assert second["probs"][2] == SURE
    with (tmp_path / "out" / "totes.csv").open(newline="") as totes:
        assert [(row["tote"], row["verdict"]) for row in csv.DictReader(totes)] == [
            ("T1", VERIFIED),
            ("T2", VERIFIED),
            ("T3", SUSPECT),
            ("T4", NOT_ASSESSABLE),
            ("T9", NOT_ASSESSABLE),
        ]
    assert lines == [
        json.loads(line) for line in (tmp_path / "out" / "consignments.jsonl").read_text().splitlines()
    ]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "a swap of equal numbers cannot be seen" in page


def test_the_text_says_what_a_total_cannot_see_and_whose_certificate_it_is(
    tmp_path: Path, counts: Path, run: Run
) -> None:
    result = run(a_file(tmp_path, "C-1,T1,E,1,"), "--estimates", counts, "--out", tmp_path / "out")
    assert SWAPS in result.stdout
    assert "the model's own certificate" in result.stdout


def test_a_photo_stands_in_the_journal_with_its_hash(tmp_path: Path, run: Run, places: dict[str, str]) -> None:
    photo = drawn_photo(1, seed=1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "T1.jpg").write_bytes(photo)
    file = a_file(tmp_path, "C-1,T1,E,1,")
    (line,) = lines_of(run(file, tmp_path / "photos", "--out", tmp_path / "out", "--json"))
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    judged = Consignments(ledger).read("C-1").judged
    assert (judged.seq, judged.hash) == (line["entry"], line["entry_hash"])
    assert judged.body["totes"] == line["totes"]
    assert judged.body["totes"][0]["photo_sha256"] == sha256(photo).hexdigest()
    assert judged.body["terms"]["lines_sha256"] == sha256(file.read_bytes()).hexdigest()
    assert judged.body["terms"]["certificate_sha256"]
    assert prove(ledger).broken is None
    ledger.close()


BAD_ROWS = {
    "a quantity": ("C-1,T2,E,two,", "row 3: expected_qty must be a whole number"),
    "no tote": ("C-1,,E,1,", "row 3: tote must name a tote, but is empty"),
    "no consignment": (",T2,E,1,", "row 3: consignment must name a consignment, but is empty; it may be of this"),
    "a short row": ("C-1,T2", "row 3 must have 5 cells as the header has, but has 2; it may be of this"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_line_that_cannot_be_read_keeps_a_consignment_from_release(
    tmp_path: Path, counts: Path, run: Run, what: str
) -> None:
    row, says = BAD_ROWS[what]
    file = a_file(tmp_path, "C-1,T1,E,1,", row)
    result = run(file, "--estimates", counts, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 1
    (line,) = lines_of(result)
    assert line["decision"] == CHECK
    assert says in str(line["problems"])
    with (tmp_path / "out" / "problems.csv").open(newline="") as problems:
        assert [row["row"] for row in csv.DictReader(problems)] == ["3"]


def test_a_line_without_a_consignment_may_be_anybodys(tmp_path: Path, counts: Path, run: Run) -> None:
    file = a_file(tmp_path, "C-1,T1,E,1,", "C-2,T2,E,2,", ",T4,E,1,")
    result = run(file, "--estimates", counts, "--out", tmp_path / "out", "--json")
    assert [line["decision"] for line in lines_of(result)] == [CHECK, CHECK]


def test_a_photo_of_two_totes_is_neithers(tmp_path: Path, counts: Path, run: Run) -> None:
    file = a_file(tmp_path, "C-1,A,E,1,T1.jpg", "C-2,B,E,1,T1.jpg")
    result = run(file, "--estimates", counts, "--out", tmp_path / "out", "--json")
    assert [line["decision"] for line in lines_of(result)] == [CHECK, CHECK]
    assert "a photo shows one bin" in result.stdout


def test_two_photos_of_one_tote_are_a_problem(tmp_path: Path) -> None:
    found = read_consignments(a_file(tmp_path, "C-1,A,E,1,T1.jpg", "C-1,A,F,1,T2.jpg"), GENERIC)
    assert [problem.sentence for problem in found.problems()] == [
        "row 2: photo names photo T1.jpg and T2.jpg for tote A; a tote has one photo"
    ]


def test_columns_are_a_mappings_own(tmp_path: Path) -> None:
    mapping = tmp_path / "mine.toml"
    mapping.write_text(
        'name = "mine"\nthousands = "."\ndecimal = ","\n[records]\nbin_id = "Platz"\nexpected_qty = "Bestand"\n'
        '[consignments]\nconsignment = "Lieferung"\ntote = ["Behälter", "Kiste"]\nexpected_qty = "Soll"\n'
        '[counts]\nPlatz = "bin_id"\nIst = "counted_qty"\n',
        encoding="utf-8",
    )
    file = a_file(tmp_path, "L7;K1;1.000", header="Lieferung;Kiste;Soll")
    found = read_consignments(file, load_mapping(str(mapping)))
    assert [(r.site, r.bin_id, r.expected) for r in found.consignments["L7"].records()] == [("L7", "K1", 1000)]


def test_a_release_is_kept_with_who_and_why(tmp_path: Path, counts: Path, run: Run, places: dict[str, str]) -> None:
    file = a_file(tmp_path, "C-1,T1,E,1,", "C-2,T3,E,2,", "C-3,T4,E,1,")
    run(file, "--estimates", counts, "--out", tmp_path / "out")
    assert run("release", "C-1", "--by", "Ann").exit_code == 0

    refused = run("release", "C-2", "--by", "Ann", "--reason", "counted")
    assert isinstance(refused.exception, GateFailed)
    assert "is on HOLD" in str(refused.exception)
    unexplained = run("release", "C-2", "--by", "Ann", "--override")
    assert isinstance(unexplained.exception, BadInput)
    (released,) = lines_of(run("release", "C-2", "--by", "Ann", "--override", "--reason", "counted: 2", "--json"))
    assert released["body"]["override"] is True  # type: ignore[index]

    assert isinstance(run("release", "C-3", "--by", "Ann", "--reason", " ").exception, BadInput)
    assert run("release", "C-3", "--by", "Bob", "--reason", "counted").exit_code == 0
    assert isinstance(run("release", "C-3", "--by", "Bob", "--reason", "counted").exception, ChangedMeanwhile)
    assert isinstance(run("release", "C-9", "--by", "Bob").exception, MissingObject)
    assert isinstance(run("release", "C-1", "--by", "").exception, BinsightError)

    shown = run("show", "C-3").stdout
    assert "CHECK, judged by" in shown
    assert "T4: expected 1, seen 1, not_assessable" in shown
    assert "released by Bob" in shown and "counted" in shown
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    entries = list(Journal(ledger).read(kind="consignment.released"))
    assert [(entry.subject, entry.by, entry.body["decision"]) for entry in entries] == [
        ("C-1", "Ann", RELEASE),
        ("C-2", "Ann", HOLD),
        ("C-3", "Bob", CHECK),
    ]
    judged = Consignments(ledger).read("C-2").judged
    assert (entries[1].body["judged"], entries[1].body["judged_hash"]) == (judged.seq, judged.hash)
    ledger.close()


def test_a_judgement_after_a_release_counts_anew(ledger_url: str, opened: Opener) -> None:
    kept = Consignments(opened(ledger_url))
    kept.judge("C", {"decision": RELEASE}, by="ann")
    kept.release("C", by="ann")
    kept.judge("C", {"decision": HOLD}, by="ann")
    assert kept.read("C").released is None
    with pytest.raises(GateFailed):
        kept.release("C", by="ann", reason="it was fine before")
    assert [entry.body["decision"] for entry in kept.judgements()] == [RELEASE, HOLD]


def test_a_release_names_the_judgement_that_was_seen(
    tmp_path: Path, counts: Path, run: Run, places: dict[str, str]
) -> None:
    file = a_file(tmp_path, "C-1,T1,E,1,")
    judged = lines_of(run(file, "--estimates", counts, "--out", tmp_path / "out", "--json"))[0]["entry_hash"]
    assert str(judged) in run("show", "C-1").stdout
    (again,) = lines_of(run(file, "--estimates", counts, "--out", tmp_path / "out", "--json"))
    refused = run("release", "C-1", "--by", "Ann", "--judged", judged)
    assert isinstance(refused.exception, ChangedMeanwhile)
    assert f"was judged again, RELEASE by {again_by(places)}" in str(refused.exception)
    assert run("release", "C-1", "--by", "Ann", "--judged", again["entry_hash"]).exit_code == 0


def again_by(places: dict[str, str]) -> str:
    """Who judged last."""
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    by = Consignments(ledger).read("C-1").judged.by
    ledger.close()
    return by


def test_consignments_are_listed_by_what_is_to_be_done(ledger_url: str, opened: Opener) -> None:
    kept = Consignments(opened(ledger_url))
    for name, decision in (("A", HOLD), ("B", RELEASE), ("C", CHECK), ("D", HOLD), ("B%", RELEASE), ("E", HOLD)):
        kept.judge(name, {"decision": decision, "problems": ['"decision":"HOLD"']}, by="ann")
    kept.release("A", by="ann", reason="counted", override=True)
    kept.release("B", by="ann")
    kept.judge("B", {"decision": RELEASE}, by="ann")
    whole = kept.find()
    assert [one.judged.subject for one in whole] == ["E", "D", "B", "B%", "C", "A"]
    assert [one.released is not None for one in whole] == [False] * 5 + [True]
    paged = [kept.find(after=before.place, most=1)[0].judged.subject for before in whole[:-1]]
    assert paged == ["D", "B", "B%", "C", "A"]
    assert kept.find(after=whole[-1].place) == []
    assert [one.judged.subject for one in kept.find(beginning="B")] == ["B", "B%"]
    assert [one.judged.subject for one in kept.find(beginning="B%")] == ["B%"]


def test_of_two_who_release_at_once_one_does(ledger_url: str, opened: Opener) -> None:
    ledger = opened(ledger_url)
    kept, results = Consignments(ledger), list[str]()
    kept.judge("C", {"decision": RELEASE}, by="ann")

    def release(name: str) -> None:
        try:
            kept.release("C", by=name)
            results.append("released")
        except ChangedMeanwhile:
            results.append("too late")

    threads = [threading.Thread(target=release, args=(name,)) for name in "abcd"]
    with ledger.writing() as connection:
        hold_end(connection)  # so that all of them are under way before the first can write
        for thread in threads:
            thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert sorted(results) == ["released", *["too late"] * 3]


def test_no_cell_of_what_goes_out_is_a_formula(tmp_path: Path, counts: Path, run: Run) -> None:
    run(a_file(tmp_path, "=C(),=T(),E,1,"), "--estimates", counts, "--out", tmp_path / "out")
    for name in ("consignments.csv", "totes.csv", "decisions.csv"):
        with (tmp_path / "out" / name).open(newline="") as file:
            assert not any(cell.startswith("=") for row in csv.reader(file) for cell in row), name
