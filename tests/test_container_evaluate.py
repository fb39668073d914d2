"""The evaluation as a processing job: through all three decisions, and what it cannot do without."""

import io
import json
import shutil
import signal
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.bundle_support import changed_bundle
from tests.dataset_support import real_dataset

from binsight.counting.bundle import DEFAULT_FOLDER, Bundle
from binsight.dataset.manifest import Dataset, write_manifest
from binsight.engines.container.__main__ import main
from binsight.engines.container.learned import learned_datasets
from binsight.engines.container.looks import look_of
from binsight.engines.contract import EVALUATION, EVALUATION_FILE, FROZEN_FILE, LEARNED_FILE, LOOKS
from binsight.errors import BadDataset, BinsightError
from binsight.lifecycle.promotion_set import PromotionSet


@pytest.fixture(scope="module")
def promotion(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with what the ledger says of it. It is far too small to be judged on, which is one of the reasons below."""
    folder = real_dataset(abid, tmp_path_factory.mktemp("promotion"), {"test": 24}).folder
    opened = PromotionSet.open(folder, name="frozen")
    known: dict[str, Any] = {
        "name": "frozen",
        "split": "test",
        "where": {},
        "sha256": opened.sha256,
        "shared_with": "",
    }
    known["terms"] = {"min_photos": 500}  # as retrain.toml says it
    (folder / FROZEN_FILE).write_text(json.dumps(known | {"frozen_at": "2026-11-20T00:00:00+00:00"}))
    return folder


@pytest.fixture(scope="module")
def training(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_dataset(abid, tmp_path_factory.mktemp("training"), {"train": 8}).folder


def archive(bundle: Path, folder: Path) -> Path:
    """As the platform puts a trained model there."""
    folder.mkdir()
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(bundle, arcname=".")
    return folder


def job(root: Path, inputs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> int:
    (root / "processing" / "input").mkdir(parents=True)
    for name, folder in inputs.items():
        (root / "processing" / "input" / name).symlink_to(folder, target_is_directory=True)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(root))
    monkeypatch.setenv(LOOKS, str(root / "looks"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        return main("evaluate")
    finally:
        signal.signal(signal.SIGTERM, before)


def decided(root: Path) -> Any:
    return json.loads((root / "processing" / "output" / EVALUATION / EVALUATION_FILE).read_text())


def test_what_stands_against_judging_is_said_where_the_pipeline_reads_it(
    promotion: Path, training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = changed_bundle(tmp_path / "other", "card.md", b"another model")
    inputs = {"champion": DEFAULT_FOLDER, "challenger": archive(other, tmp_path / "tar")}
    assert job(tmp_path / "ml", inputs | {"promotion": promotion, "dataset": training}, monkeypatch) == 0
    found = decided(tmp_path / "ml")
    assert found["decision"]["word"] == "refuse"
    assert "must have 500 photos in 50 chains of bins or more" in found["decision"]["reason"]
    assert found["comparison"]["challenger"]["version"] == Bundle.open(other).version
    assert found["comparison"]["promotion_set"]["frozen_at"].startswith("2026-11-20")


def test_photos_that_first_weights_have_seen_are_looked_for_in_the_set_too(
    promotion: Path, training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(promotion, tmp_path / "seen")
    photos = tuple(replace(photo, split="train") for photo in Dataset.open(promotion).photos)
    digest = write_manifest(tmp_path / "seen" / "manifest.parquet", photos)
    (tmp_path / "seen" / "dataset.json").write_text(json.dumps({"sha256": digest}))
    seen = Dataset.open(tmp_path / "seen")
    listed = [{"sha256": seen.digest, "place": str(seen.folder)}]
    (tmp_path / "learned").mkdir()
    (tmp_path / "learned" / LEARNED_FILE).write_text(json.dumps({"datasets": listed}))
    inputs = {"champion": DEFAULT_FOLDER, "challenger": DEFAULT_FOLDER, "learned": tmp_path / "learned"}
    assert job(tmp_path / "ml", inputs | {"promotion": promotion, "dataset": training}, monkeypatch) == 0
    found = decided(tmp_path / "ml")
    assert found["decision"]["word"] == "refuse" and found["comparison"]["training"]["num_leaks"] == 24
    assert seen.digest in found["comparison"]["training"]["datasets"]


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [(None, "nobody knows what the first weights have seen"), ('{"datasets": [7]}', "does not say which datasets")],
)
def test_what_first_weights_have_seen_is_not_guessed(tmp_path: Path, listed: str | None, sentence: str) -> None:
    if listed is not None:
        (tmp_path / LEARNED_FILE).write_text(listed)
    with pytest.raises(BinsightError, match=sentence):
        learned_datasets(tmp_path, tmp_path / "target")


def test_another_dataset_in_the_place_of_one_that_was_seen_is_told(training: Path, tmp_path: Path) -> None:
    listed = [{"sha256": "0" * 64, "place": str(training)}]
    (tmp_path / LEARNED_FILE).write_text(json.dumps({"datasets": listed}))
    with pytest.raises(BadDataset, match="must hold the dataset 000000000000"):
        learned_datasets(tmp_path, tmp_path / "target")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ("champion", "an input champion, but has challenger, dataset, promotion"),
        (FROZEN_FILE, "nobody knows when the set was frozen"),
        ("model.tar.gz", "is damaged"),
        ("climbs", "is damaged"),
    ],
)
def test_a_job_that_cannot_judge_says_why_and_decides_nothing(
    promotion: Path, training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str, sentence: str
) -> None:
    inputs = {
        "champion": DEFAULT_FOLDER,
        "challenger": archive(DEFAULT_FOLDER, tmp_path / "tar"),
        "promotion": training if spoil == FROZEN_FILE else promotion,
        "dataset": training,
    }
    if spoil == "champion":
        del inputs["champion"]
    if spoil == "model.tar.gz":
        whole = (tmp_path / "tar" / spoil).read_bytes()
        (tmp_path / "tar" / spoil).write_bytes(whole[: len(whole) // 2])
    if spoil == "climbs":
        with tarfile.open(tmp_path / "tar" / "model.tar.gz", "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("../../outside"), io.BytesIO())
    assert job(tmp_path / "ml", inputs, monkeypatch) == 1
    assert sentence in (tmp_path / "ml" / "output" / "failure").read_text()
    assert not (tmp_path / "ml" / "processing" / "output" / EVALUATION / EVALUATION_FILE).exists()


def test_looks_are_counted_once_each_and_end(tmp_path: Path) -> None:
    look = look_of(str(tmp_path), "ab", most=3)
    assert [look("1", "2"), look("1", "3"), look("1", "2"), look("1", "4")] == [1, 2, 1, 3]
    assert look("1", "5") is None and look("1", "4") == 3
    assert look_of(str(tmp_path), "cd", most=3)("1", "5") == 1, "another set has looks of its own"


def test_looks_at_one_moment_never_get_one_number(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: look_of(str(tmp_path), "ab", most=50)("1", str(n)), range(24)))
    assert sorted(numbers) == list(range(1, 25))  # type: ignore[type-var]
