"""`binsight count` and the counter behind it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from tests.s3_server import PUBLIC_BUCKET, running_s3_server

from binsight.cli import cli
from binsight.counting import Counter, default_bundle
from binsight.counting.counter import BATCH_SIZE, temper_log_probs
from binsight.errors import MissingObject
from binsight.imaging.drawn import drawn_photo
from binsight.records import CountEstimate, CountFailure

KEYS = ["photo", "count", "probs", "interval", "bin_label", "flags"]


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter.load(default_bundle())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for count in range(4):
        (folder / f"{count}.jpg").write_bytes(drawn_photo(count, seed=count))
    (folder / "notes.txt").write_text("no photo")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "9.JPG").write_bytes(drawn_photo(9, seed=9))
    return folder


def run_count(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["count", *map(str, arguments)])


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_line_has_the_fixed_shape(drawn: Path) -> None:
    result = run_count(drawn / "2.jpg", "--json")
    (line,) = lines(result)
    assert result.exit_code == 0
    assert list(line) == KEYS
    probs = line["probs"]
    assert isinstance(probs, list)
    assert len(probs) == 21
    assert sum(probs) == pytest.approx(1, abs=1e-4)
    assert line["count"] == int(np.argmax(probs))
    assert line["bin_label"] is None


def test_folders_globs_and_files_name_photos_in_order(drawn: Path) -> None:
    found = [line["photo"] for line in lines(run_count(drawn, f"{drawn}/[01].jpg", drawn / "3.jpg", "--json"))]
    wanted = ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "deeper/9.JPG", "0.jpg", "1.jpg", "3.jpg"]
    assert found == [str(drawn / name) for name in wanted]


def test_a_photo_that_cannot_be_counted_fails_alone_and_the_command_in_the_end(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(drawn_photo(1, seed=1)[:3000])
    result = run_count(tmp_path / "torn.jpg", tmp_path / "gone.jpg", drawn / "1.jpg", "--json")
    torn, gone, good = lines(result)
    assert result.exit_code == 1
    assert list(torn) == ["photo", "error"]
    assert "torn.jpg is cut off" in str(torn["error"])
    assert "gone.jpg cannot be read" in str(gone["error"])
    assert list(good) == KEYS
    assert "2 photos could not be counted" in result.stderr


def test_the_table_tells_the_same(drawn: Path) -> None:
    (line,) = lines(run_count(drawn / "3.jpg", "--json"))
    header, row = run_count(drawn / "3.jpg").stdout.splitlines()
    assert header.split() == ["count", "90%", "p", "photo"]
    assert row.split()[0] == str(line["count"])
    low, high = line["interval"]  # type: ignore[misc]
    assert row.split()[1].rstrip("+") == f"{low}–{high}"


def test_an_argument_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    result = run_count(tmp_path, "--json")
    assert isinstance(result.exception, MissingObject)
    assert "names no photo" in str(result.exception)


def test_photos_before_an_argument_that_names_nothing_are_counted(drawn: Path, tmp_path: Path) -> None:
    result = run_count(drawn, tmp_path, "--json")
    assert len(lines(result)) == 5
    assert isinstance(result.exception, MissingObject)


def test_photos_are_read_from_a_bucket(drawn: Path, tmp_path: Path) -> None:
    """By prefix and by name, unsigned, from a real server; the answers are those of the same files on disk."""
    with running_s3_server(tmp_path) as server:
        photos = {f"shelf/{name}": (drawn / name).read_bytes() for name in ("1.jpg", "2.jpg")}
        server.put(PUBLIC_BUCKET, photos | {"shelf/notes.txt": b"no photo"})
        url, options = (
            f"s3://{PUBLIC_BUCKET}/shelf",
            ["--endpoint-url", server.endpoint_url, "--anonymous", "--json"],
        )
        found = lines(run_count(url, f"{url}/2.jpg", *options))
        gone = run_count(f"{url}/9.jpg", *options)
    local = lines(run_count(drawn / "1.jpg", drawn / "2.jpg", drawn / "2.jpg", "--json"))
    assert [line["photo"] for line in found] == [f"{url}/1.jpg", f"{url}/2.jpg", f"{url}/2.jpg"]
    assert [line["probs"] for line in found] == [line["probs"] for line in local]
    assert gone.exit_code == 1
    assert "9.jpg" in str(lines(gone)[0]["error"])


def test_labels_are_read_where_asked(abid: Path) -> None:
    """Photos whose label the shared list knows: most of them read, none of them wrongly."""
    import csv

    with (abid / "labels.csv").open() as file:
        known = {row["image_id"]: row["bin_label"] for row in csv.DictReader(file) if row["bin_label"]}
    photos = [path for path in sorted((abid / "originals").iterdir()) if path.stem in known][:20]
    found = lines(run_count(*photos, "--read-labels", "--json"))
    read = [(Path(str(line["photo"])).stem, line["bin_label"]) for line in found if line["bin_label"]]
    assert len(read) >= 10
    assert all(known[photo] == label for photo, label in read)


def test_batching_and_threads_change_no_answer(counter: Counter) -> None:
    photos = [(str(n), drawn_photo(n % 5, seed=n)) for n in range(2 * BATCH_SIZE + 3)]
    together = [result.probs for result in counter.count(photos) if isinstance(result, CountEstimate)]
    alone = [next(counter.count([photo])) for photo in photos]
    assert len(together) == len(photos)
    assert np.allclose(together, [one.probs for one in alone if isinstance(one, CountEstimate)], atol=1e-5)
    assert np.allclose(together, counter.probs([data for _, data in photos]), atol=1e-5)


def test_only_a_bounded_number_of_photos_is_held(counter: Counter) -> None:
    """However long the stream, the counter never runs far ahead of what has been taken."""
    begun = 0
    photo = drawn_photo(2, seed=1)

    def stream() -> Iterator[tuple[str, bytes]]:
        nonlocal begun
        for number in range(1000):
            begun += 1
            yield str(number), photo

    results = counter.count(stream())
    for taken in range(1, 101):
        next(results)
        assert begun <= taken + 6 * BATCH_SIZE
    results.close()


def test_a_stream_that_fails_fails_the_count(counter: Counter) -> None:
    def stream() -> Iterator[tuple[str, bytes]]:
        yield "0", drawn_photo(1, seed=1)
        raise MissingObject("the bucket went away")

    with pytest.raises(MissingObject, match="went away"):
        list(counter.count(stream()))


def test_a_large_photo_is_counted_the_same_whether_labels_are_read_or_not(counter: Counter) -> None:
    """Its JPEG is decoded at a part of its size to be counted, and in full for the label."""
    photos = [(str(seed), drawn_photo(seed, seed=seed, size=(1600, 1200))) for seed in range(2)]
    assert list(counter.count(photos, read_labels=True)) == list(counter.count(photos))


def test_a_counter_can_be_shared_by_threads(counter: Counter) -> None:
    photo = drawn_photo(3, seed=3)
    answers: list[tuple[float, ...]] = []

    def count() -> None:
        answers.extend(r.probs for r in counter.count([("a", photo)] * 5) if isinstance(r, CountEstimate))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
    assert np.ptp(np.array(answers), axis=0).max() < 1e-6


def test_a_failure_names_the_photo(counter: Counter) -> None:
    (failure,) = counter.count([("shelf-7.jpg", b"")])
    assert isinstance(failure, CountFailure)
    assert failure == CountFailure(photo="shelf-7.jpg", error="shelf-7.jpg is empty; fetch it again")


@given(st.lists(st.floats(-30, 0), min_size=2, max_size=21), st.floats(0.2, 5))
def test_tempering_keeps_the_order_of_counts(log_probs: list[float], temperature: float) -> None:
    probs = temper_log_probs(np.array([log_probs], np.float32), temperature)[0]
    assert probs.sum() == pytest.approx(1)
    order = np.argsort(np.array(log_probs, np.float32), kind="stable")
    assert (np.diff(probs[order]) >= -1e-12).all()


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=21), st.floats(0.05, 0.99))
def test_an_interval_holds_at_least_its_mass(weights: list[float], mass: float) -> None:
    probs = np.array(weights) / np.sum(weights)
    low, high = CountEstimate(photo="p", probs=tuple(probs)).central_interval(mass)
    assert probs[low : high + 1].sum() >= mass - 1e-9
    assert probs[:low].sum() <= (1 - mass) / 2 + 1e-9


def test_equal_probabilities_give_the_smaller_count() -> None:
    assert CountEstimate(photo="p", probs=(0.2, 0.4, 0.4)).count == 1


def test_counting_loads_no_training_library(drawn: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from binsight.cli import cli; "
        f"assert CliRunner().invoke(cli, ['count', {str(drawn / '1.jpg')!r}]).exit_code == 0; "
        "print([m for m in ('torch', 'timm', 'pyarrow', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert ended.stdout.strip() == "[]"
