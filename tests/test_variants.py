"""The parts that variants of the counter were tried with do what the experiments say of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bench import variant_parts as parts
from bench import variants

from binsight.model.network import Cumulative
from binsight.model.recipe import load_recipe

TINY = ["data.dataset=x", "model.weights=none"]


def chains(sizes: list[int], counts: list[int]) -> Any:
    """Photos as the trainer has them: neighbouring ids, in chains of such sizes."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    chosen = tuple(
        SimpleNamespace(photo=f"{place + 10 * group:05}", group=str(group)) for place, group in enumerate(groups)
    )

    class World(SimpleNamespace):
        def __len__(self) -> int:
            return len(groups)

    return World(chosen=chosen, counts=np.array(counts))


def test_photos_of_one_chain_come_in_one_batch() -> None:
    photos = chains([2] * 24, [1, 2] * 24)
    recipe = SimpleNamespace(seed=0, training=SimpleNamespace(batch_size=8))
    order = parts.chain_order(photos, recipe, 0)  # type: ignore[arg-type]
    assert sorted(order.ravel()) == list(range(48))
    for batch in order:
        assert {place ^ 1 for place in batch} == set(batch)
    assert not np.array_equal(order, parts.chain_order(photos, recipe, 1))  # type: ignore[arg-type]


def test_a_change_that_is_told_rightly_costs_nothing_however_wrong_the_counts() -> None:
    photos = chains([2, 1, 2], [3, 5, 9, 2, 2])

    def answers(*told: int) -> torch.Tensor:
        probs = torch.full((len(told), 21), 1e-9)
        probs[torch.arange(len(told)), torch.tensor(told)] = 1
        return probs.log()

    places = torch.arange(5)
    assert float(parts.known_change(photos, answers(4, 6, 0, 7, 7), places)) == pytest.approx(0, abs=1e-5)
    assert float(parts.known_change(photos, answers(4, 7, 0, 7, 7), places)) == pytest.approx(
        0.1 * 0.5 / 2, rel=1e-3
    )
    assert parts.known_change(photos, answers(4, 0), torch.tensor([0, 2])) == 0, "no pair in the batch"


def test_two_photos_as_one_hold_what_both_hold_together() -> None:
    """Of nets that always say one count, the one that says the sum loses least; running figures stay those of photos."""
    photos = SimpleNamespace(counts=np.array([1, 4, 2, 3, 2, 3]), is_natural=np.ones(6, bool))
    images, places = torch.rand(6, 3, 8, 8), torch.tensor([1, 0, 3, 4, 2, 5])  # 4 + 2, 1 + 2, 3 + 3

    class Says(torch.nn.Module):
        def __init__(self, *counts: int) -> None:
            super().__init__()
            self.norm, self.counts = torch.nn.BatchNorm2d(3), torch.tensor(counts)

        def forward_all(self, joined: torch.Tensor) -> tuple[torch.Tensor, None]:
            assert joined.shape == (3, 3, 8, 8)
            self.norm(joined)
            return torch.nn.functional.one_hot(self.counts, 21).float().mul(20).log_softmax(1), None

    def loss(network: Says) -> float:
        return float(parts.pairs(network, photos, images, places))  # type: ignore[arg-type]

    right = Says(6, 3, 6)
    assert loss(right) < min(loss(Says(4, 1, 3)), loss(Says(5, 3, 6)), loss(Says(6, 3, 5)))
    assert not right.norm.running_mean.any()  # type: ignore[union-attr]
    assert right.norm.momentum == 0.1


def test_a_sum_of_tokens_orders_the_counts() -> None:
    recipe = load_recipe(variants.RECIPE, TINY)
    network = parts.token_sum(recipe).eval()
    with torch.inference_mode():
        images = torch.randn(3, 3, 64, 64)
        log_probs, told = network.forward_all(images)
        assert log_probs.shape == (3, 21)
        assert told.shape == (3, 3)
        assert torch.allclose(log_probs.exp().sum(1), torch.ones(3), atol=1e-4)
        network.tokens.bias += 2  # type: ignore[operator] # every place holds more
        more = network(images)
    mean = [(probs.exp() * torch.arange(21)).sum(1) for probs in (log_probs, more)]
    assert (mean[1] > mean[0]).all()


def test_thresholds_of_the_prior_answer_the_prior_at_a_score_of_nothing() -> None:
    counts = np.repeat(np.arange(21), np.arange(21, 0, -1) * 20)
    head = Cumulative(4, 21)
    photos = SimpleNamespace(counts=counts, is_natural=np.ones(len(counts), bool))
    parts.thresholds_of_the_prior(SimpleNamespace(head=head), photos, None)  # type: ignore[arg-type]
    shares = np.bincount(counts) / len(counts)
    with torch.inference_mode():
        assert head(torch.zeros(1, 4)).exp()[0].numpy() == pytest.approx(shares, abs=0.002)


def test_tape_and_glare_change_photos_and_keep_them_in_range() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 3, 48, 48) * 2 - 1
    changed = parts.tape_and_glare(images.clone())
    different = (changed != images).flatten(1).any(1)
    assert 0.5 < float(different.float().mean()) < 1
    assert float(changed.abs().max()) <= 1.0 + 1e-5


def test_a_variant_is_compared_with_base_on_the_same_photos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, 400)
    blind, seeing = np.full((400, 21), 1 / 21), np.full((400, 21), 0.01)
    seeing[np.arange(400), counts] = 0.8
    common = {
        "counts": counts,
        "groups": np.arange(400) // 2,
        "listed": counts > 0,
        "native": np.arange(400) % 2 == 0,
    }
    same = dict.fromkeys(("probs", "unflipped", "last"), blind)
    np.savez(tmp_path / "base-0-0.npz", **same, **common)
    np.savez(tmp_path / "letterbox-0-0.npz", probs=seeing, **common)
    variants.print_table(tmp_path)
    rows = [variants.json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_name = {row["variant"]: row for row in rows}
    assert by_name["letterbox"]["all exact"].startswith("1.0000 (+")
    assert by_name["unflipped"]["all nll"].endswith("(+0.0000: +0.0000 to +0.0000)")
    assert by_name["base"]["photos"] == 400
