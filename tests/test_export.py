"""Bundles: exported with a parity gate, checked when opened, counted with without PyTorch."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.dataset_support import real_dataset

from binsight.counting import Bundle, Counter, default_bundle, providers
from binsight.counting.bundle import CERTIFICATE_NAME, SPEC_NAME
from binsight.counting.providers import open_session
from binsight.dataset.manifest import Dataset
from binsight.decision.calibrate import temper
from binsight.decision.readable import fit_readable_from, unreadable_figures
from binsight.errors import (
    BadBundle,
    BadCertificate,
    BadDataset,
    BadInput,
    BadRecipe,
    GateFailed,
    MissingObject,
)
from binsight.imaging import images_BCHW, pixels_HWC
from binsight.model import export as export_module
from binsight.model.export import certify_val, check_parity, export
from binsight.model.pixels import cached_pixels
from binsight.model.predictor import certificate_of, predictor, readable_from_of
from binsight.model.recipe import load_recipe
from binsight.model.run import Run
from binsight.model.train import train
from binsight.settings import settings

RECIPE = """
name = "tiny"
[data]
dataset = "{dataset}"
[data.preprocessing]
size = 64
fit = "letterbox"
mean = [0.48, 0.45, 0.40]
std = [0.22, 0.23, 0.24]
[model]
backbone = "timm:tf_efficientnet_lite0"
weights = "package:efficientnet-lite0"   # fresh weights answer all photos alike, whatever is done to their pixels
head = "continuation"
[training]
epochs = 1
batch_size = 16
precision = "fp32"
ema_decay = 0
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 64, "val": 200})


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(RECIPE.format(dataset=dataset.folder))
    return train(load_recipe(folder / "tiny.toml"), folder / "run")


@pytest.fixture(scope="module")
def bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(run, tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.folder, tmp_path / "copy"))


def test_a_bundle_is_whole(bundle: Bundle) -> None:
    on_disk = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*") if path.is_file()}
    assert on_disk == {*bundle.spec.files, SPEC_NAME}
    assert {"model.onnx", "card.md", "certificate.json", "golden/golden.json"} <= on_disk
    assert bundle.spec.preprocessing.fit == "letterbox"
    assert "CC BY-NC-SA" in (bundle.folder / "card.md").read_text()


def test_a_bundle_holds_the_certificate_of_its_tempered_estimates_on_val(
    run: Run, dataset: Dataset, bundle: Bundle
) -> None:
    found = certificate_of(predictor(bundle.folder))
    assert found is not None
    assert (found.dataset_sha256, found.split, found.num_photos) == (dataset.digest, "val", 200)
    photos = dataset.select("val")
    probs = Counter.load(bundle.folder).probs([dataset.read_bytes(photo) for photo in photos])
    assert np.allclose(probs, temper(run.predict(dataset, photos), bundle.spec.temperature), atol=1e-4)
    assert found == certify_val(probs, np.array([photo.count for photo in photos]), photos, dataset)
    assert "chose the best epoch and the temperature too" in found.note
    assert "## What may be verified" in (bundle.folder / "card.md").read_text()


def test_a_bundle_flags_the_least_sure_fifth_of_its_val_photos_and_its_card_says_how_they_do(
    dataset: Dataset, bundle: Bundle
) -> None:
    photos = dataset.select("val")
    counter, counts = Counter.load(bundle.folder), np.array([photo.count for photo in photos])
    # Tempered as export does it: the last digit decides on which side of the limit the photo lies that made it.
    counter.bundle = replace(bundle, spec=bundle.spec.model_copy(update={"temperature": 1.0}))
    tempered = temper(counter.probs([dataset.read_bytes(photo) for photo in photos]), bundle.spec.temperature)
    assert bundle.spec.readable_from == fit_readable_from(tempered)
    found = bundle.spec.figures["unreadable"]
    assert found == unreadable_figures(tempered, counts, bundle.spec.readable_from)
    assert found["share"] == pytest.approx(0.2, abs=0.005)
    card = " ".join((bundle.folder / "card.md").read_text().split())
    assert f"these were {found['share']:.1%}" in card
    assert f"{found['within_one_flagged']:.1%} right or one off at" in card


