"""The search: a recipe with a section `[search]` that says which of its fields are tried with which values.

```toml
[search]
trials = 20

[search.fields]
"training.lr" = { low = 1e-4, high = 3e-3, log = true }
"model.head" = ["classes", "cumulative", "continuation"]
```
All else stands in the file as in any recipe, and is the same in every trial.
"""

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from binsight.errors import BadRecipe
from binsight.model.recipe import OWN_RECIPES, Recipe, Section, checked, read_fields, set_field

Value = bool | int | float | str

_SAME_IN_ALL = {
    "model.max_count": "it decides to which number is counted",
    "data.dataset": "it decides which photos judge",
    "data.where": "it decides which photos judge",
    "data.natural": "it decides which photos judge",
}
"""Fields that no search may vary, because trials that differ in them answer different questions."""


class Between(Section):
    """Every number from `low` to `high`, whole ones where both ends are; evenly spread, or their logarithms are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "Between":
        if not self.low < self.high:
            raise ValueError(f"`low < high` must hold, but got (low={self.low}, high={self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"`low > 0` must hold where log is true, but got low={self.low}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers alone are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(Section):
    """What is tried, and how."""

    trials: int = Field(20, ge=1, description="Trials in all, those of other workers and earlier runs included.")
    fields: dict[str, list[Value] | Between] = Field(
        min_length=1, description="For each field by its dotted name: values in a list, or { low, high, log }."
    )
    pruner: Literal["median", "halving", "none"] = Field(
        "median",
        description="When a trial is given up early: median (worse than half of the others were after as many epochs, from "
        "the second epoch and the fifth trial on), halving (not among the best third of those that came as far: quicker, "
        "and unjust to slow starters), none.",
    )
    seed: int = Field(
        0,
        ge=0,
        description="Decides which values are tried, as far as one worker alone decides; further workers, and a search "
        "that is gone on with, try other ones.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFile:
    """A search and the recipe whose fields it varies; `name` is the recipe's."""

    name: str
    base: Mapping[str, Any]
    search: Search

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a trial. Raises `BadRecipe` where the values do not make one."""
        fields = copy.deepcopy(dict(self.base))
        for name, value in values.items():
            set_field(fields, name, value)
        return checked(Recipe, fields, source=f"the search {self.name}")

    def corners(self) -> Iterator[Recipe]:
        """Each value of each field once, and both ends of each range. Raises as `recipe` does."""
        tried = {name: _ends(space) for name, space in self.search.fields.items()}
        first = {name: values[0] for name, values in tried.items()}
        for name, values in tried.items():
            for value in values:
                yield self.recipe(first | {name: value})

    def dump(self) -> str:
        """As JSON, for the study to keep."""
        return json.dumps({"base": self.base, "search": self.search.model_dump(mode="json")}, sort_keys=True)


def load_search(path: Path, overrides: Sequence[str] = ()) -> SearchFile:
    """Read a search file, as `load_recipe` reads a recipe; `search.trials=9` is an override like any other.

    Raises `MissingObject`, and `BadRecipe` naming what is wrong: also for a value that no trial could have.
    """
    return _search(read_fields(path, overrides, mend=OWN_RECIPES), source=str(path))


def parse_search(text: str, *, source: str) -> SearchFile:
    """Read what `SearchFile.dump` wrote."""
    kept = json.loads(text)
    return _search(kept["base"] | {"search": kept["search"]}, source=source)


def _search(fields: dict[str, Any], *, source: str) -> SearchFile:
    if "search" not in fields:
        raise BadRecipe(
            f"{source} has no section [search], which says what to try; train it as it is: binsight train"
        )
    base = {name: value for name, value in fields.items() if name != "search"}
    if not isinstance(fields["search"], dict):
        raise BadRecipe(f"{source}: search must be a section, but is {fields['search']!r}")
    search = checked(Search, fields["search"], source=source, within="search")
    _check_comparable(search, source)
    found = SearchFile(name=str(base.get("name", "")), base=base, search=search)
    for recipe in found.corners():  # before any trial
        if recipe.training.devices > 1:
            raise BadRecipe(
                f"{source}: training.devices must be 1 in a search, but got {recipe.training.devices}; run the command "
                "in several processes instead, with one --study"
            )
    _check_between(found, source)
    return found


def _check_comparable(search: Search, source: str) -> None:
    """Raises `BadRecipe` for a field by which scores of trials would not be comparable."""
    for name in search.fields:
        for field, why in _SAME_IN_ALL.items():
            if name == field or name.startswith(f"{field}."):
                raise BadRecipe(
                    f"{source}: search.fields must not vary {name}: {why}, and scores of different questions do not "
                    "compare; make a search of each, with a name of its own"
                )


def _check_between(found: SearchFile, source: str) -> None:
    """Raises `BadRecipe` for a range of fractions where the field takes whole numbers alone, as both ends may be."""
    first = {name: _ends(space)[0] for name, space in found.search.fields.items()}
    for name, space in found.search.fields.items():
        if not isinstance(space, Between) or space.is_whole:
            continue
        try:
            found.recipe(first | {name: math.nextafter(space.low, space.high)})
        except BadRecipe:
            raise BadRecipe(
                f"{source}: search.fields.{name} takes whole numbers, but low = {space.low} and high = {space.high} also "
                f"give fractions; write whole numbers: low = {int(space.low)}, high = {int(space.high)}"
            ) from None


def _ends(space: list[Value] | Between) -> list[Any]:
    if isinstance(space, Between):
        return [space.low, space.high]
    if not space:
        raise BadRecipe("search.fields: a list of values must hold at least one, but is empty")
    return space
