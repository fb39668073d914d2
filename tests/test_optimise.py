"""How weights move."""

import pytest
import torch
from torch import nn

from binsight.model.optimise import make_optimizer, make_scheduler, moving_average
from binsight.model.recipe import Training


@pytest.mark.parametrize(("warmup", "least", "most"), [(True, 35, 45), (False, 2, 4)])
def test_without_warm_up_the_average_of_weights_reaches_back_to_the_first_ones(
    warmup: bool, least: float, most: float
) -> None:
    """A weight that was 1 after the first batch and is 50 after the last one."""
    network = nn.Linear(1, 1)
    average = moving_average(network, Training(ema_decay=0.999, ema_warmup=warmup), torch.device("cpu"))
    for step in range(50):
        nn.init.constant_(network.weight, step + 1)
        average.update(network, step=step)
    assert least < float(average.module.weight.detach()) < most


def test_a_decay_of_0_asks_for_no_average() -> None:
    assert moving_average(nn.Linear(1, 1), Training(ema_decay=0), torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("optimizer", "moves"), [("adafactor", False), ("adadelta", False), ("adamw", True), ("sgd", True)]
)
def test_every_optimizer_goes_up_and_down_and_its_momentum_with_it_where_it_has_one(
    optimizer: str, moves: bool
) -> None:
    training, network = Training(optimizer=optimizer, schedule="onecycle"), nn.Linear(1, 1)
    made = make_optimizer(network, training)
    schedule = make_scheduler(made, training, 10)
    network(torch.ones(1, 1)).sum().backward()
    rates = []
    for _ in range(10):
        made.step()
        schedule.step()
        rates += schedule.get_last_lr()
    assert max(rates) == pytest.approx(training.lr, rel=0.05)
    assert rates[0] < max(rates) > rates[-1]
    assert ("base_momentum" in made.param_groups[0]) == moves
