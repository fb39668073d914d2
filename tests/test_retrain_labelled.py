"""Labelled captures within whole retrainings, whose steps are quick."""

from pathlib import Path
from typing import Any

import pytest
from tests.captures_support import a_capture
from tests.labelled_support import keep, label
from tests.retrain_fakes import tell, times_begun
from tests.retrain_world import Killed, Retrained

from binsight.imaging.drawn import drawn_photo
from binsight.imaging.strip import stripped
from binsight.lifecycle.counted import CAPTURED, read_gathered
from binsight.lifecycle.retrain import NOTHING_TO_DO
from binsight.storage.ledger import Retrainings


@pytest.fixture
def site(retrained: Retrained, captures_in: Path) -> Retrained:
    tell("keep")
    return retrained


def labelled(number: int, *, first: int = 0) -> None:
    """So many more captures, each with its count; none of a bin that was counted."""
    places = range(first, first + number)
    captures = [a_capture(place, stripped(drawn_photo(2, seed=900 + place)), share=0.1) for place in places]
    keep(captures)
    label({one.event_id: 2 for one in captures})


def test_they_make_a_retraining_due_once_and_are_among_its_photos(site: Retrained) -> None:
    terms = ("due.counts=5", "due.rest_hours=0")
    labelled(1)
    assert site.run(*terms, when_due=True).sentence == "not due: 4 new counts of 5, 0.0 days of 30, no drift"
    labelled(1, first=1)
    assert site.run(*terms, when_due=True).state == "kept"
    (row,) = Retrainings(site.ledger).newest()
    assert (row.num_counts, row.num_labelled) == (3, 2)
    (counts,) = (site.site.work / "steps").glob("gather-*/counts")
    assert [one["origin"] for one in read_gathered(counts)].count(CAPTURED) == 2
    assert site.run(*terms, when_due=True).sentence.startswith("not due: no bin was counted since")
    labelled(1, first=2)
    assert site.run(*terms, when_due=True).sentence.startswith("not due: 1 new counts of 5")
    assert site.run().state == "kept", "there is something new to learn"


def test_the_terms_can_leave_them_out(site: Retrained) -> None:
    labelled(2)
    terms = ("due.counts=4", "data.captures=false")
    assert site.run(*terms, when_due=True).sentence.startswith("not due: 3 new counts of 4")
    assert site.run(*terms).state == "kept"
    assert Retrainings(site.ledger).newest()[0].num_labelled == 0
    assert site.run("due.counts=2", "due.rest_hours=0", when_due=True).state == "kept", (
        "those that nothing has seen"
    )


def test_killed_it_goes_on_with_those_that_there_were(site: Retrained) -> None:
    def kill(done: Any) -> None:
        raise Killed

    labelled(1)
    with pytest.raises(Killed):
        site.run(after_step=kill)
    labelled(1, first=1)
    assert site.run().state == "kept"
    assert set(times_begun(site.site.work).values()) == {1}
    assert Retrainings(site.ledger).newest()[0].num_labelled == 1
    assert site.run().state == "kept", "the later one is new"
    assert site.run().state == NOTHING_TO_DO


def test_captures_that_cannot_be_reached_are_a_sentence(site: Retrained, monkeypatch: pytest.MonkeyPatch) -> None:
    from binsight.errors import StorageFailure
    from binsight.storage.captures import Truths

    def failing(*_: Any) -> Any:
        raise StorageFailure("the bucket answers 503; try again later")

    monkeypatch.setattr(Truths, "read", failing)
    with pytest.raises(StorageFailure, match="answers 503"):
        site.run()
    assert site.run("data.captures=false").state == "kept"
