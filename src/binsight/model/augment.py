"""Count-safe augmentation on the device, batch by batch: what a bin's photo may go through without a count changing.

No mixing of photos, no cut-outs, no crops: each would change how many items there are to see. All works on
normalised `images_BCHW`, where one unit is a standard deviation of the input.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from binsight.model.recipe import Augment


def augment(images_BCHW: Tensor, recipe: Augment) -> Tensor:
    """A changed copy of the batch, drawn from torch's global generator."""
    images_BCHW = _move(images_BCHW, recipe)
    images_BCHW = _light(images_BCHW, recipe)
    images_BCHW = _soften(images_BCHW, recipe.blur)
    if recipe.noise:
        strength = torch.rand(len(images_BCHW), 1, 1, 1, device=images_BCHW.device) * recipe.noise
        images_BCHW = images_BCHW + torch.randn_like(images_BCHW) * strength
    return images_BCHW


def _uniform(num: int, limit: float, device: torch.device) -> Tensor:
    return (torch.rand(num, device=device) * 2 - 1) * limit


def _move(images_BCHW: Tensor, recipe: Augment) -> Tensor:
    """Mirror, rotate, shift and shrink in one resampling. The rim that comes into view is plain: copies there would
    show items that the bin does not hold."""
    num, device = len(images_BCHW), images_BCHW.device
    angle = _uniform(num, math.radians(recipe.rotate_degrees), device)
    zoom = 1 / (
        1 - torch.rand(num, device=device) * recipe.zoom_out * 0.999
    )  # >1 samples a wider field: smaller items
    mirror = torch.where(torch.rand(num, device=device) < recipe.flip, -1.0, 1.0)
    affine_B23 = torch.zeros(num, 2, 3, device=device)
    affine_B23[:, 0, 0] = angle.cos() * zoom * mirror
    affine_B23[:, 0, 1] = -angle.sin() * zoom
    affine_B23[:, 1, 0] = angle.sin() * zoom * mirror
    affine_B23[:, 1, 1] = angle.cos() * zoom
    affine_B23[:, 0, 2] = _uniform(num, 2 * recipe.shift, device)  # the side is 2 long in grid units
    affine_B23[:, 1, 2] = _uniform(num, 2 * recipe.shift, device)
    grid = F.affine_grid(affine_B23, list(images_BCHW.shape), align_corners=False)
    return F.grid_sample(images_BCHW, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _light(images_BCHW: Tensor, recipe: Augment) -> Tensor:
    """Contrast, colour cast and brightness as one gain and one offset per photo and channel."""
    num, device = len(images_BCHW), images_BCHW.device
    contrast = 1 + _uniform(num, recipe.contrast, device)[:, None]
    colour = 1 + _uniform(num * 3, recipe.colour, device).view(num, 3)
    offset = _uniform(num, recipe.brightness, device)[:, None]
    return images_BCHW * (contrast * colour)[:, :, None, None] + offset[:, :, None, None]


def _soften(images_BCHW: Tensor, share: float) -> Tensor:
    """Blur a share of the photos with a 3 × 3 binomial kernel."""
    if share == 0:
        return images_BCHW
    chosen = torch.rand(len(images_BCHW), device=images_BCHW.device) < share
    line = torch.tensor([0.25, 0.5, 0.25], device=images_BCHW.device, dtype=images_BCHW.dtype)
    kernel = (line[:, None] * line[None, :]).expand(3, 1, 3, 3)
    blurred = F.conv2d(F.pad(images_BCHW, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return torch.where(chosen[:, None, None, None], blurred, images_BCHW)
