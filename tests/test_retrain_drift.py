"""Drift that services see makes a retraining due: once an episode, answered by one that came to a decision."""

from typing import Any

import pytest
from tests.retrain_fakes import tell
from tests.retrain_world import FIRST, Killed, Retrained

from binsight.errors import GateFailed
from binsight.lifecycle.retrain import NOTHING_TO_DO, Ended
from binsight.storage.ledger import DriftEpisodes, Retrainings

TERMS = ("due.counts=100", "due.rest_hours=0")
"""New counts alone do not make it due, and neither does it rest."""


def when_due(world: Retrained, *overrides: str, **given: Any) -> Ended:
    return world.run(*TERMS, *overrides, when_due=True, **given)


def seen(world: Retrained, version: str = FIRST) -> int:
    return DriftEpisodes(world.ledger).seen(version, host="dock-3", sentence="brightness of the photos: lower")


def days_pass(world: Retrained) -> None:
    """Nobody has seen drift for long."""
    with world.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE drift_episodes SET seen_at = '2026-01-01T00:00:00.000000+00:00'")


@pytest.fixture(autouse=True)
def keeps(retrained: Retrained) -> None:
    tell("keep")


def test_it_is_due_once_for_an_episode_and_again_for_the_next(retrained: Retrained) -> None:
    assert when_due(retrained).sentence == "not due: 3 new counts of 100, 0.0 days of 30, no drift"
    first = seen(retrained)
    assert when_due(retrained).state == "kept"
    (row,) = Retrainings(retrained.ledger).newest()
    assert row.drift == first
    assert row.why.startswith("due: photos drift since 20")
    assert row.why.endswith(", as dock-3 saw last: brightness of the photos: lower")
    retrained.count(2, first_bin=10)
    assert seen(retrained) == first
    assert when_due(retrained).sentence.startswith("not due: 2 new counts of 100")
    days_pass(retrained)
    assert seen(retrained) > first
    assert when_due(retrained).state == "kept"


def test_drift_that_was_over_before_makes_nothing_due(retrained: Retrained) -> None:
    seen(retrained)
    DriftEpisodes(retrained.ledger).over(FIRST, host="dock-3")
    assert when_due(retrained).state == NOTHING_TO_DO
    seen(retrained)
    days_pass(retrained)
    assert when_due(retrained).state == NOTHING_TO_DO


def test_nor_does_drift_of_another_bundle_or_where_the_terms_do_not_ask(retrained: Retrained) -> None:
    seen(retrained, "b" * 12)
    assert when_due(retrained).state == NOTHING_TO_DO
    seen(retrained)
    assert when_due(retrained, "due.drift=false").state == NOTHING_TO_DO


def test_without_a_new_count_it_says_what_to_do_about_the_drift(retrained: Retrained) -> None:
    retrained.run()
    seen(retrained)
    sentence = when_due(retrained).sentence
    assert sentence.startswith("not due: no bin was counted since the last retraining, though photos drift since")
    assert sentence.endswith("have bins counted: binsight audit --tasks")


def test_a_retraining_that_somebody_asked_for_answers_it_too(retrained: Retrained) -> None:
    seen(retrained)
    assert retrained.run().state == "kept"
    retrained.count(1, first_bin=10)
    assert when_due(retrained).state == NOTHING_TO_DO


def test_one_that_failed_does_not_answer_it_and_going_on_does(retrained: Retrained) -> None:
    def diverge(_: object) -> None:
        raise GateFailed("the loss is nan at epoch 1, batch 2; lower training.lr")

    first = seen(retrained)
    tell("keep", train=diverge)
    with pytest.raises(GateFailed):
        when_due(retrained)
    assert not DriftEpisodes(retrained.ledger).is_answered(first)
    tell("keep")
    assert when_due(retrained).state == "kept"
    assert DriftEpisodes(retrained.ledger).is_answered(first)


@pytest.mark.parametrize("when", ["before the ledger knows of the plan", "after a step"])
def test_what_began_after_the_plan_is_not_answered_by_it(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        if when == "after a step":
            retrained.run(*TERMS, after_step=kill)
        patched.setattr("binsight.lifecycle.retrain.tell_begun", kill)
        retrained.run(*TERMS)
    seen(retrained)
    assert when_due(retrained).state == "kept"
    (row,) = Retrainings(retrained.ledger).newest()
    assert row.drift is None
    retrained.count(1, first_bin=10)
    assert when_due(retrained).state == "kept"


def test_a_new_champion_is_asked_about_by_its_own_measure(retrained: Retrained) -> None:
    tell("promote")
    seen(retrained)
    assert when_due(retrained).state == "promoted"
    retrained.count(1, first_bin=10)
    days_pass(retrained)
    seen(retrained)
    assert when_due(retrained).state == NOTHING_TO_DO, "the old one drifts anew, and nobody asks it"
    seen(retrained, retrained.champion)
    tell("keep")
    assert when_due(retrained).state == "kept"
