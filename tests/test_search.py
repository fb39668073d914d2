"""Search files: what is tried is checked before anything is trained."""

from pathlib import Path

import pytest

from binsight.errors import BadRecipe, MissingObject
from binsight.model.search import Between, load_search, parse_search

RECIPE = """
name = "small"
[data]
dataset = "bins"
[model]
backbone = "timm:lcnet_035"
"""

SEARCH = """
[search]
trials = 7
[search.fields]
"training.lr" = { low = 1e-4, high = 1e-2, log = true }
"training.batch_size" = [16, 32]
"model.head" = ["classes", "cumulative"]
"""


def a_file(folder: Path, text: str) -> Path:
    path = folder / "search.toml"
    path.write_text(text)
    return path


def test_values_become_a_recipe_and_all_else_stays(tmp_path: Path) -> None:
    search = load_search(a_file(tmp_path, RECIPE + SEARCH), ["training.epochs=3", "search.trials=9"])
    assert search.search.trials == 9
    assert search.search.fields["training.lr"] == Between(low=1e-4, high=1e-2, log=True)
    recipe = search.recipe({"training.lr": 2e-3, "training.batch_size": 32, "model.head": "cumulative"})
    assert (recipe.training.lr, recipe.training.batch_size, recipe.model.head) == (2e-3, 32, "cumulative")
    assert recipe.training.epochs == 3
    assert search.recipe({}).training.batch_size == 48, "one trial's values reach the next one's recipe"


def test_a_search_survives_the_study(tmp_path: Path) -> None:
    search = load_search(a_file(tmp_path, RECIPE + SEARCH))
    assert parse_search(search.dump(), source="study") == search


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("", r"has no section \[search\]"),
        ("search = 3", "search must be a section, but is 3"),
        ("[search]\n", "fields is missing"),
        ("[search.fields]\n", "at least 1 item"),
        ('[search.fields]\n"training.lr" = []', "must hold at least one"),
        ('[search]\nhow = 1\n[search.fields]\n"seed" = [1]', "unknown field how"),
        (
            '[search.fields]\n"training.lr" = { low = 2, high = 1 }',
            r"`low < high` must hold, but got \(low=2, high=1\)",
        ),
        (
            '[search.fields]\n"training.lr" = { low = 0, high = 1, log = true }',
            "`low > 0` must hold where log is true",
        ),
        ('[search.fields]\n"training.lr" = { low = -1.0, high = 1.0 }', "training.lr: .* greater than 0"),
        ('[search.fields]\n"training.rate" = [1.0]', "unknown field training.rate"),
        ('[search.fields]\n"model.head" = ["classes", "horses"]', "model.head: .* got 'horses'"),
        ('[search.fields]\n"name.first" = ["a"]', "name is a value, not a section"),
        ('[search.fields]\n"training.devices" = [1, 2]', "training.devices must be 1 in a search, but got 2"),
    ],
)
def test_what_no_trial_could_be_is_refused_in_a_sentence(tmp_path: Path, section: str, sentence: str) -> None:
    text = RECIPE + section if section.startswith("[") else section + RECIPE
    with pytest.raises(BadRecipe, match=sentence):
        load_search(a_file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match=r"there is no recipe file .*nowhere\.toml"):
        load_search(tmp_path / "nowhere.toml")
