"""Bins that Binsight draws itself: true in their count, the same for the same seed, readable as any photo."""

import numpy as np
import pytest
from PIL import Image

from binsight.imaging import Preprocessing, decode_photo, drawn, pixels_HWC
from binsight.imaging.drawn import MIN_VISIBLE_SHARE, MOST_ITEMS, draw_bin, drawn_photo
from binsight.imaging.drawn_items import Item
from binsight.imaging.drawn_scene import Scene

SMALL = (160, 120)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13, 20, MOST_ITEMS])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_item_stays_in_sight(count: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count of a drawn bin is true: laid over each other anew, each outline keeps its share in the opening."""
    items: list[Item] = []
    scenes: list[Scene] = []

    def record(scene: Scene, item: Item) -> None:
        scenes.append(scene)
        items.append(item)

    monkeypatch.setattr(drawn, "_paint", record)
    draw_bin(count, seed=seed, size=SMALL)
    assert len(items) == count
    for number, item in enumerate(items):
        alone = Image.new("L", scenes[0].canvas.size)
        alone.paste(255, item.left_top, item.outline)
        for nearer in items[number + 1 :]:
            alone.paste(0, nearer.left_top, nearer.outline)
        in_sight = np.count_nonzero(np.asarray(alone.crop(scenes[0].opening_xyxy)))
        assert in_sight >= MIN_VISIBLE_SHARE * np.count_nonzero(np.asarray(item.outline))


def test_the_same_seed_draws_the_same_photo_and_another_seed_another() -> None:
    photo = drawn_photo(3, seed=7, size=SMALL)
    assert drawn_photo(3, seed=7, size=SMALL) == photo
    assert drawn_photo(3, seed=8, size=SMALL) != photo
    assert drawn_photo(4, seed=7, size=SMALL) != photo


def test_a_drawn_photo_is_a_photo_like_any_other() -> None:
    """It passes the one path from bytes to pixels, and is neither flat nor black."""
    data = drawn_photo(4, seed=1)
    assert decode_photo(data).size == (500, 375)
    preprocessing = Preprocessing(size=64, fit="letterbox", mean=(0.5,) * 3, std=(0.5,) * 3)
    pixels = pixels_HWC(data, preprocessing)
    assert 60 < pixels.mean() < 200
    assert pixels.std() > 15


def test_an_empty_bin_is_the_bin_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "_paint", lambda *_: pytest.fail("an item was painted"))
    assert draw_bin(0, seed=5, size=SMALL).size == SMALL


@pytest.mark.parametrize("count", [-1, MOST_ITEMS + 1])
def test_a_count_that_cannot_be_drawn_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"got count={count}"):
        draw_bin(count, seed=0)


def test_a_size_too_small_to_show_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64 pixels"):
        draw_bin(1, seed=0, size=(500, 40))
