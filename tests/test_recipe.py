"""Recipes: one TOML file decides a run."""

from pathlib import Path

import pytest

from binsight.errors import BadRecipe, MissingObject
from binsight.lifecycle.terms import load_terms
from binsight.model.recipe import dump_recipe, load_recipe
from binsight.model.search import load_search

SHORTEST = """
name = "short"
[data]
dataset = "somewhere"
[model]
backbone = "timm:lcnet_035"
"""
RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "short.toml"
    path.write_text(SHORTEST)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_can_be_read(path: Path) -> None:
    is_search = "[search]" in path.read_text()
    assert (load_search(path) if is_search else load_recipe(path)).name == path.stem


def test_a_recipe_survives_writing_and_reading(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file, ["training.lr=0.01", "model.head=cumulative", "data.where={kind = ['original']}"])
    (tmp_path / "whole.toml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "whole.toml") == recipe


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.epochs=3", 3),
        ("training.lr=1e-3", 1e-3),
        ("model.frozen=true", True),
        ("model.head=continuation", "continuation"),
        ("data.dataset=/some/where", Path("/some/where")),
        ("data.preprocessing.size=224", 224),
    ],
)
def test_an_override_reaches_any_field(file: Path, override: str, value: object) -> None:
    name = override.partition("=")[0]
    overrides = [override]
    if name.startswith("data.preprocessing"):
        overrides += [
            "data.preprocessing.fit=squash",
            "data.preprocessing.mean=[0,0,0]",
            "data.preprocessing.std=[1,1,1]",
        ]
    found: object = load_recipe(file, overrides)
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", "unknown field training.epoch"),
        ("lr=0.1", "unknown field lr"),
        ("search.trials=3", "give it to binsight tune"),
        ("training.epochs=0", "training.epochs: .* greater than or equal to 1, but got 0"),
        ("training.epochs=many", "training.epochs: .* but got 'many'"),
        ("training.lr=-1", "training.lr: .* greater than 0"),
        ("model.head=softmax", "model.head: .*'classes', 'cumulative' or 'continuation'"),
        ("model.backbone=resnet18", "model.backbone"),
        ("augment.flip=2", "augment.flip"),
        ("model.max_count=0", "model.max_count"),
        ("training.epochs", "must read key=value"),
        ("name.first=x", "name is a value, not a section"),
    ],
)
def test_a_bad_field_is_named_with_the_law_and_the_value(file: Path, override: str, says: str) -> None:
    with pytest.raises(BadRecipe, match=says):
        load_recipe(file, [override])


def test_a_missing_field_says_how_to_give_it(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(SHORTEST.replace('dataset = "somewhere"', ""))
    with pytest.raises(BadRecipe, match=r"data\.dataset is missing.*data\.dataset=… on the command line"):
        load_recipe(path)


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.toml"
    for load in (load_recipe, load_search):
        with pytest.raises(
            MissingObject, match=r"nothing\.toml; Binsight's own recipes are in recipes/ of its source"
        ):
            load(missing)
    with pytest.raises(MissingObject, match=r"no file .*nothing\.toml; check its path"):
        load_terms(missing)  # which are no recipe
    (tmp_path / "r.toml").write_text("name = [")
    with pytest.raises(BadRecipe, match=r"r\.toml is not TOML"):
        load_recipe(tmp_path / "r.toml")


def test_a_searchs_fields_are_named_as_they_are_given(file: Path) -> None:
    with pytest.raises(BadRecipe, match=r"short\.toml: search\.fields is missing; .* give search\.fields=… on"):
        load_search(file, ["search.trials=3"])
    with pytest.raises(BadRecipe, match=r"short\.toml: search\.trials: .* but got 0"):
        load_search(file, ["search.trials=0", "search.fields={seed=[1, 2]}"])


@pytest.mark.parametrize(
    ("field", "values", "why"),
    [
        ("model.max_count", "[2, 20]", "it decides to which number is counted"),
        ("data.dataset", "['one', 'two']", "it decides which photos judge"),
        ("data.where.kind", "['a', 'b']", "it decides which photos judge"),
        ("data.natural.kind", "['a', 'b']", "it decides which photos judge"),
    ],
)
def test_a_search_does_not_vary_what_makes_its_scores_incomparable(
    file: Path, field: str, values: str, why: str
) -> None:
    with pytest.raises(
        BadRecipe, match=rf"short\.toml: search\.fields must not vary {field}: {why}, and scores of"
    ):
        load_search(file, [f"search.fields={{'{field}'={values}}}"])


@pytest.mark.parametrize("log", ["true", "false"])
def test_a_range_of_fractions_for_a_field_of_whole_numbers_is_refused_before_any_trial(
    file: Path, log: str
) -> None:
    """Both of its ends are whole, so that each of them would make a recipe."""
    says = r"fields\.training\.epochs takes whole numbers, but .*; write whole numbers: low = 1, high = 3"
    with pytest.raises(BadRecipe, match=says):
        load_search(file, [f"search.fields={{'training.epochs'={{low=1.0, high=3.0, log={log}}}}}"])
    with pytest.raises(BadRecipe, match=says):
        load_search(file, [f"search.fields={{'training.epochs'={{low=1, high=3.0, log={log}}}}}"])
    assert load_search(
        file, ["search.fields={'training.epochs'={low=1, high=3}, 'training.lr'={low=1.0, high=3.0}}"]
    )