def test_a_bundle_that_was_made_without_the_flag_opens_and_flags_nothing(copy: Path) -> None:
    spec = json.loads((copy / SPEC_NAME).read_text())
    del spec["readable_from"]
    (copy / SPEC_NAME).write_text(json.dumps(spec))
    assert Bundle.open(copy).spec.readable_from is None
    assert readable_from_of(predictor(copy)) is None


def test_a_certificate_that_was_tampered_with_is_refused_even_under_a_fresh_checksum(copy: Path) -> None:
    spec, certificate = (json.loads((copy / name).read_text()) for name in (SPEC_NAME, CERTIFICATE_NAME))
    certificate["bands"][0]["num_wrong"] += 1000
    (copy / CERTIFICATE_NAME).write_text(json.dumps(certificate))
    spec["files"][CERTIFICATE_NAME] = export_module.file_digest(copy / CERTIFICATE_NAME)
    (copy / SPEC_NAME).write_text(json.dumps(spec))
    with pytest.raises(BadCertificate, match=r"certificate\.json: band 0 at 0\.05: .* verify nothing by it"):
        certificate_of(predictor(copy))


def test_a_bundle_that_was_made_without_a_certificate_still_opens(copy: Path) -> None:
    spec = json.loads((copy / SPEC_NAME).read_text())
    (copy / CERTIFICATE_NAME).unlink()
    del spec["files"][CERTIFICATE_NAME]
    (copy / SPEC_NAME).write_text(json.dumps(spec))
    assert Bundle.open(copy).certificate() is None
    assert certificate_of(predictor(copy)) is None


def test_no_file_of_a_bundle_tells_where_it_was_made(bundle: Bundle) -> None:
    for path in bundle.folder.rglob("*.*"):
        data = path.read_bytes()
        assert b"site-packages" not in data, path.name
        assert str(bundle.folder.parent).encode() not in data, path.name


def test_the_network_is_valid_onnx_with_any_batch_size(bundle: Bundle) -> None:
    model = onnx.load(bundle.model_path)
    onnx.checker.check_model(model, full_check=True)
    (given,), (answer,) = model.graph.input, model.graph.output
    assert given.name == "images"
    assert answer.name == "log_probs"
    assert given.type.tensor_type.shape.dim[0].dim_param
    counter = Counter.load(bundle.folder)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    together = counter.probs_of_pixels(pixels)
    assert together.shape == (5, 21)
    assert np.allclose(together, np.concatenate([counter.probs_of_pixels(one[None]) for one in pixels]), atol=1e-5)


def test_pytorch_and_onnx_agree_on_200_real_photos(run: Run, dataset: Dataset, bundle: Bundle) -> None:
    off = check_parity(run, Counter.load(bundle.folder), dataset, dataset.select("val"))
    assert len(dataset.select("val")) == 200
    assert off <= 1e-4


@pytest.mark.slow
def test_a_bundle_may_ask_at_another_size_than_it_was_trained_at(
    run: Run, dataset: Dataset, bundle: Bundle, tmp_path: Path
) -> None:
    smaller = export(run, tmp_path / "smaller", size=40)
    trained = run.recipe.data.preprocessing.size
    assert smaller.spec.preprocessing == bundle.spec.preprocessing.model_copy(update={"size": 40})
    assert smaller.spec.lineage == bundle.spec.lineage, "the same run, by its own recipe"
    assert smaller.spec.lineage["trained_size"] == trained != 40
    assert f"40 × 40 pixels,\npadded to a square (trained at {trained})" in (smaller.folder / "card.md").read_text()
    photos = dataset.select("val")[:8]
    asked = run.at_size(40)
    found = Counter.load(smaller.folder).probs([dataset.read_bytes(photo) for photo in photos])
    expected = temper(asked.predict(dataset, photos), smaller.spec.temperature)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(BadRecipe, match="size"):
        run.at_size(0)


