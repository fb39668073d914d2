"""The bench of audits: records are wrong as they are said to be, and its figures come out where they are known."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from bench import audit as bench
from bench.audit_photos import Known, known_photos
from bench.audit_scores import HALVING, compare_scores, lift, p_wrong, posterior, units_off
from bench.audit_worlds import corrupted, swapped
from bench.item_sizes import Sizes, volumes

from binsight.audit.plan import Labour
from binsight.decision.belief import RecordErrors, believe
from binsight.decision.certificate import Band
from binsight.decision.certify import certify
from binsight.records import CountEstimate

FLAT = Labour(count=45, item=0, aisle=0)
COUNTS = np.random.default_rng(1).integers(0, 12, 400)


@pytest.mark.parametrize(("world", "off"), [("±1", 1), ("±2", 2)])
def test_one_record_in_twenty_is_so_many_units_off(world: str, off: int) -> None:
    recorded = corrupted(COUNTS, world, np.random.default_rng(0))
    assert sorted(set((recorded - COUNTS).tolist())) == [-off, 0, off]
    assert (recorded != COUNTS).sum() == 20
    assert recorded.min() >= 0


def test_swapped_neighbours_have_each_others_record_and_all_units_are_still_there() -> None:
    recorded = corrupted(COUNTS, "swaps", np.random.default_rng(0))
    firsts = swapped(COUNTS, 10, np.random.default_rng(0))
    assert (recorded != COUNTS).sum() == 20
    assert sorted([*firsts, *(i + 1 for i in firsts)]) == np.flatnonzero(recorded != COUNTS).tolist()
    crowded = swapped(np.arange(21), 10, np.random.default_rng(0))
    assert all(later - one > 1 for one, later in zip(sorted(crowded), sorted(crowded)[1:], strict=False))
    assert all((recorded[i], recorded[i + 1]) == (COUNTS[i + 1], COUNTS[i]) for i in firsts)


def estimates(sure: float, counts: np.ndarray = COUNTS) -> np.ndarray:
    """Photos that show the count with this probability, and any other with what is left."""
    probs = np.full((len(counts), 21), (1 - sure) / 20)
    probs[np.arange(len(counts)), counts] = sure
    return probs


def test_the_belief_is_that_of_the_package() -> None:
    probs = np.random.default_rng(3).dirichlet(np.ones(21), size=50)
    recorded = np.random.default_rng(4).integers(0, 30, 50)
    for law in (RecordErrors(), HALVING):
        believed = [believe(p, q, law) for p, q in zip(probs.tolist(), recorded.tolist(), strict=True)]
        assert units_off(law)(probs, recorded) == pytest.approx([b.units_off for b in believed])
        assert p_wrong(law)(probs, recorded) == pytest.approx([1 - b.p_right for b in believed])
    assert posterior(probs, recorded, HALVING).sum(axis=1) == pytest.approx(1)


def test_a_perfect_counter_finds_all_in_the_first_tenth_and_one_that_sees_nothing_a_tenth() -> None:
    even, world = np.ones(len(COUNTS)), {1: 1.0}
    assert lift(None, estimates(0.9), COUNTS, even, world, FLAT, 0.1) == pytest.approx(10)
    assert lift(units_off(HALVING), estimates(0.99), COUNTS, even, world, FLAT, 0.1) == pytest.approx(10)
    blind = lift(lambda probs, recorded: np.ones(len(recorded)), estimates(0.9), COUNTS, even, world, FLAT, 0.1)
    assert blind == pytest.approx(1), "what ranks alike is taken together"
    cheap_first = lift(
        lambda probs, recorded: np.ones(len(recorded)), estimates(0.9), COUNTS, even, world, Labour(), 0.1
    )
    assert cheap_first > 1.3, "as many errors in bins that take less time"


def known(sure: float) -> list[Known]:
    return [
        Known(photo=str(i), count=c, chain=str(i), estimate=CountEstimate(photo=str(i), probs=tuple(p)))
        for i, (c, p) in enumerate(zip(COUNTS.tolist(), estimates(sure).tolist(), strict=True))
    ]


@pytest.fixture(scope="module")
def auditor() -> bench.Auditor:
    """Of a counter that is nearly always right, with a certificate from as many photos."""
    certificate = certify(
        estimates(0.97), COUNTS, [str(i) for i in range(400)], np.full(21, 1 / 21), bands=[Band(0, 5), Band(6, 19)]
    )
    return bench.Auditor(known(0.97), certificate, HALVING, FLAT)  # swaps are of any size


def test_an_audit_by_a_counter_that_is_right_finds_every_error_and_verifies_none(auditor: bench.Auditor) -> None:
    figures = bench.simulate(auditor, COUNTS, "±1", 5)["figures"]
    assert figures["recall of suspects"] == figures["precision of suspects"] == [1, 1, 1]
    assert figures["verified"][0] == pytest.approx(0.95, abs=0.001)
    assert figures["verified, of wrong"][0] == figures["wrong, of verified"][0] == 0
    assert figures["lift, ours"][0] == pytest.approx(10)
    assert figures["units per 100 counts, suspects"][0] == 100
    assert figures["units per 100 counts, random"][0] == pytest.approx(5)


def test_every_swap_between_neighbours_is_found_where_the_counter_is_right(auditor: bench.Auditor) -> None:
    figures = bench.simulate(auditor, COUNTS, "swaps", 5)["figures"]
    assert figures["misplaced, pairs"][0] >= 10
    assert figures["misplaced, rightly found"] == figures["misplaced, found"]
    assert figures["misplaced, found"][0] >= 9, "one whose neighbour is in another pair may be missed"


def test_how_often_a_bound_is_exceeded_by_chance_is_that_of_the_binomial() -> None:
    """Of 10 wrong records one verified is already above 5%; of 20 two are."""
    audits = [{"0-5": (10, 1)}, {"0-5": (10, 0), "6-19": (20, 1)}]
    found = bench.exceedances(audits, {"0-5": 0.02})
    assert found["0-5"]["exceed"] == 1
    assert found["0-5"]["by chance at alpha"] == pytest.approx(2 * (1 - 0.95**10))
    assert found["0-5"]["by chance at its rate"] == pytest.approx(2 * (1 - 0.98**10))
    assert found["6-19"]["exceed"] == 0
    assert found["6-19"]["by chance at alpha"] == pytest.approx(1 - 0.95**20 - 20 * 0.05 * 0.95**19)
    assert found["all"]["wrong"] == 40
    assert found["all"]["exceed"] == 1


def test_photos_are_counted_once_and_in_walking_order(
    tmp_path: Path, abid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, *rows = (abid / "labels.csv").read_text().splitlines()
    some = [row for row in rows if ",val," in row and ",complete," in row][:3]
    (tmp_path / "labels.csv").write_text("\n".join([header, *reversed(some)]))
    (tmp_path / "bin-images").symlink_to(abid.resolve() / "bin-images")
    cache = tmp_path / "cache" / "estimates.json"
    first = known_photos(tmp_path / "labels.csv", "val", "complete", cache)
    assert [photo.photo for photo in first] == [row.split(",")[0] for row in some]
    assert len(json.loads(cache.read_text())) == 3
    assert known_photos(tmp_path / "labels.csv", "test", "complete", cache) == []
    monkeypatch.setattr("binsight.counting.Counter.see", None)  # nothing is counted again
    assert known_photos(tmp_path / "labels.csv", "val", "complete", cache) == first


def test_scores_are_printed_with_their_intervals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.audit_scores.NUM_DRAWS", 3)
    monkeypatch.setattr("bench.audit_scores.NUM_CALIBRATED", 2)
    compare_scores(known(0.5)[:50], FLAT, 0.1, as_json=True)
    rows = {row["score"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["perfect"]["±1"] == pytest.approx([10, 10, 10])
    assert rows["unseen: seconds alone"]["±2"][0] == pytest.approx(1)
    assert "calibrated, units off, ratio 0.5" in rows


def test_an_estimate_that_knows_the_size_of_items_leans_to_counts_that_such_bins_hold() -> None:
    sizes = Sizes([(1.0, 6)] * 300 + [(5.0, 2)] * 300)  # many small items, or few large ones
    photo = Known(photo="a", count=6, chain="a", estimate=CountEstimate(photo="a", probs=(1 / 21,) * 21))
    small, large = (np.array(sizes.joined(photo, volume, 1.0).estimate.probs) for volume in (1.0, 5.0))
    assert (small.argmax(), large.argmax()) == (6, 2)
    assert small.sum() == pytest.approx(1)
    assert small[0] == pytest.approx(large[0], rel=0.2), "an empty bin has no items to have a size"
    assert sizes.joined(photo, None, 1.0) is photo
    assert np.allclose(sizes.joined(photo, 1.0, 0.0).estimate.probs, photo.estimate.probs)


def test_the_size_of_items_is_read_without_how_many_there_are(tmp_path: Path) -> None:
    def item(quantity: int, *sides: float) -> dict[str, object]:
        named = zip(("length", "width", "height"), sides, strict=True)
        return {"quantity": quantity, **{name: {"unit": "IN", "value": side} for name, side in named}}

    records = {
        "00001": {"a": item(9, 1, 2, 4), "b": item(1, 2, 2, 8)},
        "00002": {"a": item(1, 1, 2, 4), "b": item(9, 2, 2, 8), "c": {"quantity": 3, "length": None}},
        "00003": {"a": item(1, 0, 2, 4)},
    }
    with tarfile.open(tmp_path / "metadata.tar.gz", "w:gz") as tar:
        for name, items in records.items():
            data = json.dumps({"BIN_FCSKU_DATA": items}).encode()
            member = tarfile.TarInfo(f"metadata/{name}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    found = volumes(tmp_path / "metadata.tar.gz")
    assert found == {name: pytest.approx(np.log([8, 32]).mean()) for name in ("00001", "00002")}
