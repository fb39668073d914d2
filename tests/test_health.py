"""Health rules: each fires for its own illness and is silent for a healthy run."""

from dataclasses import replace

import pytest
import torch

from binsight.model.health import EpochMetrics, diagnose, first_weights_findings
from binsight.model.network import build_network
from binsight.model.recipe import Model

PRIOR = 2.3


def epoch(number: int, **values: float) -> EpochMetrics:
    healthy = EpochMetrics(
        epoch=number,
        lr=1e-3,
        train_loss=2.2 - 0.2 * number,
        val_nll=2.1 - 0.1 * number,
        val_rps=1.2,
        val_exact=0.3,
        val_within_one=0.6,
        val_mae=1.5,
        gradient_norm=2.0,
        gradient_norm_max=6.0,
        photos_per_s=30,
        wait_share=0.02,
        seconds=60,
    )
    return replace(healthy, **values)


def rules(*rows: EpochMetrics) -> list[str]:
    return [finding.rule for finding in diagnose(rows, prior_nll=PRIOR)]


def test_a_healthy_run_has_no_findings() -> None:
    assert rules(*(epoch(n) for n in range(1, 6))) == []
    assert rules() == []


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("loss_no_better_than_prior", [epoch(1, val_nll=2.35), epoch(2, val_nll=2.30)]),
        ("overfitting", [epoch(1, val_nll=1.8), epoch(2, val_nll=1.9), epoch(3, val_nll=2.0)]),
        ("vanishing_gradients", [epoch(1, gradient_norm=1e-7, gradient_norm_max=1e-7)]),
        ("exploding_gradients", [epoch(1), epoch(2, gradient_norm_max=900.0)]),
        ("data_starving", [epoch(1, wait_share=0.4)]),
    ],
)
def test_each_illness_is_found_and_no_other(rule: str, rows: list[EpochMetrics]) -> None:
    assert rules(*rows) == [rule]


def test_the_first_epoch_is_not_held_against_a_run() -> None:
    assert rules(epoch(1, val_nll=2.5)) == []


def test_findings_speak_in_sentences_with_the_figures_and_a_mend() -> None:
    (finding,) = diagnose([epoch(1, wait_share=0.4)], prior_nll=PRIOR)
    assert "40%" in finding.sentence
    assert "training.workers" in finding.sentence


def test_dead_first_weights_are_found() -> None:
    network = build_network(Model(backbone="timm:lcnet_035"))
    answers = network.train()(torch.randn(4, 3, 64, 64)).detach()
    assert first_weights_findings(network, answers) == []
    torch.nn.init.zeros_(network.backbone.conv_stem.weight)
    found = first_weights_findings(network, network(torch.randn(4, 3, 64, 64)).detach())
    assert [finding.rule for finding in found] == ["poor_first_weights", "same_answer_for_every_photo"]
    assert "conv_stem" in found[0].sentence
