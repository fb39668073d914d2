"""The items of a drawn bin: cartons, books, bottles, bags and pouches, each drawn on its own small picture."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from binsight.imaging.drawn_scene import Rgb, Scene, cloud

COLOURS: tuple[Rgb, ...] = (
    (226, 222, 214), (214, 208, 198), (236, 232, 226), (158, 112, 80), (146, 100, 70), (170, 124, 92),
    (40, 62, 108), (62, 116, 156), (120, 34, 38), (176, 58, 48), (52, 96, 66), (118, 150, 92),
    (44, 42, 46), (88, 86, 90), (206, 164, 72), (214, 124, 60), (104, 72, 118), (198, 138, 150),
)  # fmt: skip
CARDBOARD = COLOURS[3:6]
LEANING = 5.0
"""Degrees: a product that leans more than this bears no other."""

WORDS = (
    "very",
    "big",
    "pack of",
    "home",
    "care",
    "plus",
    "original",
    "No. 7",
    "soft",
    "power",
    "tea",
    "60 ct",
    "LED",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item where it stands: its RGBA picture, where that goes on the canvas, and its outline ("L", 0 or 255).

    `bears` says whether another item may lie on it.
    """

    picture: Image.Image
    left_top: tuple[int, int]
    outline: Image.Image
    depth: float
    bears: bool

    num_pixels: int

    @property
    def middle_x(self) -> float:
        return self.left_top[0] + self.picture.width / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What several items of a bin may share: a kind, a size as shares of the opening's height, a look."""

    draw: Callable[["Product", tuple[int, int], float], Image.Image]
    width: float
    height: float
    colour: Rgb
    second: Rgb
    look: int
    leans: float


def draw_product(rng: np.random.Generator, count: int) -> Product:
    """A product of a size that leaves room for `count` items in the bin."""
    kind, width, height, leans = _KINDS[int(rng.choice(len(_KINDS), p=_KIND_SHARES))]
    size = rng.uniform(0.85, 1.6) * min(1.0, 1.7 / max(count, 1) ** 0.5)
    stretch = rng.uniform(0.75, 1.3)
    is_carton = kind is _draw_box and rng.random() < 0.45
    colour = (CARDBOARD if is_carton else COLOURS)[int(rng.integers(len(CARDBOARD if is_carton else COLOURS)))]
    return Product(
        draw=kind,
        width=min(0.9, width * size * stretch),
        height=min(0.88, height * size / stretch),
        colour=colour,
        second=COLOURS[int(rng.integers(len(COLOURS)))],
        look=int(rng.integers(2**31)),
        leans=leans,
    )


def place(
    rng: np.random.Generator, scene: Scene, product: Product, *, depth: float, scale: float, on: Item | None
) -> Item:
    """Put an item of `product`, `scale` times its size, on the floor at `depth`, or on the item `on`."""
    depth = depth if on is None else on.depth
    tall = (scene.opening_xyxy[3] - scene.opening_xyxy[1]) * scene.scale(depth) * scale
    size = max(10, round(product.width * tall)), max(10, round(product.height * tall))
    left, right = scene.walls_x(depth)
    if on is None:
        middle = rng.uniform(left + 0.45 * size[0], max(left + 0.46 * size[0], right - 0.45 * size[0]))
        base = scene.floor_y(depth)
    else:
        middle = on.middle_x + rng.uniform(-0.2, 0.2) * on.picture.width
        base = on.left_top[1] + 0.06 * on.picture.height
    # From here the item's right side is seen where it stands left of the vanishing point, and the other way round.
    side = (scene.vanishing_xy[0] - middle) / (right - left)
    picture = product.draw(product, size, float(np.clip(side, -0.45, 0.45)))
    picture = picture.rotate(rng.normal(0, product.leans), Image.Resampling.BILINEAR, expand=True)
    picture = _darken(picture, 1 - 0.3 * depth)
    outline = picture.getchannel("A").point(lambda alpha: 255 if alpha > 100 else 0)
    return Item(
        picture=picture,
        left_top=(round(middle - picture.width / 2), round(base - picture.height)),
        outline=outline,
        num_pixels=outline.histogram()[255],
        depth=depth,
        bears=product.draw is not _draw_bottle and product.leans < LEANING,
    )


def _darken(picture: Image.Image, light: float) -> Image.Image:
    dark = picture.convert("RGB").point(lambda v: v * light).convert("RGBA")
    dark.putalpha(picture.getchannel("A"))
    return dark


def _shade(colour: Rgb, light: float) -> Rgb:
    red, green, blue = (min(255, round(v * light)) for v in colour)
    return red, green, blue


