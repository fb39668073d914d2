"""Retrainings that race, hang or are overtaken: one at a time, and one move of the alias whatever happens."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bundle_support import changed_bundle
from tests.retrain_fakes import tell
from tests.retrain_world import FIRST, Retrained

from binsight.counting.registry import Registry
from binsight.errors import BinsightError, ChangedMeanwhile
from binsight.lifecycle import turn
from binsight.lifecycle.retrain import Ended, retrain
from binsight.records import CHAMPION
from binsight.storage.ledger import Ledger, Turns


def test_a_champion_that_was_moved_meanwhile_is_not_overrun(retrained: Retrained, tmp_path: Path) -> None:
    def move(_: object) -> None:
        version = retrained.registry.register(
            changed_bundle(tmp_path / "other", "card.md", b"other"), by="eve"
        ).version
        seen = retrained.registry.pointed(CHAMPION)
        retrained.registry.point(CHAMPION, version, by="eve", reason="by hand", seen=seen)

    tell(compare=move)
    with pytest.raises(ChangedMeanwhile, match="nothing was promoted"):
        retrained.run()
    theirs = retrained.champion
    assert theirs != FIRST
    assert retrained.states == ["dropped"]
    tell("keep")
    assert retrained.run().state == "kept"
    assert retrained.champion == theirs


def test_of_two_at_once_one_says_that_the_other_runs(retrained: Retrained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(turn, "LOOK_EVERY_S", 0.02)
    is_in, may_go = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        is_in.set()
        assert may_go.wait(60)

    tell(train=wait)
    ended: list[Ended] = []
    first = threading.Thread(target=lambda: ended.append(retrained.run()))
    first.start()
    assert is_in.wait(60)
    with pytest.raises(ChangedMeanwhile, match="another retraining works in"):
        retrained.run()
    with pytest.raises(ChangedMeanwhile, match=r"another retraining runs in .*work on"):
        retrained.run(work="elsewhere")
    may_go.set()
    first.join()
    assert [one.state for one in ended] == ["promoted"]
    assert len(retrained.registry.models.moves(CHAMPION)) == 2


def test_a_turn_whose_holder_is_dead_is_taken_over_after_a_while(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "DEAD_AFTER_S", 0.3)
    monkeypatch.setattr(turn, "LOOK_EVERY_S", 0.05)
    Turns(retrained.ledger).take(turn.RETRAIN, "dead", place="a machine that burnt down")
    assert retrained.run().state == "promoted"
    assert any("does not beat any more" in line for line in retrained.said)


def test_one_that_stood_still_while_another_took_over_promotes_nothing(retrained: Retrained) -> None:
    def overtake(_: object) -> None:
        turns = Turns(retrained.ledger)
        seen = turns.take(turn.RETRAIN, "other", place="there")
        assert turns.take(turn.RETRAIN, "other", place="there", dead=seen).holder == "other"

    tell(export=overtake)
    with pytest.raises(ChangedMeanwhile, match="took over while this one stood still"):
        retrained.run()
    assert retrained.champion == FIRST


def test_two_that_both_got_to_the_end_cannot_both_promote(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any turn at all, compare-and-swap alone decides."""
    monkeypatch.setattr(turn.Held, "check", lambda _: None)
    monkeypatch.setattr(Turns, "take", lambda *_, **__: turn.Turn(name="", holder=_[2], place="", beats=1))
    both = threading.Barrier(2, timeout=60)
    tell(compare=lambda _: both.wait())
    found: list[Ended | BinsightError] = []

    def one(work: str) -> Callable[[], None]:
        def run() -> None:
            ledger, registry = Ledger.open(retrained.ledger.url), Registry.open()
            try:
                found.append(
                    retrain(
                        retrained.site.load(),
                        retrained.site.folder / work,
                        registry,
                        ledger,
                        by=work,
                        say=lambda _: None,
                    )
                )
            except BinsightError as error:
                found.append(error)
            finally:
                ledger.close()
                registry.close()

        return run

    threads = [threading.Thread(target=one(work)) for work in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    promoted = [one for one in found if isinstance(one, Ended) and one.state == "promoted"]
    failed = [one for one in found if isinstance(one, ChangedMeanwhile)]
    assert (len(promoted), len(failed)) == (1, 1), found
    assert len(retrained.registry.models.moves(CHAMPION)) == 2


def test_beats_are_kept_up_while_a_step_takes_long(retrained: Retrained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "BEAT_EVERY_S", 0.02)
    beats: list[int] = []

    def look(_: object) -> None:
        for _again in range(2):
            beats.append(Turns(retrained.ledger).take(turn.RETRAIN, "nobody", place="").beats)
            time.sleep(0.3)

    tell(train=look)
    retrained.run()
    assert beats[1] > beats[0] + 1
