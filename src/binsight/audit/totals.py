"""The lines of one bin added up, and what keeps them from being added up."""

from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring

from binsight.audit.columns import Columns
from binsight.audit.spool import Line, RowProblem, Whole

MAX_LINES = 10_000
"""More lines than any bin has: such a column does not name bins."""


def add_up(lines: Sequence[Line], columns: Columns) -> tuple[Whole | None, Sequence[RowProblem]]:
    """The lines of one bin, in the file's order, as a whole, or None where it is left out; and the bin's problems.

    Lines add up where they name different items, or differ in what tells lines of one item apart (lots). The record's
    moments are the latest of its lines', its aisle the first, its item class the first in the alphabet, its unit value
    the mean over the units, where every line has one.
    """
    if len(lines) == 1:  # most bins
        return (None, ()) if lines[0].is_bad else (_whole(lines, lines[0].photo), ())
    teller = _Teller(lines[0], columns)
    if len(lines) > MAX_LINES:
        said = f"has more than {MAX_LINES:,} lines and is left out; does {columns.name('bin_id')} name bins?"
        teller.tell(lines[0].row, "bin_id", lines[0].bin, said)
        return None, teller.problems
    good = [line for line in lines if not line.is_bad]
    if len(good) < len(lines):
        if good:
            bad = next(line.row for line in lines if line.is_bad)
            said = f"is left out, since its total is not known: row {bad} of it cannot be read"
            teller.tell(good[0].row, "bin_id", good[0].bin, said)
        return None, teller.problems
    _check_items(lines, teller)
    if teller.problems:
        return None, teller.problems
    return _whole(lines, _photo(lines, teller)), teller.problems


class _Teller:
    """The problems of one bin, as sentences."""

    def __init__(self, first: Line, columns: Columns) -> None:
        self._name = f"bin {first.bin[:60]}"
        self._columns = columns
        self.problems: list[RowProblem] = []

    def tell(self, row: int, field: str, shown: str, said: str) -> None:
        column = self._columns.name(field if field in self._columns.places else "bin_id")
        sentence = f"row {row}: {self._name} {said}"
        self.problems.append(RowProblem(row=row, column=column, shown=shown[:60], sentence=sentence))


def _check_items(lines: Sequence[Line], teller: _Teller) -> None:
    """Every line must name another item, or the bin's total is not known."""
    rows: dict[tuple[str, str], int] = {}
    for line in lines:
        earlier = rows.setdefault((line.sku, line.apart), line.row)
        if earlier != line.row:
            again = f"names item {line.sku[:60]} again" if line.sku else "has a second line without an item"
            said = f"{again} (row {earlier} is the first) and is left out; make it one line"
            teller.tell(line.row, "sku", line.sku or line.bin, said)
    with_item = next((line for line in lines if line.sku), None)
    without = next((line for line in lines if not line.sku), None)
    if with_item and without:
        said = f"has lines with an item (row {with_item.row}) and without and is left out; name the item"
        teller.tell(without.row, "sku", "", said)


def _photo(lines: Sequence[Line], teller: _Teller) -> str:
    """The one photo that the lines name, if they name one."""
    first = next((line for line in lines if line.photo), lines[0])
    for line in lines:
        if line.photo and line.photo != first.photo:
            said = f"names another photo than row {first.row}, {first.photo[:60]}; it goes on without a photo"
            teller.tell(line.row, "photo", line.photo, said)
            return ""
    return first.photo


def _whole(lines: Sequence[Line], photo: str) -> Whole:
    first = lines[0]
    if len(lines) == 1:
        row, site, bin_id, sku, _, quantity, _, aisle, as_of, taken_at, value, item_class, _ = first
        return Whole(
            row, site, bin_id, quantity, photo or None, _as_json([sku]), aisle, as_of, taken_at, value, item_class
        )
    return Whole(
        row=first.row,
        site=first.site,
        bin=first.bin,
        expected=sum([line.quantity for line in lines]),
        photo=photo or None,
        skus=_as_json(dict.fromkeys([line.sku for line in lines])),
        aisle=next((line.aisle for line in lines if line.aisle), ""),
        as_of=max([line.as_of for line in lines if line.as_of is not None], default=None),
        taken_at=max([line.taken_at for line in lines if line.taken_at is not None], default=None),
        value=_unit_value(lines),
        item_class=min([line.item_class for line in lines if line.item_class], default=""),
    )


def _as_json(skus: Iterable[str]) -> str:
    """As `json.dumps` writes a list, in a third of the time."""
    return f"[{','.join([encode_basestring(sku) for sku in skus if sku])}]"


def _unit_value(lines: Sequence[Line]) -> float | None:
    values = [line.value for line in lines if line.value is not None]
    if len(values) < len(lines):
        return None
    if min(values) == max(values):
        return values[0]  # as it is written, and not through a sum
    units = sum(line.quantity for line in lines)
    if units == 0:
        return sum(values) / len(values)
    return sum(line.quantity * value for line, value in zip(lines, values, strict=True)) / units
