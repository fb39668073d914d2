"""Column mappings: which columns of a stock system's files mean what, both ways, as TOML.

```toml
name = "mine"
decimal = ","                       # signs of numbers: 1.234,5
thousands = "."
time_zone = "Europe/Berlin"         # of moments that say none
moments = ["%d.%m.%Y %H:%M"]        # how moments are written, beside ISO 8601

[records]                           # our field = their column, or several: the first that is there is read
bin_id = "Lagerplatz"
expected_qty = ["Bestand", "Menge"]

[movements]                         # of a file of movements; bin_id, moved_at and site where this is left out
bin_id = "Lagerplatz"
moved_at = "Buchungszeit"

[consignments]                      # of a file of what leaves; consignment, tote, expected_qty, sku, photo without it
consignment = "Lieferung"
tote = "Behälter"

[counts]                            # their column = our field, in their order; "" is left empty
Lagerplatz = "bin_id"
"Gezählt" = "counted_qty"
```
"""

import tomllib
from collections.abc import Mapping as Dict
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from binsight.errors import BadInput, MissingObject

FOLDER = Path(__file__).parent / "mappings"
MAX_BYTES = 1 << 20  # nobody writes that much; a stock file given as its own mapping is not read into memory

CountField = Literal[
    "",
    "bin_id",
    "site",
    "aisle",
    "sku",
    "photo",
    "expected_qty",
    "counted_qty",
    "counter",
    "counted_at",
    "reason",
    "comment",
]
"""What a file of counts can say; "" for a column that the system wants and we know nothing of."""


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Header = Annotated[str, Field(min_length=1, max_length=200)]
Headers = Annotated[tuple[Header, ...], BeforeValidator(_as_tuple)]


class FileColumns(BaseModel):
    """The columns that one kind of file is read from: for each field one header or several, of which the first counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    needed: ClassVar[tuple[str, ...]]
    told_apart_by: Headers = ()

    def by_field(self) -> dict[str, tuple[str, ...]]:
        """Headers by field, for the fields that have any and are one column."""
        fields: dict[str, tuple[str, ...]] = self.model_dump(exclude={"told_apart_by"})
        return {field: headers for field, headers in fields.items() if headers}


class MovementColumns(FileColumns):
    """The columns of a file of movements: which bin, and when something was put in or taken out."""

    needed: ClassVar = ("bin_id", "moved_at")

    bin_id: Headers = Field(("bin_id",), min_length=1)
    moved_at: Headers = Field(("moved_at",), min_length=1)
    site: Headers = ("site",)


class ConsignmentColumns(FileColumns):
    """The columns of a file of consignments: how many of what should be in which tote of which consignment."""

    needed: ClassVar = ("consignment", "tote", "expected_qty")

    consignment: Headers = Field(("consignment",), min_length=1)
    tote: Headers = Field(("tote",), min_length=1)
    expected_qty: Headers = Field(("expected_qty",), min_length=1)
    sku: Headers = ("sku",)
    photo: Headers = ("photo",)


class RecordColumns(FileColumns):
    """The columns that a stock record is read from: for each field one header or several, of which the first counts.

    `told_apart_by` are further columns in which lines of one item in one bin may differ (lot, package, owner): here
    every one that is there counts.
    """

    needed: ClassVar = ("bin_id", "expected_qty")

    bin_id: Headers = Field(min_length=1)
    expected_qty: Headers = Field(min_length=1)
    photo: Headers = ()
    sku: Headers = ()
    site: Headers = ()
    aisle: Headers = ()
    record_as_of: Headers = ()
    photo_taken_at: Headers = ()
    unit_value: Headers = ()
    item_class: Headers = ()


class Mapping(BaseModel):
    """One system's columns, and how it writes numbers and moments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[\w.\-]+$")
    about: str = ""
    sources: tuple[str, ...] = Field((), description="Where the system's own documentation names these columns.")
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    time_zone: str = Field("UTC", description="IANA name of the zone of moments that say none.")
    moments: tuple[str, ...] = Field((), description="strptime patterns of moments that are not ISO 8601.")
    records: RecordColumns
    movements: MovementColumns = MovementColumns()
    consignments: ConsignmentColumns = ConsignmentColumns()
    counts: dict[Header, CountField]

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            _zone(name)
        except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones
            raise ValueError(f"must be a time zone such as Europe/Berlin, but is {name!r}") from None
        return name

    @field_validator("moments")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                datetime.strptime(datetime(2026, 11, 24, tzinfo=UTC).strftime(pattern), pattern)
            except ValueError as error:
                raise ValueError(
                    f"must be patterns such as %d.%m.%Y %H:%M, but {pattern!r} is none ({error})"
                ) from None
        return patterns

    @model_validator(mode="after")
    def _makes_sense(self) -> "Mapping":
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands must be different signs, but both are {self.decimal!r}")
        for field in ("bin_id", "counted_qty"):
            if field not in self.counts.values():
                raise ValueError(f"counts must name a column for {field}, but has none")
        return self

    @property
    def zone(self) -> tzinfo:
        """The zone of moments that say none."""
        return _zone(self.time_zone)

    def record_shape(self) -> dict[str, str]:
        """Column → field of a file of records in this mapping's shape."""
        return {headers[0]: field for field, headers in self.records.by_field().items()}


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)  # some machines have no database of zones


def shipped() -> tuple[str, ...]:
    """The names of the mappings that come with Binsight."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_mapping(name: str) -> Mapping:
    """A shipped mapping by its name, or a user's own by its file's path.

    Raises `MissingObject` where it is neither, `BadInput` naming the file and the field that is wrong.
    """
    path = FOLDER / f"{name}.toml" if name in shipped() else Path(name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MissingObject(_neither(name, error)) from None
    return _checked(path, _fields(path, data))


def _neither(name: str, error: OSError) -> str:
    near = get_close_matches(name, shipped(), n=1)
    hint = f"did you mean {near[0]}?" if near else "name one of these, or a TOML file of your own"
    return f"{name} is neither a mapping ({', '.join(shipped())}) nor a file ({error.strerror}); {hint}"


def _fields(path: Path, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path} must be a mapping of at most {MAX_BYTES:,} bytes, but has more; name a TOML file")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not TOML: {error}; see docs/how-to/stock-files.md for an example") from None


def _checked(path: Path, fields: Dict[str, Any]) -> Mapping:
    try:
        return Mapping.model_validate(fields)
    except ValidationError as error:
        raise BadInput(f"{path}: {_sentence(error.errors()[0])}") from None


def _sentence(error: Any) -> str:
    """The first fault: the field, and what it must be."""
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown field {field}; remove it, or correct its name"
    if error["type"] == "missing":
        return f"{field} is missing; say which column it is"
    said = error["msg"].removeprefix("Value error, ")
    said = f"{said[:1].lower()}{said[1:]}"
    return f"{field}: {said}; correct it" if field else f"{said}; correct it"
