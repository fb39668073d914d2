"""The bin around the items of a drawn photo: fabric walls, lips, label, elastic bands, and the camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Rgb = tuple[int, int, int]
Floats = npt.NDArray[np.float64]

FABRIC: Rgb = (212, 194, 136)
FLOOR: Rgb = (164, 158, 150)
PLATES: tuple[Rgb, ...] = (
    (70, 44, 88),
    (72, 128, 168),
    (104, 70, 52),
    (44, 110, 120),
    (40, 62, 102),
    (208, 152, 160),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A bin under construction. Coordinates are the canvas's pixels; depth 0 is the opening, 1 the back wall."""

    canvas: Image.Image
    opening_xyxy: tuple[int, int, int, int]
    vanishing_xy: tuple[float, float]
    back_scale: float

    def scale(self, depth: float) -> float:
        """How large a thing at `depth` looks, against 1 at the opening."""
        return 1 - depth * (1 - self.back_scale)

    def floor_y(self, depth: float) -> float:
        vanishing_y = self.vanishing_xy[1]
        return vanishing_y + (self.opening_xyxy[3] - vanishing_y) * self.scale(depth)

    def walls_x(self, depth: float) -> tuple[float, float]:
        """Where the left and right walls stand at `depth`."""
        vanishing_x = self.vanishing_xy[0]
        left, _, right, _ = self.opening_xyxy
        scale = self.scale(depth)
        return vanishing_x + (left - vanishing_x) * scale, vanishing_x + (right - vanishing_x) * scale


def cloud(rng: np.random.Generator, size: tuple[int, int], num_cells: int) -> Floats:
    """Smooth noise in -1..1, (height, width): what makes cloth and foil look uneven."""
    width, height = size
    cells = rng.uniform(-1, 1, (max(2, round(num_cells * height / max(size))), max(2, num_cells)))
    smooth = Image.fromarray(cells.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float64)


def to_image(rgb_HWC: Floats) -> Image.Image:
    return Image.fromarray(rgb_HWC.clip(0, 255).astype(np.uint8))


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """An empty bin of `size`: walls, floor and ceiling in perspective, darker towards the back."""
    width, height = size
    left, right = (round(width * share) for share in (rng.uniform(0, 0.06), rng.uniform(0.94, 1)))
    top, bottom = (round(height * share) for share in (rng.uniform(0.03, 0.1), rng.uniform(0.86, 0.93)))
    scene = Scene(
        canvas=Image.new("RGB", size),
        opening_xyxy=(left, top, right, bottom),
        vanishing_xy=(width * rng.uniform(0.4, 0.6), height * rng.uniform(0.25, 0.45)),
        back_scale=float(rng.uniform(0.68, 0.8)),
    )
    scene.canvas.paste(to_image(_walls(rng, scene)).resize(size, Image.Resampling.BILINEAR))
    return scene


def _walls(rng: np.random.Generator, scene: Scene) -> Floats:
    """The empty bin at half the canvas's size: it is smooth, and this is most of the pixels."""
    width, height = scene.canvas.width // 2, scene.canvas.height // 2
    left, top, right, bottom = (edge / 2 for edge in scene.opening_xyxy)
    x, y = (at / 2 for at in scene.vanishing_xy)
    columns, rows = np.arange(width) - x, np.arange(height) - y
    # How near each pixel is to the opening, were it on the left/right walls or on the ceiling/floor.
    across = np.broadcast_to(np.maximum(columns / (right - x), columns / (left - x)), (height, width))
    upright = np.broadcast_to(np.maximum(rows / (bottom - y), rows / (top - y))[:, None], (height, width))
    near = np.maximum(across, upright)
    depth = ((1 - near) / (1 - scene.back_scale)).clip(0, 1)

    is_back = near < scene.back_scale
    is_floor = ~is_back & (upright >= across) & (rows > 0)[:, None]
    is_ceiling = ~is_back & (upright >= across) & (rows < 0)[:, None]
    light = 0.97 - 0.38 * depth + 0.09 * cloud(rng, (width, height), 6) + 0.03 * cloud(rng, (width, height), 40)
    light[is_ceiling] *= 0.8
    light[is_floor] *= 1.05
    light[is_back] *= 0.85 + 0.25 * (upright[is_back] + 1) / 2
    # Corners are dark: little light comes out of a fold.
    fold = np.minimum(np.abs(near - scene.back_scale), np.where(is_back, 1.0, np.abs(across - upright)))
    light *= 1 - 0.25 * np.exp(-fold / 0.03)
    floor_is_cloth = rng.random() < 0.3
    colours = np.where((is_floor & ~floor_is_cloth)[..., None], FLOOR, FABRIC)
    weave = 1 + 0.02 * rng.standard_normal((height, width))
    return np.asarray(colours * (light * weave)[..., None], dtype=np.float64)