def _draw_box(product: Product, size: tuple[int, int], side: float) -> Image.Image:
    """A carton: a printed front, the side that faces the middle of the bin, and its top."""
    width, height = size
    reach, rise = round(abs(side) * 0.5 * width), max(2, round(0.06 * height))
    picture = Image.new("RGBA", (width + reach, height + rise))
    draw = ImageDraw.Draw(picture)
    x = reach if side < 0 else 0
    shift = reach if side >= 0 else -reach
    top = [(x, rise), (x + width, rise), (x + width + shift * 0.9, 0), (x + shift * 0.9, 0)]
    draw.polygon(top, fill=_shade(product.colour, 1.08))
    edge = x + width if side >= 0 else x
    flank = [(edge, rise), (edge + shift * 0.9, 0), (edge + shift * 0.9, height - rise), (edge, height + rise)]
    draw.polygon(flank, fill=_shade(product.colour, 0.62))
    front = _front(product, size)
    picture.paste(front, (x, rise))
    draw.line((x, rise, x + width, rise), fill=_shade(product.colour, 1.2), width=max(1, width // 90))
    return picture


def _draw_book(product: Product, size: tuple[int, int], side: float) -> Image.Image:
    """A book or a slim case: a printed cover with the pages' pale edge beside it."""
    width, height = size
    thick = max(3, width // 9)
    picture = Image.new("RGBA", (width + thick, height))
    x = thick if side < 0 else 0
    pages = Image.new("RGBA", (thick, height - 2), (206, 198, 182, 255))
    draw = ImageDraw.Draw(pages)
    for line in range(0, thick, 3):
        draw.line((line, 0, line, height), fill=(176, 168, 152, 255))
    picture.paste(pages, (0 if side < 0 else width, 1))
    picture.paste(_front(product, size), (x, 0))
    return picture


def _front(product: Product, size: tuple[int, int]) -> Image.Image:
    """A printed face: a band or panel of the second colour, words, and a white label with a barcode."""
    rng = np.random.default_rng(product.look)
    width, height = size
    light = 1 + 0.08 * cloud(rng, size, 4) - 0.1 * np.linspace(0, 1, height)[:, None]
    pixels = np.array(product.colour) * light[..., None]
    face = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGBA")
    draw = ImageDraw.Draw(face)
    if product.colour in CARDBOARD:
        middle = round(height * rng.uniform(0.05, 0.3))
        draw.rectangle((0, middle, width, middle + height // 14), fill=_shade(product.colour, 1.15))
    elif rng.random() < 0.75:
        start, end = sorted(rng.uniform(0, 1, 2))
        box = (
            (0, start * height, width, end * height)
            if rng.random() < 0.5
            else (start * width, 0, end * width, height)
        )
        draw.rectangle(box, fill=product.second)
    ink: Rgb = (30, 28, 32) if sum(product.colour) > 330 else (228, 224, 214)
    for row in range(int(rng.integers(1, 4))):
        _draw_words(
            rng,
            draw,
            (width * rng.uniform(0.06, 0.3), height * (0.1 + 0.2 * row)),
            height / rng.uniform(5, 11),
            ink,
        )
    for row in range(int(rng.integers(0, 6))):  # small print
        y = height * (0.62 + 0.03 * row)
        draw.line(
            (width * 0.08, y, width * rng.uniform(0.3, 0.6), y),
            fill=_shade(product.colour, 0.6),
            width=max(1, height // 110),
        )
    if rng.random() < 0.6:
        _draw_barcode(rng, face, share=rng.uniform(0.3, 0.5))
    draw.rectangle((0, 0, width - 1, height - 1), outline=_shade(product.colour, 0.72))
    return face


def _draw_words(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, at: tuple[float, float], size: float, ink: Rgb
) -> None:
    word = WORDS[int(rng.integers(len(WORDS)))]
    draw.text(
        at, word.upper() if rng.random() < 0.4 else word, fill=ink, font=ImageFont.load_default(max(6, round(size)))
    )


def _draw_barcode(rng: np.random.Generator, face: Image.Image, *, share: float) -> None:
    """A white label with a line code and two lines of print, somewhere low on the face."""
    width, height = max(8, round(share * face.width)), max(6, round(share * 0.55 * face.width))
    if height > 0.8 * face.height:
        return
    label = Image.new("RGBA", (width, height), (236, 232, 226, 255))
    draw = ImageDraw.Draw(label)
    x = 0.08 * width
    while x < 0.9 * width:
        bar = rng.integers(1, 4) * width / 90
        draw.rectangle((x, 0.12 * height, x + bar, 0.62 * height), fill=(28, 26, 28, 255))
        x += bar + rng.integers(1, 4) * width / 80
    for y in (0.72, 0.86):
        draw.line((0.08 * width, y * height, rng.uniform(0.5, 0.9) * width, y * height), fill=(90, 86, 84, 255))
    x_at = round(rng.uniform(0.05, 0.95 - share) * face.width)
    face.paste(label, (x_at, round(rng.uniform(0.35, 0.9) * (face.height - height))))


def _draw_bottle(product: Product, size: tuple[int, int], side: float) -> Image.Image:
    """A bottle, jar or tube standing: a round body with a wrapped label, a neck and a cap."""
    rng = np.random.default_rng(product.look)
    width, height = size
    neck, cap = rng.uniform(0.28, 0.9), rng.uniform(0.08, 0.2)
    shape = Image.new("L", size, 0)
    draw = ImageDraw.Draw(shape)
    shoulder = (cap + rng.uniform(0.02, 0.14)) * height
    draw.rounded_rectangle((0, shoulder, width - 1, height - 1), radius=width * 0.18, fill=255)
    draw.rectangle((width * (1 - neck) / 2, 0, width * (1 + neck) / 2, shoulder + width * 0.18), fill=255)
    paint = Image.new("RGB", size, product.colour)
    draw = ImageDraw.Draw(paint)
    draw.rectangle((0, 0, width, cap * height), fill=product.second)
    upper, lower = rng.uniform(0.35, 0.45) * height, rng.uniform(0.7, 0.9) * height
    paper = COLOURS[int(rng.integers(len(COLOURS)))]
    draw.rectangle((0, upper, width, lower), fill=paper)
    ink: Rgb = (34, 30, 34) if sum(paper) > 330 else (228, 224, 214)
    _draw_words(rng, draw, (width * 0.12, upper + 0.08 * (lower - upper)), width / 4, ink)
    for row in range(4):
        y = upper + (0.5 + 0.11 * row) * (lower - upper)
        draw.line((width * 0.2, y, width * rng.uniform(0.5, 0.85), y), fill=ink)
    turn = np.linspace(-1, 1, width)  # light falls off where a round body turns away
    light = 1.12 - 0.55 * np.abs(turn) ** 2.5 + 0.25 * np.exp(-((turn + 0.35 - side) ** 2) / 0.01)
    rounded = np.asarray(paint, dtype=np.float64) * light[None, :, None]
    picture = Image.fromarray(rounded.clip(0, 255).astype(np.uint8)).convert("RGBA")
    picture.putalpha(shape)
    return picture


def _draw_bag(product: Product, size: tuple[int, int], side: float, *, clear: bool) -> Image.Image:
    """Something soft in a polybag: an uneven outline, folds, hard glints, and a small label."""
    rng = np.random.default_rng(product.look)
    del side  # a bag has none
    width, height = size
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    bumps = sum(rng.uniform(0, 0.05) * np.sin(k * angles + rng.uniform(0, 6.3)) for k in range(2, 7))
    # A superellipse: nearer to a stuffed rectangle than to an egg.
    power = 0.45
    cos, sin = np.cos(angles), np.sin(angles)
    xs = width * (0.5 + 0.46 * (1 + bumps) * np.sign(cos) * np.abs(cos) ** power)
    ys = height * (0.5 + 0.47 * (1 + bumps) * np.sign(sin) * np.abs(sin) ** power)
    shape = Image.new("L", size, 0)
    ImageDraw.Draw(shape).polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=244 if clear else 255)
    folds = cloud(rng, size, 4) + 0.35 * cloud(rng, size, 8) + 0.08 * cloud(rng, size, 18)
    slope_y, slope_x = np.gradient(folds)
    slope = slope_x + 0.7 * slope_y
    slope = slope / slope.std()
    light = 0.88 + 0.09 * slope + 0.1 * cloud(rng, size, 3)
    # Foil glints in thin lines, where a fold is at one angle to the light.
    glint = np.exp(-((slope - 1.4) ** 2) / 0.02) * cloud(rng, size, 7).clip(0, 1)
    rgb = np.array(product.colour) * light[..., None] + (190 if clear else 60) * glint[..., None]
    picture = (
        Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6)).convert("RGBA")
    )
    if rng.random() < 0.6:
        _draw_barcode(rng, picture, share=rng.uniform(0.25, 0.4))
    picture.putalpha(shape)
    return picture


_KINDS: tuple[tuple[Callable[[Product, tuple[int, int], float], Image.Image], float, float, float], ...] = (
    # how it is drawn; width and height as shares of the opening's height; degrees by which it leans
    (_draw_box, 0.55, 0.5, 2.0),
    (_draw_book, 0.4, 0.52, 7.0),
    (_draw_bottle, 0.2, 0.55, 3.0),
    (partial(_draw_bag, clear=False), 0.6, 0.42, 9.0),
    (partial(_draw_bag, clear=True), 0.55, 0.4, 9.0),
)
_KIND_SHARES = (0.42, 0.2, 0.14, 0.12, 0.12)
