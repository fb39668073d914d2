"""Where the model looked in a photo: the parts that change its estimate when they are covered.

Occlusion sensitivity (Zeiler and Fergus 2014, arXiv:1311.2901) asks the network itself, and so needs nothing but its
answers: cover part after part of what it is given, and see how far its estimate moves. Two choices are ours; each was
tried on real photos, and measured on a dozen drawn bins, of which it is known where the items are. The figure is how
often the 5% of the pixels that matter most lie on items, against chance:

| covered with | expected count falls | distribution moves |
|---|---|---|
| the network's mean colour | 1.7 times | 1.2 times |
| the part's own blur | 1.5 times | **2.1 times** |

- *Its own blur* (Fong and Vedaldi 2017, arXiv:1704.03296), fading out at the edge: a grey patch on a bin's empty floor
  looks like one more item, and lights up just the places where there is none.
- *How far the distribution moves*, in items (`items_moved`): a part without which the model is only less sure counts too,
  and so does one that hides what would have been counted.

It does not tell what the model saw there. A place that lights up is no proof of an item, a dark one none of absence:
of two items that hide each other's part in the answer, neither may light up.

Axes: B covered copies, H rows, W columns, C channels, K counts; R, C rows and columns of the map.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from binsight.counting.counter import BATCH_SIZE, Counter
from binsight.imaging.prepare import Pixels, fit_square, photo_box_xyxy

Floats = npt.NDArray[np.float64]

STEPS = 10
"""Steps from cover to cover along the photo's longer side; each cover reaches one step to either side. Twice as many
take four times as long, and show the same places on real photos."""


def occlusion_map(counter: Counter, image: Image.Image) -> Floats:
    """By how many items the estimate moves when the photo is covered around each point of a grid: (R, C).

    The grid spans the photo evenly, corners included, whether the bundle squashes or letterboxes it.
    """
    preprocessing = counter.bundle.spec.preprocessing
    pixels_HWC = np.asarray(fit_square(image, preprocessing))
    left, top, right, bottom = photo_box_xyxy(image.size, preprocessing)
    rows_RH = _covers(top, bottom, preprocessing.size)
    columns_CW = _covers(left, right, preprocessing.size)
    blurred_HWC = _blurred(pixels_HWC, (left, top, right, bottom), sigma=preprocessing.size / STEPS)
    plain_K = counter.probs_of_pixels(pixels_HWC[None])[0]
    shape_RC = len(rows_RH), len(columns_CW)
    moved = []
    for start in range(0, shape_RC[0] * shape_RC[1], BATCH_SIZE):
        numbers_B = np.arange(start, min(start + BATCH_SIZE, shape_RC[0] * shape_RC[1]))
        row_B, column_B = np.unravel_index(numbers_B, shape_RC)
        covers_BHW = rows_RH[row_B][:, :, None] * columns_CW[column_B][:, None, :]
        covered_BHWC = _covered(pixels_HWC, blurred_HWC, covers_BHW)
        moved.append(items_moved(plain_K, counter.probs_of_pixels(covered_BHWC)))
    return np.concatenate(moved).reshape(shape_RC)


def items_moved(plain_K: Floats, covered_BK: Floats) -> Floats:
    """How far each distribution lies from the plain one, in items: their first Wasserstein distance.

    That is the least number of items by which the probability must be moved, on average, to turn one into the other.
    """
    moved: Floats = np.abs(np.cumsum(covered_BK - plain_K, axis=1)).sum(axis=1)
    return moved


def _covers(first: int, end: int, size: int) -> Floats:
    """How far each of `size` pixels is covered, 0 to 1, by the covers along the photo's side from `first` to `end`."""
    steps = max(2, round(STEPS * (end - first) / size))
    centres = np.linspace(first, end, steps + 1)[:, None]
    steps_away = np.abs(np.arange(size) + 0.5 - centres) * steps / (end - first)
    # Whole in the middle, gone a step away: where one cover fades, its neighbour is in force.
    covers: Floats = np.clip(1.5 * np.cos(np.minimum(steps_away, 1) * np.pi / 2), 0, 1)
    return covers


def _blurred(pixels_HWC: Pixels, box_xyxy: tuple[int, int, int, int], *, sigma: float) -> Pixels:
    """The photo blurred within its box, so that no padding bleeds into it."""
    square = Image.fromarray(pixels_HWC)
    square.paste(square.crop(box_xyxy).filter(ImageFilter.GaussianBlur(sigma)), box_xyxy[:2])
    return np.asarray(square)


def _covered(pixels_HWC: Pixels, blurred_HWC: Pixels, covers_BHW: Floats) -> Pixels:
    """The pixels under each of the covers."""
    difference_HWC = blurred_HWC.astype(np.float64) - pixels_HWC
    covered_BHWC = pixels_HWC + covers_BHW[..., None] * difference_HWC
    return np.rint(covered_BHWC).astype(np.uint8)
