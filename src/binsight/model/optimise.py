"""How weights move: the optimizer, the schedule of its learning rate, and the weights' moving average."""

from typing import Any

import torch
from torch import nn

from binsight.errors import BadRecipe
from binsight.model._torchvision import import_torchvision
from binsight.model.recipe import Training


def moving_average(network: nn.Module, training: Training, device: torch.device) -> Any:
    """An exponential moving average of the weights (timm's `ModelEmaV3`), or None where its decay is 0."""
    if training.ema_decay == 0:
        return None
    import_torchvision()  # timm needs it
    from timm.utils import ModelEmaV3  # type: ignore[attr-defined]

    return ModelEmaV3(network, decay=training.ema_decay, use_warmup=training.ema_warmup, device=device)


def make_optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """timm's optimizer of that name, without weight decay on biases and norms.

    Raises `BadRecipe` for another, and for one that needs second derivatives.
    """
    import_torchvision()
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

    try:
        optimizer = create_optimizer_v2(
            network, opt=training.optimizer, lr=training.lr, weight_decay=training.weight_decay
        )
    except (ValueError, AssertionError) as error:
        raise BadRecipe(f"training.optimizer: timm knows no optimizer {training.optimizer!r} ({error})") from None
    assert isinstance(optimizer, torch.optim.Optimizer)
    if getattr(optimizer, "is_second_order", False):
        raise BadRecipe(
            f"training.optimizer must do with first derivatives, but {training.optimizer} needs second ones; choose "
            "another, such as adamw"
        )
    return optimizer


def make_scheduler(
    optimizer: torch.optim.Optimizer, training: Training, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate over `total_steps` batches."""
    schedules = torch.optim.lr_scheduler
    match training.schedule:
        case "onecycle":
            return schedules.OneCycleLR(
                optimizer,
                max_lr=training.lr,
                total_steps=total_steps + 1,
                cycle_momentum=not {"momentum", "betas"}.isdisjoint(optimizer.defaults),  # some have none to move
            )
        case "cosine":
            return schedules.CosineAnnealingLR(optimizer, T_max=total_steps)
        case "constant":
            return schedules.LambdaLR(optimizer, lambda _: 1.0)
