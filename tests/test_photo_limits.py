"""One law of how large a photo may be, wherever one is read: `prepare` takes none that training would refuse."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.evaluate_support import dataset_of

from binsight.counting import default_bundle
from binsight.dataset.manifest import Dataset
from binsight.errors import BinsightError
from binsight.imaging import Preprocessing
from binsight.imaging.thumbnail import thumbnail
from binsight.model.pixels import cached_pixels
from binsight.model.predictor import predictor
from binsight.model.readability import pixel_flagged
from binsight.settings import settings

SMALL = Preprocessing(size=32, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
WAYS: dict[str, Callable[[Dataset], object]] = {
    "train": lambda dataset: cached_pixels(dataset, dataset.photos, SMALL),
    "evaluate": lambda dataset: predictor(default_bundle()).predict(dataset, dataset.photos),
    "flags": lambda dataset: pixel_flagged(dataset, dataset.photos),
    "pages": lambda dataset: thumbnail(dataset.read_bytes(dataset.photos[0]), name="0000.jpg", side=16),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_settings_say_how_large_a_photo_may_be(
    way: str, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_of(tmp_path / "dataset", [("train", 2, "a")])  # of 48 × 32 pixels
    monkeypatch.setenv("BINSIGHT_MAX_PHOTO_PIXELS", "1500")
    settings.cache_clear()
    with pytest.raises(BinsightError, match="1,500 pixels"):
        WAYS[way](dataset)
    monkeypatch.setenv("BINSIGHT_MAX_PHOTO_PIXELS", "1536")
    settings.cache_clear()
    WAYS[way](dataset)
