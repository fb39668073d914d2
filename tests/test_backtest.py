"""What auditing would have been worth, where it is known what bins held."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.test_audit_certify import a_world

from binsight.audit.backtest import Backtest, KnownBin, backtest
from binsight.audit.backtest_labour import ALL, NOT_VERIFIED
from binsight.audit.effort import Curve
from binsight.audit.plan import ABC, OURS, RANDOM, Labour
from binsight.cli import cli
from binsight.decision.resample import figure_interval
from binsight.errors import BadInput, MissingObject

FLAT = Labour(count=10, item=0, aisle=0)


def a_bin(number: int, verdict: str, off: int = 0, **values: object) -> KnownBin:
    fields = {
        "site": "",
        "bin_id": f"B{number:03}",
        "place": ("", "all"),
        "expected": 5,
        "counted": 5 + off,
        "verdict": verdict,
        "band": "3-5",
        "gain": float(off),
        "item_class": None,
        "unit_value": None,
        "chain": None,
    }
    return KnownBin(**(fields | values))  # type: ignore[arg-type]


def outcome(
    bins: list[KnownBin], *, budget: float | None = None, uncounted: dict[str, int] | None = None
) -> Backtest:
    verdicts = Counter(one.verdict for one in bins) + Counter(uncounted or {})
    return backtest(bins, verdicts, alpha=0.05, labour=FLAT, budget=budget, error_rate=0.05)


SOME = [
    *(a_bin(number, "verified") for number in range(18)),
    a_bin(18, "verified", 1),
    a_bin(19, "verified", 3),
    *(a_bin(number, "suspect", 2) for number in range(20, 26)),
    *(a_bin(number, "suspect") for number in range(26, 30)),
    *(a_bin(number, "not_assessable") for number in range(30, 98)),
    *(a_bin(number, "not_assessable", 1) for number in range(98, 100)),
]


def test_what_would_have_been_verified_and_missed_is_counted() -> None:
    found = outcome(SOME)
    assert (found.num_counted, found.num_verified, found.missed, found.units) == (100, 20, 4, 18)
    assert (found.wrong_of_verified.value, found.wrong_of_verified.n) == (0.1, 20)
    assert (found.precision.value, found.precision.n) == (0.6, 10)
    assert (found.recall.value, found.recall.n) == (0.6, 10)
    (band,) = found.bands
    assert (band.num, band.num_wrong, band.verified, band.verified_wrong, band.units_missed) == (100, 10, 20, 2, 4)
    assert (band.verified_of_one_off.value, band.verified_of_one_off.n) == (pytest.approx(1 / 3), 3)
    assert band.allowed == pytest.approx(0.05 * 0.1 * 100 / 20)
    accuracy = {one.name: one.value for one in found.accuracy}
    assert accuracy["IRA by bins, exact"] == 0.9


def test_every_way_to_choose_takes_the_same_labour_and_finds_what_is_there() -> None:
    found = {one.order: one for one in outcome(SOME, budget=60).efforts}
    assert list(found) == [OURS, RANDOM, ABC, NOT_VERIFIED, ALL]
    assert (found[OURS].num_counts, found[OURS].seconds, found[OURS].units, found[OURS].per_100) == (6, 60, 12, 200)
    assert (found[RANDOM].num_counts, found[RANDOM].units) == (pytest.approx(6), pytest.approx(18 * 0.06))
    assert found[RANDOM].lift == pytest.approx(12 / 1.08)
    assert found[RANDOM].saved == pytest.approx(1000 * 12 / 18 - 60)
    assert (found[ABC].num_counts, found[ABC].units) == (6, 0), "bins that hold the same stay in their order"
    assert found[ABC].saved == pytest.approx(240 - 60), "the twelfth unit is in the 24th bin"
    assert (found[NOT_VERIFIED].seconds, found[NOT_VERIFIED].units, found[NOT_VERIFIED].saved) == (800, 14, 200)
    assert (found[ALL].units, found[ALL].share_of_units, found[ALL].saved) == (18, 1, 940)
    for one in (found[RANDOM].lift_interval, found[RANDOM].saved_interval, found[RANDOM].per_100_interval):
        assert one is not None
        assert one.low < one.high


def test_without_a_budget_it_is_a_tenth_of_all_labour() -> None:
    assert outcome(SOME).efforts[0].seconds == pytest.approx(80), (
        "of a hundred seconds, what there is to gain by: eight bins"
    )
    assert outcome(SOME).efforts[1].seconds == pytest.approx(80)


def test_the_lift_has_an_interval_that_covers_it() -> None:
    rng = np.random.default_rng(5)
    covered, runs = 0, 30
    true = 0.3 / (0.1 * 0.3 + 0.9 * 0.05)  # a tenth is marked; of these 30% are one off, of others 5%
    for _ in range(runs):
        marked = rng.random(400) < 0.1
        off = rng.random(400) < np.where(marked, 0.3, 0.05)
        bins = [
            a_bin(i, "not_assessable", int(o), gain=float(m))
            for i, (m, o) in enumerate(zip(marked, off, strict=True))
        ]
        interval = outcome(bins, budget=10.0 * marked.sum()).efforts[1].lift_interval
        assert interval is not None
        covered += interval.low <= true <= interval.high
    assert covered >= 0.8 * runs


def test_a_claim_is_contradicted_only_where_the_whole_interval_lies_above_it() -> None:
    good = [a_bin(number, "not_assessable", 1) for number in range(30)] + [a_bin(30, "verified", 1)]
    assert outcome(good).bands[0].agrees
    bad = [a_bin(number, "verified", 1) for number in range(12)] + [
        a_bin(number, "suspect", 1) for number in range(12, 31)
    ]
    assert outcome(bad).bands[0].agrees is False
    assert outcome([a_bin(0, "verified")]).bands[0].agrees is None, "no record was one off"
    alike = [one._replace(chain=f"c{number // 10}") for number, one in enumerate(bad)]
    assert outcome(alike).bands[0].agrees is None, "bins of four chains are too few to say"


def test_counts_of_a_part_are_said_to_be_of_a_part() -> None:
    assert outcome(SOME).notes == ()
    part = " ".join(outcome(SOME, uncounted={"verified": 50, "not_assessable": 800}).notes)
    assert "100 of 950 records were counted" in part
    assert "recall of suspects is too high" in part
    only = [one for one in SOME if one.verdict == "suspect"]
    said = " ".join(outcome(only, uncounted={"verified": 5}).notes)
    assert "no verified bin was counted" in said
    assert "60.0% of the counted records are wrong, where the audit took 5.0% for granted" in said


def test_nothing_counted_gives_no_figure() -> None:
    found = outcome([], uncounted={"verified": 5})
    assert (found.wrong_of_verified.value, found.efforts, found.bands) == (None, (), ())


def test_a_curve_says_when_so_much_was_gained() -> None:
    curve = Curve((0, 10, 20, 30), (0, 0, 4, 4))
    assert [curve.when(gain) for gain in (0, 1, 4, 5)] == [0, 12.5, 20, None]


def test_a_figure_of_sums_is_resampled_by_chain() -> None:
    rng = np.random.default_rng(6)
    columns = np.stack([rng.random(200), np.ones(200)], axis=1)
    groups = [f"g{i // 10}" for i in range(200)]
    mean = figure_interval(columns, groups, lambda totals: totals[:, 0] / totals[:, 1])
    assert mean is not None
    assert mean.low < columns[:, 0].mean() < mean.high
    assert figure_interval(columns[:50], groups[:50], lambda totals: totals[:, 0]) is None, (
        "five chains are too few"
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counts of 400 bins, their estimates, and records of which every tenth is one too many."""
    folder = tmp_path_factory.mktemp("world")
    counts, _ = a_world(folder, 400)
    header, *rows = counts.read_text().splitlines()
    pairs = [row.split(",") for row in rows]
    wrong = [f"{name},{int(number) + (i % 10 == 0)}" for i, (name, number) in enumerate(pairs)]
    (folder / "records.csv").write_text("\n".join([header.replace("counted", "expected"), *wrong]) + "\n")
    return folder


