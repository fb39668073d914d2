"""A certificate from bins that people counted, and the audits that it is in force for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from binsight.cli import cli
from binsight.decision.certificate import read_certificate
from binsight.errors import BadInput, GateFailed

Run = Callable[..., Result]


@pytest.fixture
def run(places: dict[str, str], tmp_path: Path) -> Run:
    def run_it(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["audit", *map(str, arguments)])

    return run_it


def a_world(folder: Path, num_bins: int, *, sure: float = 0.97) -> tuple[Path, Path]:
    """Counts of bins, and estimates that are right with probability `sure`, and say so; one off else."""
    rng = np.random.default_rng(num_bins)
    counts, estimates = folder / "counts.csv", folder / "estimates.jsonl"
    rows, lines = ["bin_id,counted_qty"], []
    for number in range(num_bins):
        count = int(rng.integers(1, 5))
        seen = count if rng.random() < sure else count + int(rng.choice([-1, 1]))
        probs = np.full(21, 0.0005)
        probs[[seen - 1, seen + 1]] = (1 - sure) / 2
        probs[seen] = 1 - (probs.sum() - probs[seen])
        rows.append(f"B{number:04},{count}")
        lines.append(json.dumps({"photo": f"B{number:04}.jpg", "probs": probs.tolist()}))
    counts.write_text("\n".join(rows) + "\n")
    estimates.write_text("\n".join(lines) + "\n")
    return counts, estimates


def test_what_was_certified_is_verified_and_nothing_else(tmp_path: Path, run: Run) -> None:
    counts, estimates = a_world(tmp_path, 600)
    file = tmp_path / "certificate.json"
    made = run("certify", counts, "--estimates", estimates, "--out", file, "--json")
    assert made.exit_code == 0, made.output
    certificate = read_certificate(file.read_bytes(), name="it")
    assert (certificate.num_photos, certificate.num_groups, certificate.split) == (600, 600, "counted")
    assert certificate.model.startswith("default:")
    assert certificate.made_at
    bands = {(band.name, band.alpha): band for band in certificate.bands}
    assert bands["3-5", 0.05].coverage > 0.9, "photos that are nearly always right verify nearly every right record"
    assert bands["6-19", 0.05].reason is not None, "no bin held so many"
    records = tmp_path / "records.csv"
    records.write_text(counts.read_text().replace("counted_qty", "expected_qty"))
    own = run(records, "--estimates", estimates, "--certificate", file, "--out", tmp_path / "a", "--json")
    verified = [json.loads(line) for line in own.stdout.splitlines()]
    right = [line for line in verified if line["verdict"] == "verified"]
    assert len(right) > 500
    for line in right:
        band = min(
            (b for b in certificate.bands if b.low <= line["expected"] <= b.high and b.alpha == 0.05),
            key=lambda b: b.high - b.low,
        )
        assert band.threshold is not None
        assert line["p_record"] >= band.threshold


def test_with_too_few_bins_it_says_how_many_would_do_and_fails(tmp_path: Path, run: Run) -> None:
    counts, estimates = a_world(tmp_path, 40)
    made = run("certify", counts, "--estimates", estimates, "--out", tmp_path / "certificate.json")
    assert isinstance(made.exception, GateFailed)
    assert "needs at least 59 wrong-record cases" in made.stdout
    assert read_certificate((tmp_path / "certificate.json").read_bytes(), name="it").verifying == ()


def test_a_count_that_cannot_be_read_certifies_nothing(tmp_path: Path, run: Run) -> None:
    counts, estimates = a_world(tmp_path, 100)
    counts.write_text(counts.read_text() + "B9999,-1\n")
    made = run("certify", counts, "--estimates", estimates, "--out", tmp_path / "certificate.json")
    assert isinstance(made.exception, BadInput)
    assert "row 102" in str(made.exception)
    assert not (tmp_path / "certificate.json").exists()


def test_bins_without_photos_are_left_out_and_none_at_all_is_an_error(tmp_path: Path, run: Run) -> None:
    counts, estimates = a_world(tmp_path, 300)
    lines = estimates.read_text().splitlines()
    estimates.write_text("\n".join(lines[:290]) + "\n")
    made = run("certify", counts, "--estimates", estimates, "--out", tmp_path / "certificate.json")
    assert "from 290 bins; 10 could not be used" in made.stdout
    estimates.write_text(lines[0].replace("B0000", "other") + "\n")
    none = run("certify", counts, "--estimates", estimates, "--out", tmp_path / "none.json")
    assert isinstance(none.exception, BadInput)
    assert "none of them was found" in str(none.exception)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "default:ffffffffffff"}, "is for default:ffffffffffff, not for default:"),
        ({"num_counts": 11}, "11 counts"),
    ],
)
def test_a_certificate_of_another_model_is_not_in_force(
    tmp_path: Path, run: Run, changed: dict[str, object], says: str
) -> None:
    counts, estimates = a_world(tmp_path, 300)
    file = tmp_path / "certificate.json"
    run("certify", counts, "--estimates", estimates, "--out", file)
    other = json.loads(file.read_text()) | {"model": ""} | changed
    other["bands"] = [band for band in other["bands"] if band["high"] < 9]
    file.write_text(json.dumps(other))
    records = tmp_path / "records.csv"
    records.write_text("bin_id,expected_qty\nB0000,1\n")
    result = run(records, "--estimates", estimates, "--certificate", file, "--out", tmp_path / "out")
    assert isinstance(result.exception, BadInput)
    assert says in str(result.exception)
