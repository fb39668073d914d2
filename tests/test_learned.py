"""From which datasets a run has learned beside its own: all that can be known of it goes into the bundle."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from binsight.counting import default_bundle
from binsight.errors import BadInput
from binsight.lifecycle.beginning import _check_known
from binsight.lifecycle.terms import Terms
from binsight.model.learned import learned_from, not_known
from binsight.model.recipe import Recipe, checked, dump_recipe, load_recipe
from binsight.model.run import Run

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def run_folder(folder: Path, dataset: str, *, weights: str = "none", teachers: tuple[Path, ...] = ()) -> Path:
    """A run that says what it was trained on and what it began with."""
    fields = load_recipe(RECIPES / "default.toml").model_dump()
    fields["model"]["weights"] = weights
    fields["training"]["teachers"] = teachers
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_recipe(checked(Recipe, fields, source="a test")))
    (folder / "environment.json").write_text(json.dumps({"dataset": {"sha256": dataset}}))
    return folder


def test_first_weights_and_teachers_bring_their_datasets_and_theirs(tmp_path: Path) -> None:
    first = run_folder(tmp_path / "first", "a" * 64)
    second = run_folder(tmp_path / "second", "b" * 64, weights=f"run:{first}")
    taught = run_folder(tmp_path / "taught", "c" * 64, weights=f"run:{second}", teachers=(default_bundle(),))
    assert learned_from(Run.open(first)) == []
    assert learned_from(Run.open(second)) == ["a" * 64]
    shipped = json.loads((default_bundle() / "bundle.json").read_text())["lineage"]["dataset_sha256"]
    assert learned_from(Run.open(taught)) == sorted({"a" * 64, "b" * 64, shipped, "unknown"}), (
        "the shipped bundle began with a run that it does not tell of"
    )


def terms(folder: Path, *overrides: str) -> Terms:
    data = {"base": "base", "promotion": "promotion"}
    train = {"recipe": RECIPES / "default.toml", "overrides": overrides}
    return Terms.model_validate({"data": data, "train": train})


def test_what_nobody_knows_to_have_seen_the_judging_photos_is_said_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    """The shipped bundle does not tell of the run that it began with: a challenger that it taught would be refused."""
    told = run_folder(tmp_path / "told", "a" * 64)
    _check_known(terms(tmp_path, f'training.teachers=["{told}"]'), None)
    with pytest.raises(
        BadInput, match=f"all photos that {default_bundle()} has learned from .*leave it out of the"
    ):
        _check_known(terms(tmp_path, f'training.teachers=["{told}", "{default_bundle()}"]'), None)
    with pytest.raises(
        BadInput, match=f"photos that {tmp_path}/gone has learned from .*leave it out of the recipe"
    ):
        _check_known(terms(tmp_path, f"model.weights=run:{tmp_path / 'gone'}"), None)
    taught = run_folder(tmp_path / "taught", "b" * 64, teachers=(default_bundle(),))
    with pytest.raises(BadInput, match=f"photos that {taught} has learned from .*begin afresh: train.begin=fresh"):
        _check_known(terms(tmp_path), taught)
    _check_known(terms(tmp_path), told)


def test_a_file_does_not_tell_what_its_weights_have_seen_and_public_weights_have_seen_no_bins(
    tmp_path: Path,
) -> None:
    (tmp_path / "w.safetensors").touch()
    filed = run_folder(tmp_path / "filed", "a" * 64, weights=f"file:{tmp_path}/w.safetensors")
    then = run_folder(tmp_path / "then", "b" * 64, weights=f"run:{filed}")
    assert learned_from(Run.open(filed)) == ["unknown"]
    assert learned_from(Run.open(then)) == ["a" * 64, "unknown"]
    assert not_known(Run.open(filed).recipe) == [tmp_path / "w.safetensors"]
    with pytest.raises(BadInput, match=r"w\.safetensors has learned from .*leave it out of the recipe"):
        _check_known(terms(tmp_path, f"model.weights=file:{tmp_path}/w.safetensors"), None)
    for weights in ("none", "hub", "package:efficientnet-lite0"):
        public = run_folder(tmp_path / weights.partition(":")[0], "c" * 64, weights=weights)
        assert (learned_from(Run.open(public)), not_known(Run.open(public).recipe)) == ([], [])


def test_a_run_that_is_gone_is_unknown_and_a_circle_ends(tmp_path: Path) -> None:
    alone = run_folder(tmp_path / "alone", "a" * 64, weights=f"run:{tmp_path / 'gone'}")
    assert learned_from(Run.open(alone)) == ["unknown"]
    circle = run_folder(tmp_path / "circle", "b" * 64, teachers=(tmp_path / "circle",))
    assert learned_from(Run.open(circle)) == ["b" * 64]
    (circle / "environment.json").unlink()
    assert learned_from(Run.open(circle)) == ["unknown"]
