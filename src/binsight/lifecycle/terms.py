"""The terms of a retraining: everything that decides when and how, in one TOML file (`retrain.toml`).

As with recipes, a field that is left out has its default here, `key=value` reaches any field by its dotted name, and an
unknown field or an impossible value is a `BadRecipe` that names it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from binsight.decision.sampled import MOST
from binsight.decision.trial import Limits
from binsight.model.recipe import Section, checked, read_fields


class Data(Section):
    """Which photos train, and which ones judge."""

    base: Path = Field(description="Dataset that new counts join; made by `binsight data prepare`.")
    promotion: Path = Field(
        description="Dataset that holds the photos on which models are compared; may be `base`."
    )
    split: Literal["train", "val", "test"] = Field("test", description="Which of its photos those are.")
    where: dict[str, tuple[str, ...]] = Field(
        {}, description="Only those of them with such values in such columns."
    )
    name: str = Field("", description="Name of the promotion set.  [default: FOLDER/SPLIT]")
    columns: dict[str, str] = Field(
        {},
        description="Columns that photos of counted bins get, so that the recipe's `where` and `natural` take them.",
    )
    captures: bool = Field(
        True, description="Counts that were added to captures (`binsight captures label`) join too."
    )
    most_weight: float = Field(MOST, ge=1, description="A counted bin's photo weighs as much as so many at most.")


class Train(Section):
    """What is trained, and from which weights on."""

    recipe: Path = Field(description="The recipe; its dataset and first weights are given to it.")
    overrides: tuple[str, ...] = Field((), description="`key=value` for the recipe.")
    begin: Literal["champion", "fresh"] = Field(
        "champion", description="champion: from the weights of the model in use; fresh: as the recipe says."
    )
    learned: tuple[Path, ...] = Field(
        (),
        description="Datasets that first weights or teachers have learned from, where the runs do not say where they lie: "
        "a comparison wants all photos that a challenger has seen.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="So many threads compute; sums are rounded otherwise by another number, so that machines whose results "
        "are to be the same to the bit need the same one.  [default: the cores that there are]",
    )
    runs: tuple[Path, ...] = Field(
        (Path("runs"),), description="Folders of runs in which the champion's is looked for."
    )


class Due(Section):
    """When `--when-due` retrains: any one of these, never without a new count, and never twice in `rest_hours`."""

    counts: int | None = Field(200, ge=1, description="So many counts that no retraining has seen.")
    drift: bool = Field(
        True,
        description="The champion's certificate is suspended for drift or by counts, or services see its photos drift.",
    )
    days: float | None = Field(30, gt=0, description="So many days since the last retraining.")
    rest_hours: float = Field(24, ge=0, description="Hours after a retraining in which none is due.")


class Export(Section):
    """How the challenger is stored, as in `binsight export`."""

    name: str = Field("retrained", pattern=r"^[\w.\-]+$", description="Name of the bundle.")
    weights: Literal["fp32", "fp16", "int8"] = Field("fp32", description="How the larger weights are stored.")
    size: int | None = Field(None, gt=0, description="Side in pixels that photos are asked about at.")


class After(Section):
    """What becomes of a challenger that is better, and how it is watched."""

    better: Literal["promote", "canary"] = Field(
        "promote", description="promote: it takes the champion's place; canary: a share of the requests first."
    )
    watch: Limits = Field(Limits(), description="On what terms it is taken back.")


class Terms(Section):
    """A retraining's terms, whole."""

    data: Data
    train: Train
    due: Due = Due()
    export: Export = Export()
    compare: dict[str, Any] = Field({}, description="Terms of the comparison, as in `binsight models compare`.")
    after: After = After()


def load_terms(path: Path, overrides: Sequence[str] = ()) -> Terms:
    """Read a file of terms and apply `key=value` overrides. Raises `MissingObject` or `BadRecipe`."""
    return checked(Terms, read_fields(path, overrides), source=str(path))
