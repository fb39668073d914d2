"""Photos that stay in a GPU's memory while they are learnt: only their places travel, not a batch of floats each step."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from binsight.imaging import Preprocessing, scale_and_shift_C11
from binsight.model.batches import Batch

SHARE = 0.4
"""Part of a GPU's free memory that photos may take; the network and its activations need the rest."""


def resident_pixels(pixels_NHWC: npt.NDArray[np.uint8], device: torch.device) -> Tensor | None:
    """The pixels in the memory of the GPU `device`; None where it is no GPU or they do not fit beside a network."""
    if device.type != "cuda" or pixels_NHWC.nbytes > SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    resident_NHWC = torch.empty(pixels_NHWC.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels_NHWC), 1024):  # a mapped file is read part by part
        resident_NHWC[start : start + 1024] = torch.from_numpy(np.array(pixels_NHWC[start : start + 1024]))
    return resident_NHWC


def resident_batches(
    pixels_NHWC: Tensor, preprocessing: Preprocessing, order: Sequence[npt.NDArray[np.int64]]
) -> Iterator[Batch]:
    """What `batches` yields without photos saved again, normalised where the pixels lie, by the same numbers."""
    device = pixels_NHWC.device
    scale_C11, shift_C11 = (torch.from_numpy(values).to(device) for values in scale_and_shift_C11(preprocessing))
    for row in order:
        places = torch.from_numpy(np.sort(row))
        planes_BCHW = pixels_NHWC[places.to(device)].permute(0, 3, 1, 2)
        yield planes_BCHW.float().contiguous() * scale_C11 - shift_C11, places
