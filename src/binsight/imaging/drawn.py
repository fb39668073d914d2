"""Bins that Binsight draws itself: free of anybody's licence, true in their count, the same for the same seed.

They stand in wherever a photo is wanted and none may be shipped: the golden photos of a bundle, the demo
without a network, tests. They look like a pod's bin seen from the front (yellow fabric, grey floor, items
behind elastic bands, a camera's noise), but a figure measured on them says nothing about real photos.
"""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from binsight.imaging import drawn_items, drawn_scene
from binsight.imaging.drawn_items import Item, Product
from binsight.imaging.drawn_scene import Scene

MOST_ITEMS = 40
"""More than this many items leave each too small to be seen in a photo."""

SUPERSAMPLING = 2
"""The bin is drawn at this many times the photo's size and reduced, which smooths every edge."""

MIN_VISIBLE_SHARE = 0.3
"""Of every item at least this share of its outline stays in sight, so that the count is true."""

_TRIES_PER_SIZE = 8
_SHRINK = 0.9


def draw_bin(count: int, *, seed: int, size: tuple[int, int] = (500, 375)) -> Image.Image:
    """Draw one bin that holds `count` items, every one of them at least partly in sight: an RGB image of `size`.

    The same arguments give the same pixels with the same versions of Pillow and NumPy.
    """
    if not 0 <= count <= MOST_ITEMS:
        raise ValueError(f"`0 <= count <= {MOST_ITEMS}` must hold, but got count={count}")
    width, height = size
    if min(size) < 64:
        raise ValueError(f"a drawn bin must be at least 64 pixels on each side, but got {width} x {height}")
    rng = np.random.default_rng((seed, count))
    scene = drawn_scene.draw_scene(rng, (width * SUPERSAMPLING, height * SUPERSAMPLING))
    _put_items(rng, scene, count)
    drawn_scene.draw_front(rng, scene)
    return drawn_scene.photograph(rng, scene.canvas, size)


def drawn_photo(count: int, *, seed: int, size: tuple[int, int] = (500, 375), quality: int = 85) -> bytes:
    """`draw_bin` as the bytes of a JPEG file."""
    file = io.BytesIO()
    draw_bin(count, seed=seed, size=size).save(file, format="JPEG", quality=quality)
    return file.getvalue()


def _put_items(rng: np.random.Generator, scene: Scene, count: int) -> None:
    """Put `count` items into the scene from back to front, none of which hides an earlier one too far."""
    products = [drawn_items.draw_product(rng, count) for _ in range(1 + int(rng.integers(0, min(count, 6) + 1)))]
    # Which item is seen at each pixel: 0 for the bin itself, n for the n-th item.
    owners = Image.new("L", scene.canvas.size, 0)
    items: list[Item] = []
    for depth in np.sort(rng.uniform(0.0, 0.85, count))[::-1]:
        product = products[int(rng.integers(len(products)))]
        item, owners = _find_place(rng, scene, product, float(depth), owners, items)
        items.append(item)
        _paint(scene, item)


def _find_place(
    rng: np.random.Generator,
    scene: Scene,
    product: Product,
    depth: float,
    owners: Image.Image,
    items: list[Item],
) -> tuple[Item, Image.Image]:
    """An item of `product` that hides nothing too far, ever smaller until there is room, and the owners then."""
    scale = 1.0
    while True:
        for _ in range(_TRIES_PER_SIZE):
            bearers = [item for item in items if item.bears and item.depth - depth < 0.25]
            on = bearers[int(rng.integers(len(bearers)))] if bearers and rng.random() < 0.5 else None
            item = drawn_items.place(rng, scene, product, depth=depth, scale=scale, on=on)
            if (after := _owners_after(owners, item, scene, items)) is not None:
                return item, after
        scale *= _SHRINK


def _owners_after(owners: Image.Image, item: Item, scene: Scene, items: list[Item]) -> Image.Image | None:
    """The owners once `item` stands there, or None where it or an earlier item would be hidden too far."""
    shown = [*items, item]
    after = owners.copy()
    after.paste(len(shown), item.left_top, item.outline)
    visible = np.bincount(_within(after, scene).ravel(), minlength=len(shown) + 1)
    enough = np.array([MIN_VISIBLE_SHARE * each.num_pixels for each in shown])
    return after if (visible[1:] >= enough).all() else None


def _within(owners: Image.Image, scene: Scene) -> npt.NDArray[np.uint8]:
    return np.asarray(owners.crop(scene.opening_xyxy))


def _paint(scene: Scene, item: Item) -> None:
    """Lay the item's soft shadow on what stands behind it, then the item."""
    left, top = item.left_top
    reach = max(4, round(0.012 * scene.canvas.width))
    shadow = Image.new("L", (item.picture.width + 4 * reach, item.picture.height + 4 * reach), 0)
    shadow.paste(130, (2 * reach, 2 * reach), item.outline)
    shadow = shadow.filter(ImageFilter.GaussianBlur(reach))
    scene.canvas.paste((28, 24, 20), (left - reach, top - 2 * reach), shadow)
    scene.canvas.paste(item.picture, item.left_top, item.picture.getchannel("A"))
