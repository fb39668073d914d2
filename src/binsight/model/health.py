"""Is the training well? Rules over what was measured, each answering in plain words: pure functions.

The rules are those of the usual training debuggers: loss not falling, overfitting, vanishing and exploding
gradients, poor first weights, a device that waits for data.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """One row of `metrics.csv`. Losses in nats, `val_rps` and `val_mae` in items, shares in 0 … 1."""

    epoch: int
    lr: float
    train_loss: float
    val_nll: float
    val_rps: float
    val_exact: float
    val_within_one: float
    val_mae: float
    gradient_norm: float
    gradient_norm_max: float
    photos_per_s: float
    wait_share: float
    seconds: float

    @classmethod
    def of(cls, row: Mapping[str, str]) -> "EpochMetrics":
        """From a row of `metrics.csv`."""
        values: dict[str, Any] = {name: float(value) for name, value in row.items()}
        return cls(**values | {"epoch": int(row["epoch"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that fired: its name for scripts, a sentence for a person."""

    rule: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


WARM_UP_EPOCHS = 2
"""Epochs before "no better than the prior" is held against a run."""


def diagnose(rows: Sequence[EpochMetrics], *, prior_nll: float) -> list[Finding]:
    """Findings after the epochs so far. `prior_nll`: the log score on `val` of the train split's own count shares."""
    if not rows:
        return []
    return [
        finding
        for finding in (
            _no_better_than_prior(rows, prior_nll),
            _overfitting(rows),
            _vanishing(rows),
            _exploding(rows),
            _starving(rows),
        )
        if finding
    ]


def _no_better_than_prior(rows: Sequence[EpochMetrics], prior_nll: float) -> Finding | None:
    best = min(row.val_nll for row in rows)
    if len(rows) < WARM_UP_EPOCHS or best < prior_nll - 0.01:
        return None
    return Finding(
        rule="loss_no_better_than_prior",
        sentence=f"after {len(rows)} epochs the network scores {best:.3f} nats on photos it has not seen, and always "
        f"answering the usual shares of counts scores {prior_nll:.3f}: it has learnt nothing from the photos. Try a "
        "lower learning rate, pretrained weights, or check that labels belong to their photos.",
    )


def _overfitting(rows: Sequence[EpochMetrics]) -> Finding | None:
    best = min(range(len(rows)), key=lambda i: rows[i].val_nll)
    since, rise = len(rows) - 1 - best, rows[-1].val_nll - rows[best].val_nll
    if since < 2 or rise < 0.05 or rows[-1].train_loss >= rows[best].train_loss:
        return None
    return Finding(
        rule="overfitting",
        sentence=f"the loss on training photos still falls, but on unseen photos it has risen by {rise:.3f} nats since "
        f"epoch {rows[best].epoch}: the network learns photos by heart. The best weights are kept; try fewer epochs, "
        "more augmentation or weight decay.",
    )


def _vanishing(rows: Sequence[EpochMetrics]) -> Finding | None:
    norm = rows[-1].gradient_norm
    if norm >= 1e-5:
        return None
    return Finding(
        rule="vanishing_gradients",
        sentence=f"the gradient's norm is {norm:.1e}: nothing reaches the weights any more. Try a higher learning rate, "
        "another backbone, or better first weights.",
    )


def _exploding(rows: Sequence[EpochMetrics]) -> Finding | None:
    usual, worst = statistics.median(row.gradient_norm for row in rows), rows[-1].gradient_norm_max
    if worst < 1e3 and worst < 100 * max(usual, 1e-3):
        return None
    return Finding(
        rule="exploding_gradients",
        sentence=f"the gradient's norm rose to {worst:.3g} where {usual:.3g} is usual: steps are too large. Lower "
        "training.lr or training.gradient_clip.",
    )


def _starving(rows: Sequence[EpochMetrics]) -> Finding | None:
    share = rows[-1].wait_share
    if share < 0.2:
        return None
    return Finding(
        rule="data_starving",
        sentence=f"the device waited for photos {share:.0%} of the time. Raise training.workers, or put "
        "BINSIGHT_CACHE_DIR on a faster disk.",
    )


def first_weights_findings(network: nn.Module, log_probs_BK: Tensor) -> list[Finding]:
    """Findings before the first step, from the weights and the answers to one batch of photos."""
    dead = [name for name, weight in _weights(network) if not torch.isfinite(weight).all() or weight.std() == 0]
    findings = []
    if dead:
        findings.append(
            Finding(
                rule="poor_first_weights",
                sentence=f"{len(dead)} weight tensors are constant or not finite before training (first: {dead[0]}): "
                "units that start alike stay alike. Mend the weights file or leave model.weights=none.",
            )
        )
    if len(log_probs_BK) > 1 and float(log_probs_BK.std(dim=0).max()) < 1e-6:
        findings.append(
            Finding(
                rule="same_answer_for_every_photo",
                sentence="before training, every photo gets the same answer to the last digit: the signal dies on its "
                "way through the network. Check model.weights and data.preprocessing.",
            )
        )
    return findings


def _weights(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    return (
        (name, weight.detach())
        for name, weight in network.named_parameters()
        if weight.ndim >= 2 and weight.numel() > 1
    )
