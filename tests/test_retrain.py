"""What a retraining does between its steps: each once, on after any end, nothing promoted by accident."""

from pathlib import Path
from typing import Any

import pytest
from tests.retrain_fakes import QUICK, lines, tell, times_begun
from tests.retrain_support import a_site
from tests.retrain_world import FIRST, Killed, Retrained

from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.errors import GateFailed, MissingObject, StorageFailure
from binsight.lifecycle.retrain import NOTHING_TO_DO, retrain
from binsight.records import CANARY, CHAMPION
from binsight.storage.ledger import Ledger, Retrainings


def test_each_step_is_done_once_and_a_better_challenger_becomes_the_champion(retrained: Retrained) -> None:
    ended = retrained.run()
    assert ended.state == "promoted"
    assert retrained.champion == ended.challenger != FIRST
    assert lines(retrained.site.work) == [(step.name, what) for step in QUICK for what in ("begun", "done")]
    (row,) = Retrainings(retrained.ledger).newest()
    assert (row.state, row.watch, row.alias, row.revision) == ("promoted", "open", CHAMPION, 2)
    assert row.outcome["limits"]["hours"] == 24
    (move, _) = retrained.registry.models.moves(CHAMPION)
    assert move.reason == f"retraining {ended.id}: it was told so"


@pytest.mark.parametrize(("word", "state"), [("keep", "kept"), ("refuse", "refused")])
def test_a_challenger_that_is_not_better_changes_nothing(retrained: Retrained, word: str, state: str) -> None:
    tell(word)
    assert retrained.run().state == state
    assert retrained.champion == FIRST
    assert len(retrained.registry.models.versions()) == 1


def test_a_better_one_may_be_tried_as_canary_first(retrained: Retrained) -> None:
    ended = retrained.run("after.better=canary")
    assert ended.state == "canary"
    assert retrained.champion == FIRST
    canary = retrained.registry.pointed(CANARY)
    assert canary is not None
    assert canary.version == ended.challenger


@pytest.mark.parametrize("after", [step.name for step in QUICK])
def test_killed_after_any_step_it_goes_on_and_the_same_comes_of_it(retrained: Retrained, after: str) -> None:
    def kill(done: Any) -> None:
        if done.step.name == after:
            raise Killed

    with pytest.raises(Killed):
        retrained.run(after_step=kill)
    retrained.count(2, first_bin=100)  # what came since waits for the next one
    ended = retrained.run()
    assert ended.state == "promoted"
    assert set(times_begun(retrained.site.work).values()) == {1}
    assert retrained.champion == ended.challenger == undisturbed(retrained)
    assert len(retrained.registry.models.moves(CHAMPION)) == 2


@pytest.mark.parametrize("within", ["train", "export", "compare"])
def test_killed_within_a_step_that_step_alone_is_begun_again(retrained: Retrained, within: str) -> None:
    def kill(_: object) -> None:
        raise Killed

    tell(**{within: kill})
    with pytest.raises(Killed):
        retrained.run()
    tell()
    ended = retrained.run()
    begun = times_begun(retrained.site.work)
    assert begun.pop(within) == 2
    assert set(begun.values()) == {1}
    assert retrained.champion == ended.challenger == undisturbed(retrained)