def draw_front(rng: np.random.Generator, scene: Scene) -> None:
    """What hangs before the items: elastic bands, then the fabric lips with the bin's label."""
    _, top, _, bottom = scene.opening_xyxy
    for at in np.linspace(0.12, 0.86, int(rng.integers(2, 4))):
        y = top + (bottom - top) * (at + rng.uniform(-0.06, 0.06))
        _draw_band(rng, scene, y, thickness=(bottom - top) * rng.uniform(0.12, 0.19))
    _draw_lip(rng, scene, upper=True)
    _draw_lip(rng, scene, upper=False)


def _draw_band(rng: np.random.Generator, scene: Scene, y: float, *, thickness: float) -> None:
    width, height = scene.canvas.size
    unit = width / 500
    veil = Image.new("RGBA", (width, height), (214, 206, 196, 0))
    draw = ImageDraw.Draw(veil)
    xs = np.linspace(0, width, 24)
    slope, sag = rng.uniform(-0.04, 0.04), rng.uniform(0, 0.03) * height
    waviness = np.cumsum(rng.normal(0, 0.25 * unit, xs.size))
    spine = y + slope * (xs - width / 2) + sag * np.sin(np.pi * xs / width) + waviness
    squeeze = 1 - 0.25 * rng.random() * np.sin(np.pi * xs / width)
    num_threads = int(rng.integers(9, 14))
    edges = [spine + thickness * squeeze * end for end in (-0.5, 0.5)]
    draw.polygon([*_points(xs, edges[0]), *_points(xs[::-1], edges[1][::-1])], fill=(206, 198, 188, 52))
    for offset in np.linspace(-0.5, 0.5, num_threads):
        thread = spine + thickness * squeeze * offset + rng.normal(0, 0.2 * unit, xs.size)
        tint = tuple(int(v) for v in np.array([222, 214, 204]) + rng.integers(-14, 14, 3))
        draw.line(_points(xs, thread), fill=(*tint, int(rng.integers(110, 180))), width=max(1, round(1.3 * unit)))
    for x in (scene.opening_xyxy[0], scene.opening_xyxy[2] - 16 * unit):
        box = (x, y - 0.62 * thickness, x + 16 * unit, y + 0.62 * thickness)
        draw.rectangle(box, fill=(222, 214, 204, 90))
        for stitch in np.arange(box[1], box[3], 3 * unit):
            draw.line((box[0], stitch, box[2], stitch), fill=(238, 232, 224, 120), width=max(1, round(unit)))
    scene.canvas.paste(veil.convert("RGB"), (0, 0), veil.getchannel("A"))


def _points(xs: Floats, ys: Floats) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def _draw_lip(rng: np.random.Generator, scene: Scene, *, upper: bool) -> None:
    """A hem of fabric along the upper or lower edge, with the label of the bin above or of this bin."""
    width, height = scene.canvas.size
    edge = scene.opening_xyxy[1] if upper else scene.opening_xyxy[3]
    margin = round(0.03 * height)
    # Only this strip of the canvas changes.
    start, end = (0, edge + margin) if upper else (edge - margin, height)
    xs = np.linspace(0, width, 24)
    hem = (edge - start) + (0.02 if upper else -0.02) * height * np.sin(np.pi * xs / width) * rng.uniform(-1, 1)
    outer = 0 if upper else end - start
    mask = Image.new("L", (width, end - start), 0)
    ImageDraw.Draw(mask).polygon([*_points(xs, hem), (width, outer), (0, outer)], fill=255)
    light = 1.04 + 0.06 * cloud(rng, mask.size, 9) + 0.012 * rng.standard_normal((end - start, width))
    cloth = to_image(np.array(FABRIC) * light[..., None])
    seam = hem + (-0.012 if upper else 0.012) * height
    ImageDraw.Draw(cloth).line(_points(xs, seam), fill=(178, 156, 92), width=max(1, round(width / 500)))
    shade = mask.filter(ImageFilter.GaussianBlur(width / 100))
    scene.canvas.paste((46, 38, 24), (0, start), shade.point(lambda v: v * 0.5))
    scene.canvas.paste(cloth, (0, start), mask)
    _draw_label(rng, scene, edge, upper=upper)


