"""A backtest from files to a folder: last month's records, photos and counts.

```
COUNTS ─▶ by bin ─┐
RECORDS, PHOTOS ─▶ verdicts, as an audit gives them ─▶ bins with both ─▶ backtest ─▶ page, CSVs, backtest.json
```
The ledger is neither asked nor told: this is what would have been.
"""

import csv
import json
from collections import Counter as Tallied
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from binsight.audit.backtest import Backtest, KnownBin, backtest
from binsight.audit.backtest_report import backtest_page
from binsight.audit.certifying import certificate_in_force, counts_as_records
from binsight.audit.command import judging_of
from binsight.audit.intake import read_records
from binsight.audit.lines import STALE, AuditLine, Judging
from binsight.audit.mapping import load_mapping
from binsight.audit.matching import Photos
from binsight.audit.measures import Measure
from binsight.audit.opening import Terms, opened_lines
from binsight.audit.places import place_of
from binsight.audit.plan import USUAL_LABOUR, BinName
from binsight.counting import Counter, default_bundle
from binsight.counting.bundle import file_digest
from binsight.decision.decide import band_for
from binsight.errors import BadInput, MissingObject
from binsight.progress import progress_bar
from binsight.storage.files import make_folder, written_whole

SAME_COUNTS = "the certificate was made from these very counts, so that it is no test of it; keep some bins apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A backtest, and what of the files could not be used."""

    found: Backtest
    num_problems: int
    num_without_record: int
    num_stale: int


def run_backtest(
    records: Path, photos: Photos, counts: Path, terms: Terms, out: Path, *, chains: Path | None = None
) -> Tested:
    """Audit the records as they were, compare with the counts, and write `out`.

    Raises as `run_audit`, and `BadInput` where no bin was counted.
    """
    counter = Counter.load(terms.model or default_bundle())
    in_force = certificate_in_force(counter, terms.certificate)
    judging, mapping = judging_of(in_force, terms), load_mapping(terms.mapping)
    chain_of = {} if chains is None else _read_chains(chains)
    with read_records(counts, counts_as_records(mapping)) as read:
        counted: dict[BinName, int] = {(one.site or "", one.bin_id): one.expected for one in read}
        num_problems = len(read.problems)
    if not counted:
        raise BadInput(
            f"{counts} must have a count at least, but none of its rows could be used; check its columns"
        )
    num_counted = len(counted)
    make_folder(out)
    with opened_lines(records, mapping, photos, terms, counter, judging) as opened, progress_bar("records") as bar:
        lines = bar.track(opened.lines, total=len(opened.records), description="backtest")
        bins, verdicts, num_stale = _known(lines, counted, judging, chain_of)
        num_problems += len(opened.records.problems)
    if not bins:
        raise BadInput(
            f"none of the {num_counted:,} bins in {counts} has a record that can be judged; check their names"
        )
    found = backtest(
        bins,
        verdicts,
        alpha=terms.alpha,
        labour=USUAL_LABOUR,
        budget=None if terms.budget_minutes is None else 60 * terms.budget_minutes,
        error_rate=terms.error_rate,
    )
    notes = [SAME_COUNTS] if in_force and in_force.certificate.dataset_sha256 == file_digest(counts) else []
    tested = Tested(found=found, num_problems=num_problems, num_without_record=len(counted), num_stale=num_stale)
    backtest_page(found, bins, model=counter.bundle.name, notes=[*notes, *found.notes]).write(out)
    with written_whole(out / "backtest.json") as part:
        part.write_text(json.dumps(as_json(tested), indent=1) + "\n", encoding="utf-8")
    return tested


def _known(
    lines: Iterable[AuditLine], counted: dict[BinName, int], by: Judging, chain_of: dict[str, str]
) -> tuple[list[KnownBin], Tallied[str], int]:
    """The bins with record and count; what is taken from `counted` leaves those that have no record."""
    bins, verdicts, num_stale = [], Tallied[str](), 0
    for line in lines:
        record = line.record
        verdicts[line.word] += 1
        number = counted.pop((record.site or "", record.bin_id), None)
        if number is None:
            continue
        if line.word == STALE:  # a movement lies between: count and record may both be right
            num_stale += 1
            continue
        band = band_for(by.certificate, record.expected, by.alpha) if by.certificate else None
        bins.append(
            KnownBin(
                site=record.site or "",
                bin_id=record.bin_id,
                place=place_of(record),
                expected=record.expected,
                counted=number,
                verdict=line.word,
                band=band.name if band is not None and band.threshold is not None else "",
                gain=line.units_off,
                item_class=record.item_class,
                unit_value=record.unit_value,
                chain=chain_of.get(record.bin_id),
            )
        )
    return bins, verdicts, num_stale


def _read_chains(path: Path) -> dict[str, str]:
    """Which bins are alike: the columns `bin_id` and `chain`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["bin_id"]: row["chain"] for row in csv.DictReader(file)}
    except KeyError as error:
        raise BadInput(f"{path} must have the columns bin_id and chain, but has no {error}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} must be a CSV in UTF-8, but is not; save it as one") from None
    except OSError as error:
        raise MissingObject(f"{path} cannot be read ({error.strerror}); check the path") from None


def as_json(tested: Tested) -> dict[str, Any]:
    """All figures, for scripts."""
    found = tested.found
    return {
        "num_records": found.num_records,
        "num_counted": found.num_counted,
        "num_without_record": tested.num_without_record,
        "num_stale_counted": tested.num_stale,
        "num_problems": tested.num_problems,
        "num_verified_counted": found.num_verified,
        "units_wrong": found.units,
        "units_missed": found.missed,
        "coverage": [asdict(one) for one in found.coverage],
        "measures": [
            _measure(one) for one in (*found.accuracy, found.wrong_of_verified, found.precision, found.recall)
        ],
        "bands": [
            {
                "band": one.band,
                "records": one.num,
                "wrong": one.num_wrong,
                "verified": one.verified,
                "verified_wrong": one.verified_wrong,
                "units_missed": one.units_missed,
                "claimed": one.claimed,
                "verified_of_one_off": _measure(one.verified_of_one_off),
                "wrong_of_verified": _measure(one.wrong_of_verified),
                "allowed_wrong_of_verified": one.allowed,
                "agrees": one.agrees,
            }
            for one in found.bands
        ],
        "efforts": [
            {name: value for name, value in asdict(one).items() if name != "curve"} for one in found.efforts
        ],
        "notes": list(found.notes),
    }


def _measure(one: Measure) -> dict[str, Any]:
    interval = one.interval
    return {
        "name": one.name,
        "value": one.value,
        "n": one.n,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }
