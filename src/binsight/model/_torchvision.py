"""torchvision, also where its compiled operators do not fit the installed torch.

torchvision's wheels are built against CUDA builds of torch. Beside a CPU build their compiled part is not
loaded, the operators `nms` and `qnms` are never registered, and importing torchvision (and with it timm)
fails with "operator torchvision::nms does not exist". Nothing here uses these operators: declaring them is
enough to import the models. Where torchvision works, this passes through untouched.
"""

import sys
from types import ModuleType
from typing import Any

import torch

_declared: list[Any] = []  # a torch Library lives as long as its Python object


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its two missing operators first where that is what fails."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        import torchvision
    return torchvision  # type: ignore[no-any-return]