def test_killed_right_after_its_move_it_does_not_move_again(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("binsight.lifecycle.work._write", kill)
        with pytest.raises(Killed):
            retrained.run()
    moved = retrained.champion
    assert moved != FIRST
    ended = retrained.run()
    assert (ended.state, ended.challenger) == ("promoted", moved)
    assert len(retrained.registry.models.moves(CHAMPION)) == 2
    assert retrained.states == ["promoted"]


def undisturbed(retrained: Retrained) -> str | None:
    """What comes of the first three counts in a folder where nothing was killed."""
    plans = list((retrained.site.work / "past").glob("*/plan.json"))
    assert len(plans) == 1
    (folder,) = (retrained.site.work / "steps").glob("export-*/challenger")
    return Bundle.open(folder).version


def test_nothing_new_is_said_and_ends_and_may_be_retrained_all_the_same(retrained: Retrained) -> None:
    tell("keep")
    retrained.run()
    again = retrained.run()
    assert again.state == NOTHING_TO_DO
    assert "nothing is new since the retraining of" in again.sentence
    assert retrained.run(anyway=True).num_done == 1, "what was made is found, and only concluded anew"
    retrained.count(1, first_bin=50)
    assert retrained.run().state == "kept"


def test_without_any_count_the_champions_own_dataset_teaches_nothing(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage = Bundle.open(default_bundle()).spec.lineage["dataset_sha256"]
    monkeypatch.setattr("binsight.lifecycle.beginning.counted_bins", lambda _: [])
    monkeypatch.setattr("binsight.lifecycle.beginning.identity", lambda *_: lineage)
    ended = retrained.run()
    assert ended.state == NOTHING_TO_DO
    assert ended.sentence.startswith("no bin with a photo was counted yet")


def test_when_due_it_says_why_not_and_retrains_once_it_is(retrained: Retrained) -> None:
    ended = retrained.run("due.counts=5", when_due=True)
    assert (ended.state, ended.sentence) == (NOTHING_TO_DO, "not due: 3 new counts of 5, 0.0 days of 30, no drift")
    retrained.count(2, first_bin=10)
    ended = retrained.run("due.counts=5", when_due=True)
    assert ended.state == "promoted"
    (row,) = Retrainings(retrained.ledger).newest()
    assert row.why == "due: 5 new counts, 5 make it due"
    retrained.count(9, first_bin=20)
    assert "hours are left" in retrained.run("due.counts=5", when_due=True).sentence


def test_what_is_under_way_goes_on_whether_another_is_due_or_not(retrained: Retrained) -> None:
    def kill(_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        retrained.run(after_step=kill)
    assert retrained.run(when_due=True).state == "promoted"


def test_with_other_terms_what_is_under_way_is_given_up_and_what_it_made_is_used(retrained: Retrained) -> None:
    def diverge(_: object) -> None:
        raise GateFailed("the loss is nan at epoch 1, batch 2; lower training.lr")

    tell(export=diverge)
    with pytest.raises(GateFailed, match="the loss is nan"):
        retrained.run()
    assert retrained.states == ["failed"]
    assert retrained.champion == FIRST
    tell()
    ended = retrained.run('train.overrides=["training.lr=1e-4"]')
    assert ended.state == "promoted"
    assert sorted(retrained.states) == ["dropped", "promoted"]
    assert times_begun(retrained.site.work)["gather"] == 1
    assert any("its terms or its recipe were changed" in line for line in retrained.said)


def test_a_failed_step_leaves_its_sentence_and_the_same_command_goes_on(retrained: Retrained) -> None:
    def full(_: object) -> None:
        raise StorageFailure("the disk is full; free space and run again")

    tell(train=full)
    with pytest.raises(StorageFailure):
        retrained.run()
    (row,) = Retrainings(retrained.ledger).newest()
    assert (row.state, row.step, row.sentence) == ("failed", "train", "the disk is full; free space and run again")
    assert retrained.champion == FIRST
    tell()
    assert retrained.run().state == "promoted"
    assert retrained.states == ["promoted"]


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("write_text", "write_bytes"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, name, full)
            with pytest.raises(StorageFailure, match="No space left on device"):
                retrained.run()
    assert retrained.champion == FIRST
    assert retrained.run().state == "promoted"


def test_without_a_champion_there_is_nothing_to_be_better_than(
    abid: Path, places: dict[str, str], tmp_path: Path
) -> None:
    registry, ledger = Registry.open(), Ledger.open(places["BINSIGHT_LEDGER"])
    site = a_site(abid, tmp_path, {"train": 2, "val": 2, "test": 2})
    with pytest.raises(MissingObject, match="points at no model yet"):
        retrain(site.load(), site.work, registry, ledger, by="ann", say=lambda _: None)
    registry.close()
    ledger.close()


def test_damaged_work_is_done_again_and_said_so(retrained: Retrained) -> None:
    tell("keep")
    retrained.run()
    (weights,) = (retrained.site.work / "steps").glob("train-*/run/best.safetensors")
    weights.write_bytes(b"damaged")
    retrained.run(anyway=True)
    assert times_begun(retrained.site.work)["train"] == 2
    assert any("what was made before is damaged" in line for line in retrained.said)
