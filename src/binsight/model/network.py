"""The counting network: a backbone, and a head that turns features into log-probabilities over counts.

Axes: B photos, C channels, H rows, W columns, F features, K counts (0 … K-1, the last "K-1 or more").
Every head ends in `log_probs_BK`, whatever it computes inside, so that losses, calibration, export and
counting know one form only.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from binsight.errors import BadRecipe
from binsight.model.backbones import build_backbone, load_weights, read_weights
from binsight.model.recipe import Model


class Classes(nn.Linear):
    """Softmax over K unordered classes."""

    def forward(self, features_BF: Tensor) -> Tensor:
        return F.log_softmax(super().forward(features_BF).float(), dim=1)


class Cumulative(nn.Module):
    """Proportional odds: p(n > k) = sigmoid(w·x - θ_k) with θ_0 < θ_1 < … (McCullagh 1980; CORAL, Cao et al. 2020).

    One direction in feature space orders all counts. The thresholds are kept in order by construction, so
    the differences of neighbouring p(n > k) are always a distribution.
    """

    def __init__(self, num_features: int, num_counts: int) -> None:
        super().__init__()
        self.score = nn.Linear(num_features, 1, bias=False)
        self.first_threshold = nn.Parameter(torch.tensor(-2.0))
        self.steps = nn.Parameter(torch.full((num_counts - 2,), 0.5413))  # softplus of it is 1

    def forward(self, features_BF: Tensor) -> Tensor:
        steps = torch.cat([self.first_threshold[None], F.softplus(self.steps)])
        logits = self.score(features_BF).float() - steps.cumsum(0)
        above_BK = torch.cat([torch.ones_like(logits[:, :1]), torch.sigmoid(logits)], dim=1)
        beyond_BK = torch.cat([torch.sigmoid(logits), torch.zeros_like(logits[:, :1])], dim=1)
        return (above_BK - beyond_BK).clamp_min(1e-7).log().log_softmax(dim=1)


class Continuation(nn.Linear):
    """Continuation ratios: p(n > k | n ≥ k) = sigmoid(logit_k), chained (CORN; Shi, Cao & Raschka 2021)."""

    def __init__(self, num_features: int, num_counts: int) -> None:
        super().__init__(num_features, num_counts - 1)

    def forward(self, features_BF: Tensor) -> Tensor:
        logits = super().forward(features_BF).float()
        none = torch.zeros_like(logits[:, :1])
        reach_BK = torch.cat([none, F.logsigmoid(logits).cumsum(1)], dim=1)  # log p(n ≥ k)
        stop_BK = torch.cat([F.logsigmoid(-logits), none], dim=1)  # log p(n = k | n ≥ k); the last always stops
        return reach_BK + stop_BK


HEADS = {"classes": Classes, "cumulative": Cumulative, "continuation": Continuation}


class CountNetwork(nn.Module):
    """`images_BCHW` → `log_probs_BK`; `forward_all` adds what is learnt beside the count, for training only."""

    def __init__(self, backbone: nn.Module, num_features: int, *, model: Model) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(model.dropout)
        self.head = HEADS[model.head](num_features, model.num_counts)
        self.auxiliary = nn.Linear(num_features, len(model.auxiliary)) if model.auxiliary else None
        self.frozen = model.frozen
        if model.frozen:
            backbone.requires_grad_(False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.forward_all(images_BCHW)[0]

    def forward_all(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """`log_probs_BK`, and the auxiliary values that are learnt beside it (B, A)."""
        features_BF = self.dropout(self.backbone(images_BCHW))
        told_BA = features_BF[:, :0] if self.auxiliary is None else self.auxiliary(features_BF)
        return self.head(features_BF), told_BA.float()

    def train(self, mode: bool = True) -> "CountNetwork":
        """Training mode; a frozen backbone keeps its batch statistics."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


class FlipAverage(nn.Module):
    """The mean distribution over a photo and its mirror image: a bin holds as many items seen in a mirror."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        plain, mirrored = self.network(images_BCHW), self.network(images_BCHW.flip(3))
        mean: Tensor = torch.logaddexp(plain, mirrored) - 0.6931471805599453  # log 2
        return mean


def check_takes(network: nn.Module, size: int, *, backbone: str, mend: str) -> None:
    """Ask the network, in the mode it is in, about two blank photos of a size. In training mode that moves its statistics.

    Raises `BadRecipe` naming the backbone and the size, and ending in `mend`, where it cannot be asked.
    """
    try:
        with torch.no_grad():
            network(torch.zeros(2, 3, size, size))
    except Exception as error:  # noqa: BLE001 - networks have errors of their own for sizes that they do not take
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise BadRecipe(
            f"model.backbone={backbone} must take photos of {size} × {size} pixels and give one tensor of features, but "
            f"ends in {type(error).__name__}: {reason}; {mend}"
        ) from None


def build_network(model: Model) -> CountNetwork:
    """A network by its recipe, with its first weights loaded. Raises as `build_backbone` does."""
    source, _, where = model.weights.partition(":")
    if source != "run":
        return CountNetwork(*build_backbone(model.backbone, model.weights, drop_path=model.drop_path), model=model)
    network = CountNetwork(*build_backbone(model.backbone, "none", drop_path=model.drop_path), model=model)
    found = read_weights(Path(where) / "best.safetensors")
    # What the earlier run learnt beside the count may have been something else, or nothing.
    fresh = {key: value for key, value in network.state_dict().items() if key.startswith("auxiliary.")}
    load_weights(network, {**found, **fresh}, model.weights)
    return network
