"""The run folder: what a training run leaves behind, and how a run is opened again.

```
RUN/
├── recipe.toml           the whole recipe, defaults included
├── environment.json      versions, machine, git hash, dataset digest
├── metrics.csv, .svg     one row an epoch
├── health.json           what the health rules found
├── best.safetensors      weights with the lowest ranked probability score on `val`
├── last.safetensors      weights after the last epoch
├── teachers.npy          what the recipe's teachers, if any, say about the training photos
└── checkpoint.pt         everything needed to go on exactly; tensors and plain values only
```
"""

import csv
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn

from binsight import __version__
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.errors import BadInput, BadRecipe, MissingObject
from binsight.imaging import Preprocessing, images_BCHW
from binsight.model.code import git_hash
from binsight.model.health import EpochMetrics
from binsight.model.network import FlipAverage, build_network
from binsight.model.pixels import cached_pixels
from binsight.model.recipe import Recipe, checked, load_recipe

RECIPE_NAME = "recipe.toml"
ENVIRONMENT_NAME = "environment.json"
CHECKPOINT_NAME = "checkpoint.pt"
METRICS_NAME = "metrics.csv"


def has_learnt(folder: Path) -> bool:
    """Whether a run folder holds anything that was learnt: its first checkpoint, or what an epoch leaves."""
    learnt = (CHECKPOINT_NAME, METRICS_NAME, "best.safetensors", "last.safetensors")
    return any((folder / name).is_file() for name in learnt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An opened run: its folder and its recipe."""

    folder: Path
    recipe: Recipe

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a run folder. Raises `MissingObject` where it is not one."""
        if not (folder / RECIPE_NAME).is_file():
            raise MissingObject(f"{folder} is not a run: it holds no {RECIPE_NAME}; make one with: binsight train")
        return cls(folder=folder, recipe=load_recipe(folder / RECIPE_NAME))

    def at_size(self, size: int) -> "Run":
        """The same run, asked about photos of another size than it was trained at.

        Augmentation changes how large things look, so that the best size to ask at need not be the trained one (Touvron
        et al. 2019, arXiv:1906.06423). Raises `BadRecipe` for a size that is none.
        """
        fields = self.recipe.model_dump()
        fields["data"]["preprocessing"]["size"] = size
        return replace(self, recipe=checked(Recipe, fields, source=f"{self.folder} at size {size}"))

    def environment(self) -> dict[str, Any]:
        """What was recorded about the machine, the code and the dataset.

        Raises `MissingObject` where it is not there, `BadInput` where it is no JSON object.
        """
        path = self.folder / ENVIRONMENT_NAME
        try:
            environment = json.loads(path.read_text())
        except FileNotFoundError:
            raise MissingObject(
                f"{path} is not there, and with it what the run was trained on; copy the whole run folder, or train again"
            ) from None
        except ValueError as error:
            raise BadInput(f"{path} is not JSON ({error}); copy the run folder again, or train again") from None
        if not isinstance(environment, dict):
            raise BadInput(f"{path} must be a JSON object; copy the run folder again, or train again")
        return environment

    def metrics(self) -> list[EpochMetrics]:
        """The rows of `metrics.csv`, one an epoch; none before the first epoch has ended."""
        path = self.folder / METRICS_NAME
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return [EpochMetrics.of(row) for row in csv.DictReader(file)]

    def load_network(self, which: Literal["best", "last"] = "best") -> nn.Module:
        """The trained network in evaluation mode, averaging mirror images where the recipe says so."""
        path = self.folder / f"{which}.safetensors"
        if not path.is_file():
            raise MissingObject(
                f"{path} is not there: the run has not finished an epoch; go on with: binsight train"
            )
        # The first weights are about to be replaced: neither a file nor a package is needed to open a run.
        network: nn.Module = build_network(self.recipe.model.model_copy(update={"weights": "none"}))
        try:
            network.load_state_dict(load_file(path))
        except Exception as error:  # noqa: BLE001 - whatever the parser raises, the file is at fault
            raise BadRecipe(f"{path} does not hold the weights of {self.folder / RECIPE_NAME}: {error}") from None
        if self.recipe.training.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.recipe.model.flip_average:
            network = FlipAverage(network)
        return network.eval()

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> npt.NDArray[np.float64]:
        """Probabilities (B, K) for photos of a dataset, by the best weights in full precision, untempered."""
        preprocessing = self.recipe.data.preprocessing
        pixels = cached_pixels(dataset, photos, preprocessing)
        return predict(self.load_network(), pixels, preprocessing)


def predict(
    network: nn.Module,
    pixels_BHWC: npt.NDArray[np.uint8],
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    device: torch.device | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> npt.NDArray[np.float64]:
    """Probabilities (B, K) of a network in evaluation mode for decoded pixels."""
    answers = []
    with torch.inference_mode():
        for start in range(0, len(pixels_BHWC), batch_size):
            images = torch.from_numpy(images_BCHW(pixels_BHWC[start : start + batch_size], preprocessing))
            with autocast():
                answers.append(network(images.to(device)).double().exp().cpu())
    probs_BK = torch.cat(answers).numpy()
    normalised: npt.NDArray[np.float64] = probs_BK / probs_BK.sum(axis=1, keepdims=True)
    return normalised


def describe_environment(dataset: Dataset) -> dict[str, Any]:
    """Versions, machine, git hash and dataset: what a run must keep to be explained later."""
    return {
        "binsight": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "git": git_hash(),
        "dataset": {"folder": dataset.folder.name, "sha256": dataset.digest},
        "packages": dict(sorted((d.metadata["Name"], d.version) for d in distributions())),
    }
