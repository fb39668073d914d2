"""A retraining whose promotion set could judge nobody is refused before anything is trained, and freezes nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.promotion_support import samples, write_samples
from tests.retrain_world import Retrained

from binsight.errors import BadInput
from binsight.lifecycle.beginning import check_judges
from binsight.lifecycle.promotion_set import PromotionSet, freeze
from binsight.lifecycle.terms import Terms
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Ledger, Promotions, Retrainings
from binsight.storage.ledger.promotion_tables import promotion_sets

ENOUGH = {"min_photos": 100, "min_chains": 50}


@pytest.fixture
def ledger(places: dict[str, str]) -> Iterator[Ledger]:
    opened = Ledger.open(places["BINSIGHT_LEDGER"])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With 110 photos that judge, in 55 chains."""
    folder = tmp_path_factory.mktemp("judges") / "bins"
    write_samples(folder, samples("test", 110, seed=1, prefix="t"))
    return folder


def terms(dataset: Path, **compare: object) -> Terms:
    data = {"base": dataset, "promotion": dataset}
    return Terms.model_validate({"data": data, "train": {"recipe": "recipe.toml"}, "compare": ENOUGH | compare})


def test_a_set_that_is_too_small_is_told_before_anything_is_trained(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binsight.lifecycle.beginning.check_judges", check_judges)
    with pytest.raises(
        BadInput, match=r"none is trained: a promotion set must have 100 photos in 50 chains"
    ) as told:
        retrained.run()
    assert "base/test has 2 in" in str(told.value)
    assert not (retrained.site.work / "steps.jsonl").exists(), "no step was begun"
    assert Promotions(retrained.ledger).sets() == [], "a larger one under its name can still be frozen"
    assert Retrainings(retrained.ledger).newest() == []


def test_a_set_that_may_judge_passes_and_is_not_frozen_yet(dataset: Path, ledger: Ledger) -> None:
    check_judges(terms(dataset), ledger)
    assert Promotions(ledger).sets() == []
    freeze(Promotions(ledger), PromotionSet.open(dataset), by="ann")
    check_judges(terms(dataset), ledger)


def test_a_set_that_is_stale_was_changed_or_is_used_up_is_told_too(
    dataset: Path, ledger: Ledger, tmp_path: Path
) -> None:
    promotions, opened = Promotions(ledger), PromotionSet.open(dataset)
    freeze(promotions, opened, by="ann")
    promotions.look(opened.sha256, "a" * 12, "b" * 12, most=1, by="ann")
    with pytest.raises(BadInput, match="has judged its 1 challengers"):
        check_judges(terms(dataset, max_looks=1), ledger)
    other = tmp_path / "bins"
    write_samples(other, samples("test", 120, seed=2, prefix="o"))
    with pytest.raises(BadInput, match=r"bins/test was frozen as .*restore it, or freeze another under a name"):
        check_judges(terms(other), ledger)
    with ledger.writing() as connection:
        old = stamp(datetime.now(UTC) - timedelta(days=200))
        connection.execute(sa.update(promotion_sets).values(frozen_at=old))
    for name in ("", "a new name makes it no younger"):
        named = terms(dataset)
        given = named.model_copy(update={"data": named.data.model_copy(update={"name": name})})
        with pytest.raises(BadInput, match="was frozen 200 days ago"):
            check_judges(given, ledger)


def test_an_impossible_term_of_the_comparison_is_told_before_anything_is_trained(
    dataset: Path, ledger: Ledger
) -> None:
    with pytest.raises(BadInput, match="there is no term min_fotos"):
        check_judges(terms(dataset, min_fotos=3), ledger)
