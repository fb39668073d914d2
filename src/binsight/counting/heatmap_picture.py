"""A heat map as a picture for people: the photo, the same photo with the map laid over it, and what it means."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from binsight.counting.heatmap import Floats
from binsight.records import CountEstimate

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MEANING = (
    "Where the model looked: covering these parts changes its answer; no proof of items there.",
    "Covering no part of the photo changes its answer: the model looked nowhere in particular.",
)
"""What the picture says of a map that shows something, and of one that does not."""

LEAST_CHANGE = 0.02
"""Items. Where covering moves the estimate by less than this everywhere, the map is drawn as nothing: scaled up to
its own largest value, noise would look like a finding."""

PANEL_SIDE = 480
"""Longer side of the photo in the picture."""

LEAST_WIDTH = 680
"""Of the picture, so that the caption fits below a narrow photo."""

MARGIN, GAP, LINE_HEIGHT, BAR_HEIGHT = 16, 12, 26, 12

PAPER, INK, SOFT = "#ffffff", "#1c2430", "#55606e"

RAMP_RGB = ((150, 44, 0), (232, 112, 0), (255, 226, 92))
"""From little to much. One hue that only becomes lighter over a photo without colour: it reads the same for those who
do not see red or green, and in a print without colour."""

OPACITY = 0.8
"""Of the map where it is strongest; what the model looked at must still be seen."""


def draw_heatmap(image: Image.Image, map_RC: Floats, estimate: CountEstimate) -> Image.Image:
    """The photo beside itself with the map laid over it, and the caption below: an RGB image."""
    scale = PANEL_SIDE / max(image.size)
    panel_wh = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    photo = image.resize(panel_wh, Image.Resampling.LANCZOS)
    width = max(2 * panel_wh[0] + GAP + 2 * MARGIN, LEAST_WIDTH)
    left = (width - 2 * panel_wh[0] - GAP) // 2
    caption = _caption(width - 2 * MARGIN, map_RC, estimate)
    picture = Image.new("RGB", (width, MARGIN + panel_wh[1] + GAP + caption.height + MARGIN), PAPER)
    picture.paste(photo, (left, MARGIN))
    picture.paste(lay_over(photo, map_RC), (left + panel_wh[0] + GAP, MARGIN))
    picture.paste(caption, (MARGIN, MARGIN + panel_wh[1] + GAP))
    return picture


def caption_lines(map_RC: Floats, estimate: CountEstimate) -> list[str]:
    """What the picture says in words: count and interval, and what the map means."""
    low, high = (_named(n, estimate) for n in estimate.interval)
    interval = low if low == high else f"{low} to {high}"  # Pillow's own font has no dash
    return [f"count {_named(estimate.count, estimate)}, 90% interval {interval}", MEANING[not _shows(map_RC)]]


def lay_over(photo: Image.Image, map_RC: Floats) -> Image.Image:
    """The photo without its colours, and over it the map, scaled to its largest value."""
    grey_HW1 = np.asarray(photo.convert("L"), dtype=np.float64)[..., None]
    if not _shows(map_RC):
        return Image.fromarray(np.repeat(grey_HW1, 3, axis=2).astype(np.uint8))
    heat_HW = _spread(map_RC / map_RC.max(), photo.size)
    opacity_HW1 = OPACITY * heat_HW[..., None]
    # The grey below is dimmed, so that a light item is not taken for a light part of the map.
    laid_HW3 = 0.75 * grey_HW1 * (1 - opacity_HW1) + opacity_HW1 * _colours(heat_HW)
    return Image.fromarray(np.rint(laid_HW3).astype(np.uint8))


def _shows(map_RC: Floats) -> bool:
    return bool(map_RC.max() >= LEAST_CHANGE)


def _spread(map_RC: Floats, size_wh: tuple[int, int]) -> Floats:
    """The map's values, which stand on the corners of its cells, smoothly over every pixel."""
    rows, columns = map_RC.shape
    corners_xyxy = (0.5, 0.5, columns - 0.5, rows - 0.5)
    spread = Image.fromarray(map_RC.astype(np.float32)).resize(size_wh, Image.Resampling.BICUBIC, box=corners_xyxy)
    return np.clip(np.asarray(spread, dtype=np.float64), 0, 1)


def _colours(heat_HW: Floats) -> Floats:
    """The ramp's colour for every value from 0 to 1: (H, W, 3)."""
    stops = np.linspace(0, 1, len(RAMP_RGB))
    return np.stack([np.interp(heat_HW, stops, channel) for channel in zip(*RAMP_RGB, strict=True)], axis=-1)


def _caption(width: int, map_RC: Floats, estimate: CountEstimate) -> Image.Image:
    """The words below the photos and, where the map shows something, the key to its colours."""
    estimate_line, meaning = caption_lines(map_RC, estimate)
    small = ImageFont.load_default(16)
    texts = [
        (estimate_line, ImageFont.load_default(20)),
        *((line, small) for line in _wrapped(meaning, width, small)),
    ]
    key_height = LINE_HEIGHT if _shows(map_RC) else 0
    caption = Image.new("RGB", (width, len(texts) * LINE_HEIGHT + key_height), PAPER)
    draw = ImageDraw.Draw(caption)
    for number, (text, font) in enumerate(texts):
        draw.text((0, number * LINE_HEIGHT), text, fill=INK, font=font)
    if key_height:
        _draw_key(caption, draw, len(texts) * LINE_HEIGHT, float(map_RC.max()))
    return caption


def _draw_key(caption: Image.Image, draw: ImageDraw.ImageDraw, top: int, most: float) -> None:
    """A bar from no change to the largest, with what both ends mean."""
    font = ImageFont.load_default(14)
    words = ("no change", f"the estimate moves by {most:.2f} items")
    bar_left = round(font.getlength(words[0])) + GAP
    bar_width = 160
    grey = Image.new("L", (bar_width, BAR_HEIGHT), 110)
    caption.paste(lay_over(grey, np.tile(np.linspace(0, most, 9), (2, 1))), (bar_left, top + 6))
    draw.text((0, top + 3), words[0], fill=SOFT, font=font)
    draw.text((bar_left + bar_width + GAP, top + 3), words[1], fill=SOFT, font=font)


def _wrapped(text: str, width: int, font: Font) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _named(n: int, estimate: CountEstimate) -> str:
    return f"{n}+" if n == len(estimate.probs) - 1 else str(n)