def test_a_size_that_the_network_does_not_take_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneSize(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.reshape(2, 3, 64, 64)

    monkeypatch.setattr(Run, "load_network", lambda _: OneSize())
    with pytest.raises(BadRecipe, match=r"tf_efficientnet_lite0 must take photos of 40 × 40 .*another --size"):
        export(run, tmp_path / "bundle", size=40)
    assert list(tmp_path.iterdir()) == []


def test_training_and_counting_see_the_same_pixels_photo_by_photo(
    run: Run, dataset: Dataset, bundle: Bundle
) -> None:
    photos = dataset.select("val")
    trained_on = cached_pixels(dataset, photos, run.recipe.data.preprocessing)
    for photo, pixels in zip(photos, trained_on, strict=True):
        counted = pixels_HWC(dataset.read_bytes(photo), bundle.spec.preprocessing)
        assert np.array_equal(counted, pixels), photo.photo


def test_a_bundle_is_made_by_the_cpu_whatever_provider_is_set(
    run: Run, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another provider is checked by golden photos whenever a bundle is opened, and one that is being made has none."""
    have, asked, network = ["CUDAExecutionProvider", "CPUExecutionProvider"], set(), bundle.model_path.read_bytes()

    def open_one(model: Path, *, threads: int, provider: str) -> object:
        asked.add(provider)
        return open_session(model, threads=threads)

    monkeypatch.setattr(providers.onnxruntime, "get_available_providers", lambda: have)
    monkeypatch.setattr("binsight.counting.counter.open_session", open_one)
    monkeypatch.setattr(export_module, "export_onnx", lambda _, path, *, size: path.write_bytes(network))
    monkeypatch.setenv("BINSIGHT_PROVIDER", "cuda")
    settings.cache_clear()
    try:
        assert export(run, tmp_path / "tiny").version == bundle.version
    finally:
        monkeypatch.delenv("BINSIGHT_PROVIDER")
        settings.cache_clear()
    assert asked == {"cpu"}


def _swap_channels(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[:, ::-1])


@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(lambda pixels, how: _swap_channels(images_BCHW(pixels, how)), id="swapped channels"),
        pytest.param(
            lambda pixels, how: (pixels.transpose(0, 3, 1, 2) / 255).astype(np.float32), id="no normalisation"
        ),
        pytest.param(lambda pixels, how: images_BCHW(np.ascontiguousarray(pixels[:, ::-1]), how), id="upside down"),
    ],
)
def test_broken_preprocessing_fails_the_golden_photos_and_parity(
    breakage: object, run: Run, dataset: Dataset, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter.load(bundle.folder)
    counter.check_golden()
    monkeypatch.setattr("binsight.counting.counter.images_BCHW", breakage)
    with pytest.raises(GateFailed, match="golden photo"):
        counter.check_golden()
    with pytest.raises(GateFailed, match="must agree"):
        check_parity(run, counter, dataset, dataset.select("val")[:20])


def test_a_broken_label_order_fails_the_golden_photos(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter.load(bundle.folder)
    right = counter.probs_of_pixels
    monkeypatch.setattr(counter, "probs_of_pixels", lambda pixels: right(pixels)[:, ::-1])
    with pytest.raises(GateFailed, match="golden photo"):
        counter.check_golden()


def test_an_export_that_disagrees_with_pytorch_is_not_published(
    run: Run, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_network(network: object, path: Path, *, size: int) -> None:
        model = onnx.load(bundle.model_path)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                spoiled = onnx.numpy_helper.to_array(tensor) + np.float32(0.01)
                tensor.CopyFrom(onnx.numpy_helper.from_array(spoiled, tensor.name))
        onnx.save_model(model, path)

    monkeypatch.setattr(export_module, "export_onnx", other_network)
    with pytest.raises(GateFailed, match=r"must agree within .* nothing was exported"):
        export(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_same_content_has_the_same_version_anywhere(bundle: Bundle, copy: Path) -> None:
    assert Bundle.open(copy).version == bundle.version


def test_a_bundle_never_overwrites_anything(run: Run, copy: Path) -> None:
    with pytest.raises(BadInput, match="bundles never change"):
        export(run, copy)


@pytest.mark.parametrize(("folder", "name"), [("my bundle", None), ("bundle", "Bin counter")])
def test_a_name_that_no_bundle_may_have_is_refused_before_anything_is_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, name: str | None
) -> None:
    monkeypatch.setattr(export_module, "export_onnx", lambda *_, **__: pytest.fail("it was exported"))
    with pytest.raises(BadInput, match=f"dots and hyphens, but is '{name or folder}'; .*--name"):
        export(run, tmp_path / folder, name=name)
    assert list(tmp_path.iterdir()) == []


def test_another_dataset_than_the_runs_is_refused(run: Run, abid: Path, tmp_path: Path) -> None:
    other = real_dataset(abid, tmp_path / "other", {"train": 4, "val": 4})
    with pytest.raises(BadDataset, match="must be the dataset of the run"):
        export(run, tmp_path / "bundle", dataset=other)


def test_a_run_that_is_not_whole_is_named_by_the_file_that_it_lacks(run: Run, tmp_path: Path) -> None:
    for name, mend in (("environment.json", "copy the whole run folder"), ("best.safetensors", "has not finished")):
        copy = tmp_path / name / "run"
        shutil.copytree(run.folder, copy, ignore=shutil.ignore_patterns(name))
        with pytest.raises(MissingObject, match=f"{name} is not there.*{mend}"):
            export(Run.open(copy), tmp_path / name / "bundle")
        assert not (tmp_path / name / "bundle").exists()
    (copy / "environment.json").write_text("{")
    with pytest.raises(BadInput, match=r"environment\.json is not JSON"):
        export(Run.open(copy), tmp_path / "bundle")


@pytest.mark.parametrize("name", ["model.onnx", "golden/drawn-03.jpg", "card.md", "certificate.json"])
def test_a_changed_file_is_named(copy: Path, name: str) -> None:
    with (copy / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(BadBundle, match=f"{name} must have the checksum"):
        Bundle.open(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    with pytest.raises(BadBundle, match=r"model\.onnx cannot be read"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format"),
        ({"temperature": 0}, "temperature"),
        ({"readable_from": 1.5}, "readable_from"),
        ({"num_counts": "many"}, "num_counts"),
        ({"surprise": 1}, "surprise"),
        ({"files": {"../../etc/passwd": "0" * 64}}, "outside of the bundle"),
        ({"files": {}}, "must list model.onnx"),
    ],
)
def test_a_bad_spec_is_named_by_its_field(copy: Path, change: dict[str, object], says: str) -> None:
    spec = json.loads((copy / SPEC_NAME).read_text())
    (copy / SPEC_NAME).write_text(json.dumps(spec | change))
    with pytest.raises(BadBundle, match=says):
        Bundle.open(copy)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match="is not a bundle"):
        Bundle.open(tmp_path)


def test_a_network_that_is_none_is_named(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"not a network")
    spec = json.loads((copy / SPEC_NAME).read_text())
    spec["files"]["model.onnx"] = export_module.file_digest(copy / "model.onnx")
    (copy / SPEC_NAME).write_text(json.dumps(spec))
    with pytest.raises(BadBundle, match="not a network"):
        Counter.load(copy)


def test_the_shipped_bundle_is_whole_small_and_answers_its_golden_photos() -> None:
    counter = Counter.load(default_bundle())
    counter.check_golden()
    size = sum(path.stat().st_size for path in counter.bundle.folder.rglob("*") if path.is_file())
    assert size <= 6_000_000
    assert counter.bundle.certificate() is not None
    assert counter.bundle.spec.readable_from is not None
