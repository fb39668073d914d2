"""What a network is taught about photos: counts, natural or not, and numbers beside them."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from binsight.model.objective import COLLECTED, NATURAL, Objective, auxiliary_loss, log_shifts_NK, targets_BK
from binsight.model.recipe import Recipe


def an_objective(
    counts: list[int],
    is_natural: list[bool],
    known: list[float],
    *,
    model: Mapping[str, object] | None = None,
    weights: list[float] | None = None,
    **training: object,
) -> Objective:
    """Of a network with five counts, plain labels and one auxiliary value, unless told otherwise."""
    fields = {
        "name": "five",
        "data": {"dataset": "bins"},
        "model": {"backbone": "timm:any", "max_count": 4, "auxiliary": ["weight"]} | dict(model or {}),
        "training": training,
    }
    auxiliary_NA = np.array(known, dtype=np.float32)[:, None]
    weights_N = None if weights is None else np.array(weights, dtype=np.float32)
    return Objective(
        Recipe.model_validate(fields), np.array(counts), np.array(is_natural), auxiliary_NA, weights_N=weights_N
    )


def fitted_shares(objective: Objective, num_photos: int) -> list[float]:
    """What a network that cannot see the photos learns to answer: its bias alone is trained, to the end."""
    bias = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=200, line_search_fn="strong_wolfe")
    places = torch.arange(num_photos)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        log_probs = bias.log_softmax(dim=0).expand(num_photos, 5)
        value = objective.loss(log_probs, torch.zeros(num_photos, 1), places)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return [round(share, 2) for share in bias.detach().softmax(dim=0).tolist()]


def test_the_shares_of_photos_collected_by_their_count_are_not_learnt() -> None:
    natural, others = [0] * 100 + [1] * 300 + [2] * 400 + [3] * 150 + [4] * 50, [1] * 2000 + [3] * 1000
    counts, is_natural = natural + others, [True] * 1000 + [False] * 3000

    def shares(is_natural: list[bool]) -> list[float]:
        return fitted_shares(an_objective(counts, is_natural, [0.0] * 4000), 4000)

    assert shares(is_natural) == pytest.approx([0.1, 0.3, 0.4, 0.15, 0.05], abs=0.011)
    assert shares([True] * 4000)[1] == pytest.approx(2300 / 4000, abs=0.011)


def test_a_photo_counts_as_much_as_its_weight() -> None:
    """Of 1,000 bins 900 hold 1, of which 100 were counted; of those that hold 3 all were."""
    counts, weights = [1] * 100 + [3] * 100, [1.8] * 100 + [0.2] * 100
    weighted = an_objective(counts, [True] * 200, [0.0] * 200, weights=weights)
    assert fitted_shares(weighted, 200) == pytest.approx([0, 0.9, 0, 0.1, 0], abs=0.011)
    as_they_come = an_objective(counts, [True] * 200, [0.0] * 200)
    assert fitted_shares(as_they_come, 200) == pytest.approx([0, 0.5, 0, 0.5, 0], abs=0.011)


def test_natural_shares_of_counts_are_those_of_weighted_photos() -> None:
    counts, is_natural = [1] * 100 + [3] * 100 + [1] * 50 + [3] * 150, [True] * 200 + [False] * 200
    weights = [1.8] * 100 + [0.2] * 100 + [1.0] * 200
    weighted = an_objective(counts, is_natural, [0.0] * 400, weights=weights)
    assert fitted_shares(weighted, 400) == pytest.approx([0, 0.9, 0, 0.1, 0], abs=0.011)


def test_answers_that_are_blurred_like_the_labels_are_learnt_sharp() -> None:
    counts = [0] * 100 + [1] * 700 + [2] * 200

    def shares(blur_answers: bool) -> list[float]:
        soft = an_objective(
            counts, [True] * 1000, [0.0] * 1000, model={"soft_sigma": 0.6}, blur_answers=blur_answers
        )
        return fitted_shares(soft, 1000)

    assert shares(True) == pytest.approx([0.1, 0.7, 0.2, 0, 0], abs=0.011)
    labels = targets_BK(torch.tensor(counts), num_counts=5, soft_sigma=0.6).mean(dim=0)
    assert shares(False) == pytest.approx(labels.tolist(), abs=0.011)
    assert labels[1] < 0.55


def test_auxiliary_values_count_only_where_they_are_known() -> None:
    nan = float("nan")
    told = torch.tensor([[3.0, 5.0], [1.0, 1.0]], requires_grad=True)
    loss = auxiliary_loss(told, torch.tensor([[1.0, nan], [nan, nan]]))
    assert float(loss.detach()) == pytest.approx(2 - 0.5)  # smooth L1 of a distance of 2
    loss.backward()  # type: ignore[no-untyped-call]
    assert told.grad is not None
    assert (told.grad != 0).tolist() == [[True, False], [False, False]]
    assert float(auxiliary_loss(told.detach(), torch.full((2, 2), nan))) == 0
    assert float(auxiliary_loss(torch.zeros(2, 0), torch.zeros(2, 0))) == 0


def test_the_loss_is_the_counts_loss_and_the_weighted_auxiliary_loss_of_the_photos_asked_for() -> None:
    objective = an_objective([1, 2, 3], [True] * 3, [0.0, 5.0, float("nan")], auxiliary_weight=0.25)
    log_probs = torch.tensor([[0.1, 0.2, 0.3, 0.2, 0.2], [0.1, 0.1, 0.1, 0.6, 0.1]]).log()
    loss = objective.loss(log_probs, torch.tensor([[2.0], [9.0]]), torch.tensor([1, 2]))
    assert float(loss) == pytest.approx(-(np.log(0.3) + np.log(0.6)) / 2 + 0.25 * (3 - 0.5), rel=1e-5)


def test_natural_photos_are_learnt_from_as_they_are() -> None:
    targets = targets_BK(torch.tensor([1, 2, 3]), num_counts=5, soft_sigma=0.6)
    assert not log_shifts_NK(targets, torch.tensor([NATURAL] * 3)).any()
    sources = torch.tensor([NATURAL, COLLECTED, NATURAL])
    assert log_shifts_NK(targets, sources).any(dim=1).tolist() == [False, True, False]
