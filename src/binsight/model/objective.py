"""What a network is taught about each photo, and how far its answers are from it.

Axes: N all training photos, B photos of a batch, K counts, A auxiliary values.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from binsight.model.recipe import Recipe

NATURAL, COLLECTED, DRAWN = 0, 1, 2
"""Sources of training photos: those whose counts come as they will, those collected by their count, and drawn bins."""


class Objective:
    """The loss of a recipe over given training photos: `counts_N`, whether they come naturally, auxiliary values of
    their records, what the teachers say, if there are any, and how much each photo counts (`weights_N`, of mean 1). The
    last `num_drawn` are drawn bins, of which teachers say nothing: `taught_NK` ends before them."""

    def __init__(
        self,
        recipe: Recipe,
        counts_N: npt.NDArray[np.int64],
        is_natural_N: npt.NDArray[np.bool_],
        auxiliary_NA: npt.NDArray[np.float32],
        taught_NK: npt.NDArray[np.float32] | None = None,
        weights_N: npt.NDArray[np.float32] | None = None,
        *,
        num_drawn: int = 0,
    ) -> None:
        self._weights_N = torch.ones(len(counts_N)) if weights_N is None else torch.from_numpy(weights_N)
        self.targets_NK = targets_BK(
            torch.from_numpy(counts_N), num_counts=recipe.model.num_counts, soft_sigma=recipe.model.soft_sigma
        )
        kernel_KK = targets_BK(
            torch.arange(recipe.model.num_counts),
            num_counts=recipe.model.num_counts,
            soft_sigma=recipe.model.soft_sigma,
        )
        self._kernel_KK = kernel_KK if recipe.training.blur_answers and recipe.model.soft_sigma else None
        sources_N = np.where(is_natural_N, NATURAL, COLLECTED)
        sources_N[len(counts_N) - num_drawn :] = DRAWN
        self._log_shifts_NK = log_shifts_NK(self.targets_NK, torch.from_numpy(sources_N), self._weights_N)
        self._auxiliary_NA = torch.from_numpy(auxiliary_NA)
        self._auxiliary_weight = recipe.training.auxiliary_weight
        self._taught_NK = None if taught_NK is None else torch.from_numpy(taught_NK)
        self._teacher_shares_N = torch.zeros(len(counts_N))
        if self._taught_NK is not None:
            self._teacher_shares_N[: len(counts_N) - num_drawn] = recipe.training.teacher_share
            self._taught_NK = torch.cat([self._taught_NK, self.targets_NK[len(counts_N) - num_drawn :]])

    def loss(self, log_probs_BK: Tensor, told_BA: Tensor, places_B: Tensor) -> Tensor:
        """The loss of a network's answers for the photos at `places_B`: counts, and A values beside them."""
        known_BA = self._auxiliary_NA[places_B].to(log_probs_BK.device)
        return self._count_loss(log_probs_BK, places_B) + self._auxiliary_weight * auxiliary_loss(told_BA, known_BA)

    def _count_loss(self, log_probs_BK: Tensor, places_B: Tensor) -> Tensor:
        device = log_probs_BK.device
        weights_B = self._weights_N[places_B].to(device)
        shifted_BK = shifted(log_probs_BK, self._log_shifts_NK[places_B].to(device))
        if self._kernel_KK is not None:
            shifted_BK = blurred(shifted_BK, self._kernel_KK.to(device))
        wanted_BK = self.targets_NK[places_B].to(device)
        if self._taught_NK is None:
            return cross_entropy(shifted_BK, wanted_BK, weights_B)
        shares_B = self._teacher_shares_N[places_B].to(device)
        loss = cross_entropy(shifted_BK, wanted_BK, weights_B * (1 - shares_B))
        # Teachers answer as for natural photos whatever the photo, so theirs is compared without the shift.
        return loss + cross_entropy(log_probs_BK, self._taught_NK[places_B].to(device), weights_B * shares_B)


def targets_BK(counts_B: Tensor, *, num_counts: int, soft_sigma: float) -> Tensor:
    """Label distributions: one-hot, or a Gaussian of `soft_sigma` counts around the record, normalised.

    Counts beyond the last one are the last one, "K-1 or more". Soft ordinal labels: Diaz & Marathe 2019.
    """
    counts_B = counts_B.clamp(max=num_counts - 1)
    if soft_sigma == 0:
        return F.one_hot(counts_B, num_counts).float()
    distance_BK = torch.arange(num_counts, device=counts_B.device)[None] - counts_B[:, None]
    return torch.softmax(-(distance_BK**2) / (2 * soft_sigma**2), dim=1)


def log_shifts_NK(targets_NK: Tensor, sources_N: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """What to add to each training photo's log-probabilities so that the network learns the natural shares of counts.

    Nothing for a natural photo; for one of another source, the logarithm of how much more often each count occurs there.
    The network then answers for photos that come as the natural ones do, and learns from the others what a count
    looks like, not how often it is met (logit adjustment: Menon et al. 2021, arXiv:2007.07314). Photos that count more
    than others count more in the shares too.
    """
    num_counts = targets_NK.shape[1]
    weights_N = torch.ones(len(targets_NK)) if weights_N is None else weights_N

    def log_shares_K(chosen_N: Tensor) -> Tensor:
        # One photo's worth is spread evenly: a count that never occurred is unlikely, not impossible.
        shares_K = (targets_NK[chosen_N] * weights_N[chosen_N, None]).sum(0)
        return ((shares_K + 1 / num_counts) / (weights_N[chosen_N].sum() + 1)).log()

    shifts_NK = torch.zeros_like(targets_NK)
    for source in (COLLECTED, DRAWN):
        is_source_N = sources_N == source
        shifts_NK[is_source_N] = log_shares_K(is_source_N) - log_shares_K(sources_N == NATURAL)
    return shifts_NK


def shifted(log_probs_BK: Tensor, log_shifts_BK: Tensor) -> Tensor:
    """The log-probabilities with `log_shifts_BK` added, as distributions again."""
    return (log_probs_BK + log_shifts_BK).log_softmax(dim=1)


def blurred(log_probs_BK: Tensor, kernel_KK: Tensor) -> Tensor:
    """What soft labels look like on average where the counts are distributed as `log_probs_BK` say.

    Row n of `kernel_KK` is the soft label of the count n. A network that is compared with soft labels only after this
    loses nothing by answering as sharply as the photo allows; compared directly, it learns to blur its answers.
    """
    return torch.logsumexp(log_probs_BK[:, :, None] + kernel_KK.log()[None], dim=1)


def cross_entropy(log_probs_BK: Tensor, targets_BK: Tensor, weights_B: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of label distributions, in nats, each times its weight.

    Not divided by the batch's weights: they are 1 on average over all photos, and a batch of light photos is to move the
    network less than one of heavy ones. So the gradient is, in expectation, that of all photos as they are weighted.
    """
    losses_B = -(targets_BK * log_probs_BK).sum(dim=1)
    return (losses_B if weights_B is None else losses_B * weights_B).mean()


def auxiliary_loss(told_BA: Tensor, known_BA: Tensor) -> Tensor:
    """Mean smooth L1 distance over the values that are known; 0 where none is."""
    is_known_BA = ~known_BA.isnan()
    distance_BA = F.smooth_l1_loss(told_BA, known_BA.nan_to_num(), reduction="none")
    return (distance_BA * is_known_BA).sum() / is_known_BA.sum().clamp_min(1)