def run(world: Path, counts: Path, out: Path, *more: object) -> Result:
    given = (world / "records.csv", counts, "--estimates", world / "estimates.jsonl", "--out", out, *more)
    return CliRunner().invoke(cli, ["audit", "backtest", *map(str, given)])


def test_from_files_to_the_folder(tmp_path: Path, world: Path, places: dict[str, str]) -> None:
    out = tmp_path / "out"
    result = run(world, world / "counts.csv", out, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["num_records"], found["num_counted"], found["units_wrong"]) == (400, 400, 40)
    assert json.loads((out / "backtest.json").read_text()) == found
    with (out / "bins.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    verified = [row for row in rows if row["verdict"] == "verified"]
    missed = sum(abs(int(row["expected"]) - int(row["counted"])) for row in verified)
    assert (found["num_verified_counted"], found["units_missed"]) == (len(verified), missed)
    assert "What auditing would have been worth" in (out / "index.html").read_text()
    assert not Path(places["BINSIGHT_LEDGER"].removeprefix("sqlite:///")).exists(), "the ledger is not asked"


def test_bins_that_do_not_fit_are_named_and_the_rest_is_done(
    tmp_path: Path, world: Path, places: dict[str, str]
) -> None:
    counts = tmp_path / "counts.csv"
    counts.write_text("".join((world / "counts.csv").read_text().splitlines(keepends=True)[:200]) + "X,1\nY,-1\n")
    result = run(world, counts, tmp_path / "out", "--budget", "30")
    assert result.exit_code == 1
    assert "error: 1 problems with rows, and 1 counted bins without a record" in result.stderr
    assert "199 of 400 records were counted" in result.stdout
    counts.write_text("bin_id,counted_qty\nX,1\n")
    assert isinstance(run(world, counts, tmp_path / "none").exception, BadInput)


def test_bins_that_moved_between_record_and_photo_are_left_out(
    tmp_path: Path, world: Path, places: dict[str, str]
) -> None:
    records, moved = tmp_path / "records.csv", tmp_path / "moved.csv"
    header, *rows = (world / "records.csv").read_text().splitlines()
    dated = [f"{row},2026-11-01 08:00,2026-11-01 12:00" for row in rows]
    records.write_text("\n".join([f"{header},record_as_of,photo_taken_at", *dated]) + "\n")
    moved.write_text("bin_id,moved_at\nB0000,2026-11-01 10:00\nB0001,2026-11-01 13:00\n")
    given = (records, world / "counts.csv", "--estimates", world / "estimates.jsonl", "--movements", moved)
    result = CliRunner().invoke(
        cli, ["audit", "backtest", *map(str, given), "--out", str(tmp_path / "out"), "--json"]
    )
    found = json.loads(result.stdout)
    assert (found["num_counted"], found["num_stale_counted"], found["units_wrong"]) == (399, 1, 39)


def test_a_certificate_from_the_same_counts_is_said_to_be_no_test(
    tmp_path: Path, world: Path, places: dict[str, str]
) -> None:
    file = tmp_path / "certificate.json"
    made = ("audit", "certify", world / "counts.csv", "--estimates", world / "estimates.jsonl", "--out", file)
    assert CliRunner().invoke(cli, [*map(str, made)]).exit_code == 0
    run(world, world / "counts.csv", tmp_path / "out", "--certificate", file)
    assert "made from these very counts" in (tmp_path / "out" / "index.html").read_text()


def test_chains_are_read_from_their_file(tmp_path: Path, world: Path, places: dict[str, str]) -> None:
    chains = tmp_path / "chains.csv"
    chains.write_text("bin_id,chain\n" + "".join(f"B{number:04},c{number // 50}\n" for number in range(400)))
    found = json.loads(run(world, world / "counts.csv", tmp_path / "out", "--chains", chains, "--json").stdout)
    by_name = {one["name"]: one for one in found["measures"]}
    assert by_name["IRA by bins, exact"]["low"] is None, "eight chains are too few for an interval"
    chains.write_text("bin,chain\nB0000,c\n")
    assert isinstance(run(world, world / "counts.csv", tmp_path / "b", "--chains", chains).exception, BadInput)
    missing = run(world, world / "counts.csv", tmp_path / "c", "--chains", tmp_path / "no.csv")
    assert isinstance(missing.exception, MissingObject)
