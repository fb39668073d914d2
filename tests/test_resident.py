"""Photos that stay in a GPU's memory: the same batches and the same weights, on the processor, which computes alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.dataset_support import real_dataset
from tests.train_support import RECIPE

from binsight.imaging import Preprocessing
from binsight.model.batches import batches
from binsight.model.recipe import load_recipe
from binsight.model.resident import resident_batches, resident_pixels
from binsight.model.train import train

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def test_resident_photos_make_the_same_batches() -> None:
    preprocessing = Preprocessing(size=32, fit="squash", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    order = [np.array([4, 1, 2]), np.array([6, 0, 5])]
    resident = list(resident_batches(torch.from_numpy(PIXELS), preprocessing, order))
    for (images, places), (wanted, at) in zip(resident, batches(PIXELS, preprocessing, order), strict=True):
        assert torch.equal(places, at)
        assert torch.equal(images, wanted)
        assert images.is_contiguous()


def test_only_a_gpu_keeps_photos() -> None:
    assert resident_pixels(PIXELS, torch.device("cpu")) is None


@pytest.mark.parametrize(("free", "stay"), [(3 * PIXELS.nbytes, True), (2 * PIXELS.nbytes, False)])
def test_photos_stay_where_they_leave_room_for_the_network(
    monkeypatch: pytest.MonkeyPatch, free: int, stay: bool
) -> None:
    whole = torch.empty(PIXELS.shape, dtype=torch.uint8)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (free, 2 * free))
    monkeypatch.setattr("torch.empty", lambda *_, **__: whole)
    kept = resident_pixels(PIXELS, torch.device("cuda", 0))
    assert (kept is not None) == stay
    if kept is not None:
        assert np.array_equal(kept.numpy(), PIXELS)


@pytest.mark.usefixtures("cache")
def test_a_run_on_resident_photos_comes_to_the_same_weights(
    abid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = real_dataset(abid, tmp_path / "dataset", {"train": 32, "val": 8})
    (tmp_path / "tiny.toml").write_text(RECIPE.format(dataset=dataset.folder))
    recipe = load_recipe(tmp_path / "tiny.toml", ["training.epochs=1"])
    plain = train(recipe, tmp_path / "plain")
    asked = []

    def stay(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
        asked.append(device)
        return torch.from_numpy(np.array(pixels))

    monkeypatch.setattr("binsight.model.trainer.resident_pixels", stay)
    resident = train(recipe, tmp_path / "resident")
    assert asked == [torch.device("cpu")]
    ours, theirs = (load_file(run.folder / "last.safetensors") for run in (resident, plain))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    train(load_recipe(tmp_path / "tiny.toml", ["training.epochs=1", "augment.jpeg=0.5"]), tmp_path / "saved-again")
    assert len(asked) == 1, "photos that are saved again are changed by the processor"
