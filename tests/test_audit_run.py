"""Records against photos: what is found, what is counted, and what follows."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.audit.estimates import read_estimates
from binsight.audit.lines import BAD_PHOTO, WRONG_BIN, AuditLine, Judging
from binsight.audit.photos import LABEL, PhotoIndex
from binsight.audit.run import TOGETHER, Freshness, audited
from binsight.counting.counter import PhotoBytes
from binsight.errors import BadInput
from binsight.records import CountEstimate, CountFailure, StockRecord

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
BY = Judging(certificate=None)


def sure(photo: str, count: int, *, label: str | None = None) -> CountEstimate:
    probs = [0.001] * 21
    probs[count] = 1 - 0.02
    return CountEstimate(photo=photo, probs=tuple(probs), bin_label=label)


def a_record(bin_id: str, expected: int = 2, **values: object) -> StockRecord:
    return StockRecord(bin_id=bin_id, expected=expected, row=2, **values)  # type: ignore[arg-type]


def never(_photos: Iterable[tuple[str, PhotoBytes]]) -> Iterator[CountEstimate | CountFailure]:
    for name, _ in _photos:
        raise AssertionError(f"{name} was counted already")
    yield from ()


@pytest.fixture
def index() -> Iterator[PhotoIndex]:
    with PhotoIndex.opened() as made:
        yield made


def lines(
    records: Iterable[StockRecord],
    index: PhotoIndex,
    *,
    count: Callable[..., Iterator[object]] = never,
    **values: object,
) -> list[AuditLine]:
    return list(audited(records, index, BY, count=count, read=lambda name: name.encode(), **values))  # type: ignore[arg-type]


def test_every_record_gets_its_line_in_order_and_only_photos_of_records_are_counted(index: PhotoIndex) -> None:
    numbers = range(2 * TOGETHER + 10)
    index.add_names(f"site/bin-{number}.jpg" for number in numbers if number % 3)
    asked = []

    def count(photos: Iterable[tuple[str, PhotoBytes]]) -> Iterator[CountEstimate]:
        for name, photo in photos:
            assert callable(photo)
            assert photo() == name.encode()
            asked.append(name)
            yield sure(name, 2)

    wanted = [number for number in numbers if number % 2]
    found = lines((a_record(f"bin-{number}") for number in wanted), index, count=count)
    assert [line.record.bin_id for line in found] == [f"bin-{number}" for number in wanted]
    assert asked == [f"site/bin-{number}.jpg" for number in wanted if number % 3]
    for number, line in zip(wanted, found, strict=True):
        assert (line.estimate is None) == (number % 3 == 0)
        name = f"site/bin-{number}.jpg"
        assert line.photo_sha256 == (sha256(name.encode()).hexdigest() if number % 3 else None)
    assert len(list(index.unused())) == sum(number % 3 > 0 and number % 2 == 0 for number in numbers)


def test_a_record_is_compared_with_what_its_photo_shows(index: PhotoIndex) -> None:
    index.add_results([sure("a.jpg", 2), sure("b.jpg", 5), CountFailure(photo="c.jpg", error="c.jpg is cut off")])
    right, wrong, broken, missing = lines([a_record(name) for name in "abcd"], index)
    assert (right.word, right.reason) == ("not_assessable", "no certificate is in force for records of 2")
    assert right.p_right > 0.99
    assert wrong.word == "suspect"
    assert wrong.units_off == pytest.approx(3 * (1 - wrong.p_right), abs=0.1)
    assert wrong.p_right < 0.8
    assert (broken.word, broken.reason, broken.p_record) == ("not_assessable", "c.jpg is cut off", None)
    assert (broken.exception, missing.exception) == (BAD_PHOTO, None)
    assert (missing.word, missing.reason) == ("not_assessable", "there is no photo of it")
    assert missing.units_off == broken.units_off > right.units_off, "nothing is known, which is not nothing"
    assert wrong.as_json() == {
        "bin_id": "b",
        "expected": 2,
        "count": 5,
        "p_record": 0.001,
        "verdict": "suspect",
        "reason": wrong.reason,
        "p_right": round(wrong.p_right, 6),
        "units_off": round(wrong.units_off, 4),
        "photo": "b.jpg",
        "exception": None,
        "site": None,
    }


@pytest.mark.parametrize("photo", ["x/one.jpg", "one.jpg", "one"])
def test_a_record_may_name_its_photo_whole_without_folders_or_without_ending(index: PhotoIndex, photo: str) -> None:
    index.add_results([sure("x/one.jpg", 2), sure("x/two.jpg", 2)])
    (line,) = lines([a_record("two", photo=photo)], index)
    assert line.estimate is not None
    assert line.estimate.photo == "x/one.jpg", "and not the one called as the bin is"


def test_photos_that_share_a_name_are_not_guessed_between(index: PhotoIndex) -> None:
    index.add_results([sure("x/one.jpg", 2), sure("y/one.jpg", 2)])
    unsure, exact = lines([a_record("one"), a_record("1", photo="y/one.jpg")], index)
    assert unsure.reason == (
        "several photos are called one: x/one.jpg, y/one.jpg; name one in the record's photo column"
    )
    assert exact.estimate is not None


def test_bins_of_one_name_at_two_sites_have_photos_in_two_folders(index: PhotoIndex) -> None:
    index.add_results([sure("x/north/one.jpg", 2), sure("x/south/one.jpg", 3)])
    north, south, nowhere = lines([a_record("one", site=site) for site in ("north", "south", "east")], index)
    assert north.estimate is not None
    assert south.estimate is not None
    assert (north.estimate.count, south.estimate.count) == (2, 3)
    assert nowhere.reason == "there is no photo of it", "the photos in folders of other sites are not its"


def test_two_bins_that_want_a_photo_both_go_without_and_names_go_first(index: PhotoIndex) -> None:
    index.add_results([sure("x/one.jpg", 2), sure("two.jpg", 2)])
    records = [
        a_record("one"), a_record("thief", photo="x/one.jpg"), a_record("a", photo="two.jpg"), a_record("b", photo="two"),
    ]  # fmt: skip
    index.claim(records)
    one, thief, a, b = lines(records, index)
    assert one.reason == "the photo x/one.jpg is bin thief's already; a photo shows one bin"
    assert thief.estimate is not None, "a record that names its photo goes before one that is called like it"
    assert a.reason == b.reason == "the photo two.jpg is wanted by bins a and b; a photo shows one bin"


def test_the_very_name_goes_before_names_without_folders(index: PhotoIndex) -> None:
    index.add_results([sure("one.jpg", 2), *(sure(f"{folder}/one.jpg", 3) for folder in "abcdef")])
    (line,) = lines([a_record("1", photo="one.jpg")], index)
    assert line.estimate is not None
    assert line.estimate.photo == "one.jpg"


def test_bins_of_one_name_do_not_share_a_photo(index: PhotoIndex) -> None:
    index.add_results([sure("one.jpg", 2)])
    north, south = lines([a_record("one", site=site) for site in ("north", "south")], index)
    assert north.estimate is not None
    assert south.reason == "the photo one.jpg is bin north/one's already; a photo shows one bin"


def test_a_photo_shows_one_bin(index: PhotoIndex) -> None:
    index.add_results([sure("one.jpg", 2)])
    first, second = lines([a_record("one"), a_record("other", photo="one.jpg")], index)
    assert first.estimate is not None
    assert second.reason == "the photo one.jpg is bin one's already; a photo shows one bin"


def test_photos_are_found_by_the_label_in_them(index: PhotoIndex) -> None:
    index.add_results([sure("1.jpg", 2, label="P-1"), sure("2.jpg", 3, label="P-2"), sure("3.jpg", 1)])
    first, second, third = lines([a_record("P-2"), a_record("P-1"), a_record("3")], index, found_by=LABEL)
    assert first.estimate is not None
    assert second.estimate is not None
    assert (first.estimate.photo, second.estimate.photo, third.estimate) == ("2.jpg", "1.jpg", None)


def test_a_photo_of_another_bin_is_an_exception_of_its_own(index: PhotoIndex) -> None:
    index.add_results([sure("A.jpg", 9, label="B"), sure("B.jpg", 2, label="B")])
    wrong, right = lines([a_record("A"), a_record("B")], index, check_labels=True)
    assert (wrong.exception, wrong.word, wrong.reason) == (
        WRONG_BIN,
        "not_assessable",
        "the label in the photo names bin B",
    )
    assert (right.exception, right.p_record) == (None, 0.98)
    (unchecked,) = lines([a_record("A")], index)
    assert unchecked.word == "suspect", "labels need not be bin ids, so that they are compared where asked"


@pytest.mark.parametrize(
    ("hours", "moved", "word"),
    [(1, 0.5, "stale"), (-1, -0.5, "stale"), (1, 1.5, "suspect"), (1, None, "suspect"), (1, -1, "suspect")],
)
def test_a_movement_between_record_and_photo_makes_the_record_stale(
    index: PhotoIndex, hours: float, moved: float | None, word: str
) -> None:
    index.add_results([sure("a.jpg", 5)])

    def movement(record: StockRecord, after: datetime, until: datetime) -> datetime | None:
        assert (record.bin_id, until - after) == ("a", timedelta(hours=abs(hours)))
        at = None if moved is None else NOON + timedelta(hours=moved)
        return at if at is not None and after < at <= until else None

    record = a_record("a", as_of=NOON, photo_taken_at=NOON + timedelta(hours=hours))
    (line,) = lines([record], index, fresh=Freshness(movement=movement, max_gap=timedelta(minutes=1)))
    assert line.word == word
    if word == "stale":
        assert line.p_record is None, "what the photo shows is not of this record"


@given(st.floats(-100, 100), st.floats(0.1, 100))
def test_without_movements_a_record_is_stale_that_lies_too_far_from_its_photo(hours: float, gap: float) -> None:
    fresh = Freshness(max_gap=timedelta(hours=gap))
    record = a_record("a", as_of=NOON, photo_taken_at=NOON + timedelta(hours=hours))
    assert (fresh.stale_because(record) is not None) == (abs(timedelta(hours=hours)) > timedelta(hours=gap))
    assert fresh.stale_because(a_record("a", as_of=NOON)) is None, "nothing is known of its photo's moment"
    assert Freshness().stale_because(record) is None


def test_estimates_are_read_as_count_prints_them(tmp_path: Path, index: PhotoIndex) -> None:
    file = tmp_path / "counts.jsonl"
    good = {
        "photo": "x/a.jpg",
        "count": 1,
        "probs": [0.1, 0.9],
        "interval": [0, 1],
        "bin_label": "L",
        "flags": ["dark"],
    }
    text = "\n".join(map(json.dumps, [good, {"photo": "b.jpg", "error": "cut off"}]))
    file.write_text(text, encoding="utf-8-sig")  # as Windows writes what was redirected
    read = list(read_estimates(file, num_counts=2))
    assert read == [
        CountEstimate(photo="x/a.jpg", probs=(0.1, 0.9), bin_label="L", flags=("dark",)),
        CountFailure(photo="b.jpg", error="cut off"),
    ]
    index.add_results(read)
    assert [(found := index.find(a_record(name))) and found.result for name in "ab"] == read


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"photo": "a"}', '{"photo": "a", "probs": [2, 1]}', '{"photo":"a","probs":"ab"}']
)
def test_a_line_that_is_no_estimate_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "counts.jsonl"
    file.write_text('{"photo": "b.jpg", "error": "cut off"}\n' + line + "\n")
    with pytest.raises(BadInput, match=r"counts\.jsonl, line 2: must be a line of binsight count --json"):
        list(read_estimates(file, num_counts=2))


def test_estimates_of_another_model_are_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "counts.jsonl"
    file.write_text(json.dumps({"photo": "a.jpg", "probs": [0.1, 0.9]}) + "\n")
    with pytest.raises(BadInput, match="line 1: must have 21 probabilities as the model has, but has 2"):
        list(read_estimates(file, num_counts=21))
