"""Labels of photos from a CSV file: the count, and whatever else is known of each."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from binsight.dataset.manifest import SPLITS
from binsight.dataset.problem import PHOTO_SUFFIXES, Problem
from binsight.errors import BadInput, MissingObject

ID_COLUMNS = ("image_id", "photo")
OWN_COLUMNS = (*ID_COLUMNS, "count", "split", "group")
# A spreadsheet or a data frame with gaps writes whole numbers as 5.0.
_WHOLE = re.compile(r"([0-9]{1,9})(\.0+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One row of labels. `count` is None where the cell is empty or, with `is_broken`, where it is no count."""

    count: int | None
    split: str | None = None
    group: str | None = None
    is_broken: bool = False
    extras: Mapping[str, str] = field(default_factory=dict)


def read_labels(path: Path, *, known: Collection[str], problems: list[Problem]) -> dict[str, Label]:
    """Labels by photo id, for the photos in `known`; the first of several rows for one photo counts.

    The file is a UTF-8 CSV with a heading: `image_id` or `photo` (an id or a file's path below the folder),
    `count`, and as wanted `split`, `group` and any further columns. A bad row becomes a `Problem` with the reason
    `label_without_photo`, `duplicate_label`, `malformed_label`, `impossible_count` or `impossible_split`.

    Raises `MissingObject` where the file is not there, `BadInput` where it is not such a CSV.
    """
    labels: dict[str, Label] = {}
    for line, row in _rows(path):
        photo = _photo(row, known)
        where = f"{path.name} line {line}"
        if photo is None:
            problems.append(Problem(where, "malformed_label", f"{where} must have a photo's id, but has none"))
        elif None in row or None in row.values():
            problems.append(
                Problem(photo, "malformed_label", f"{where} must have as many cells as the heading has columns")
            )
            labels.setdefault(photo, Label(count=None, is_broken=True))
        elif photo not in known:
            problems.append(Problem(photo, "label_without_photo", f"{where} names a photo that is not there"))
        elif photo in labels:
            problems.append(
                Problem(
                    photo, "duplicate_label", f"{where} labels a photo that an earlier line labels, which is used"
                )
            )
        else:
            labels[photo] = _label(row, photo, where, problems)
    return labels


def _rows(path: Path) -> Iterator[tuple[int, dict[str | None, str | None]]]:
    """Line number and cells by column of every row that is not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, reader.fieldnames or ())
            for row in reader:
                yield reader.line_num, dict(row)
    except FileNotFoundError:
        raise MissingObject(f"{path} is not there; name the CSV file with the labels") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); name the CSV file with the labels") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} must be UTF-8, but is not ({error}); save it as CSV UTF-8") from None
    except csv.Error as error:
        raise BadInput(f"{path} is not a CSV file ({error}); save it as comma-separated CSV") from None


def _check_columns(path: Path, columns: Collection[str]) -> None:
    found = f"but has {', '.join(columns)[:200]}" if columns else "but is empty"
    if not any(name in columns for name in ID_COLUMNS):
        raise BadInput(f"{path} must have a column image_id or photo, {found}; name it in the first line")
    if "count" not in columns:
        raise BadInput(f"{path} must have a column count, {found}; name it in the first line")


def _photo(row: Mapping[str | None, str | None], known: Collection[str]) -> str | None:
    """The photo that a row names: as it stands where that is a known id, else without a photo's ending."""
    name = next((cell.strip() for column in ID_COLUMNS if (cell := row.get(column))), None)
    if not name or name in known:
        return name
    stem, _, suffix = name.rpartition(".")
    return stem if "." + suffix.lower() in PHOTO_SUFFIXES else name


def _label(row: Mapping[str | None, str | None], photo: str, where: str, problems: list[Problem]) -> Label:
    count_text, split = (row["count"] or "").strip(), (row.get("split") or "").strip() or None
    whole = _WHOLE.fullmatch(count_text)
    if count_text and not whole:
        detail = f"{where}: count must be a whole number of 0 or more, but is {count_text[:60]!r}"
        problems.append(Problem(photo, "impossible_count", detail))
    if split is not None and split not in SPLITS:
        detail = f"{where}: split must be one of {', '.join(SPLITS)}, but is {split[:60]!r}; it is passed over"
        problems.append(Problem(photo, "impossible_split", detail))
        split = None
    return Label(
        count=int(whole[1]) if whole else None,
        split=split,
        group=(row.get("group") or "").strip() or None,
        is_broken=bool(count_text) and not whole,
        extras={name: value or "" for name, value in row.items() if name is not None and name not in OWN_COLUMNS},
    )