def _draw_label(rng: np.random.Generator, scene: Scene, edge: int, *, upper: bool) -> None:
    width, height = scene.canvas.size
    label_height = round(0.075 * width)
    plate = Image.new("RGB", (round(3.6 * label_height), label_height), PLATES[int(rng.integers(len(PLATES)))])
    draw = ImageDraw.Draw(plate)
    unit = label_height / 10
    draw.rectangle((3 * unit, 2 * unit, 17 * unit, 8 * unit), fill=(232, 226, 218))
    code = f"{rng.integers(1, 5)}{'ABCDEFGHJK'[int(rng.integers(10))]}"
    draw.text((4.2 * unit, 5.1 * unit), code, fill=(24, 22, 24), font=_font(6.6 * unit), anchor="lm")
    draw.polygon([(x * unit, y * unit) for x, y in _ARROW], fill=(24, 22, 24))
    cells = _matrix_code(rng, 14)
    side = round(7.6 * unit)
    plate.paste(
        (232, 226, 218), (round(22 * unit), round(1.2 * unit), round(22 * unit) + side, round(1.2 * unit) + side)
    )
    inner = round(6.2 * unit)
    at = round(22 * unit + (side - inner) / 2), round(1.2 * unit + (side - inner) / 2)
    plate.paste(cells.resize((inner, inner), Image.Resampling.NEAREST), at)
    glare = to_image(np.full((label_height, plate.width, 3), 255.0))
    shine = 60 * cloud(rng, plate.size, 5).clip(0, 1)
    plate.paste(glare, (0, 0), Image.fromarray(shine.astype(np.uint8)))
    x = round(width * rng.uniform(0.3, 0.7) - plate.width / 2)
    y = edge - round(label_height * 0.98) if upper else edge + round((height - edge - label_height) * 0.4)
    turned = plate.convert("RGBA").rotate(rng.uniform(-2.5, 2.5), Image.Resampling.BICUBIC, expand=True)
    scene.canvas.paste(turned.convert("RGB"), (x, y), turned.getchannel("A"))


_ARROW = ((14, 2.6), (16.2, 5), (14.6, 5), (14.6, 7.4), (13.4, 7.4), (13.4, 5), (11.8, 5))


def _matrix_code(rng: np.random.Generator, side: int) -> Image.Image:
    """What looks like a Data Matrix and reads as nothing: its edges are right, its cells are random."""
    cells = rng.integers(0, 2, (side, side)) * 255
    cells[0], cells[:, -1] = np.arange(side) % 2 * 255, np.arange(side) % 2 * 255
    cells[:, 0], cells[-1] = 0, 0
    return Image.fromarray(cells.clip(30, 225).astype(np.uint8)).convert("RGB")


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which is the same on every machine."""
    return ImageFont.load_default(max(1, round(size)))


def photograph(rng: np.random.Generator, canvas: Image.Image, size: tuple[int, int]) -> Image.Image:
    """What a pod's camera makes of it: uneven warm light, lifted blacks, a slight blur, noise in every channel."""
    reduced = canvas.resize(size, Image.Resampling.BOX)
    reduced = reduced.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9) * size[0] / 500))
    rgb_HWC = np.asarray(reduced, dtype=np.float64)
    width, height = size
    across, upright = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    lean_x, lean_y = rng.uniform(-0.12, 0.12), rng.uniform(-0.2, 0.05)
    light = 1 + lean_x * across + lean_y * upright - 0.12 * (across**2 + upright**2)
    exposure = rng.uniform(0.74, 1.0)
    warmth = np.array([1.0, 0.955, 0.89]) + rng.normal(0, 0.015, 3)
    rgb_HWC = 26 + rgb_HWC * 0.86 * exposure * light[..., None] * warmth
    # Noise is coarser than a pixel: the camera's raw pixels carry one colour each.
    grain = rng.normal(0, 1, (height, width, 1)) * 2.2 + rng.normal(0, 1, (height, width, 3)) * 2.6
    return to_image(rgb_HWC + grain)
