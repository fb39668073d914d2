"""From a file of what leaves to consignments and their totes: lines checked and added up, every problem told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from binsight.audit.cells import name_fault, quantity_reader
from binsight.audit.columns import Columns
from binsight.audit.mapping import Mapping as ColumnMapping
from binsight.audit.spool import RowProblem
from binsight.audit.spreadsheets import Row, no_line, open_table
from binsight.records import StockRecord


@dataclass(slots=True)
class Tote:
    """One tote's lines added up: a photo shows the total."""

    row: int
    expected: int = 0
    skus: dict[str, None] = field(default_factory=dict)
    photos: dict[str, None] = field(default_factory=dict)
    is_bad: bool = False


@dataclass(slots=True)
class Consignment:
    """What should leave together, by tote. `problems` keep it from being released, whatever its photos show."""

    id: str
    totes: dict[str, Tote] = field(default_factory=dict)
    problems: list[RowProblem] = field(default_factory=list)

    def records(self) -> list[StockRecord]:
        """A record for each tote whose total is known; the consignment stands where a stock record has its site."""
        return [
            StockRecord(
                bin_id=name,
                expected=tote.expected,
                row=tote.row,
                photo=next(iter(tote.photos)) if len(tote.photos) == 1 else None,
                skus=tuple(tote.skus),
                site=self.id,
            )
            for name, tote in self.totes.items()
            if not tote.is_bad and len(tote.photos) < 2
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsignmentFile:
    """The consignments of a file in the order of their first lines, and rows that may belong to any of them."""

    consignments: Mapping[str, Consignment]
    unassigned: list[RowProblem]

    def problems(self) -> Iterator[RowProblem]:
        """All problems in the order of their rows."""
        found = [problem for one in self.consignments.values() for problem in one.problems]
        return iter(sorted([*found, *self.unassigned], key=lambda problem: problem.row))


def read_consignments(
    path: Path, mapping: ColumnMapping, *, encoding: str | None = None, sheet: str | None = None
) -> ConsignmentFile:
    """Read a whole file, CSV or XLSX. Its lines stay in memory, a few hundred bytes each.

    Raises `MissingObject`, or `BadInput` where the file cannot be read as a whole or has no line.
    """
    with open_table(path, mapping, wanted=mapping.consignments, encoding=encoding, sheet=sheet) as table:
        reader = _Reader(mapping, table.columns)
        for row in table.rows:
            reader(row)
    for consignment in reader.consignments.values():
        _check_photos(consignment, table.columns)
    if not reader.consignments and not reader.unassigned:
        raise no_line(path, "a consignment")
    return ConsignmentFile(consignments=reader.consignments, unassigned=reader.unassigned)


class _Reader:
    def __init__(self, mapping: ColumnMapping, columns: Columns) -> None:
        self._columns, self._quantity = columns, quantity_reader(mapping)
        self.consignments: dict[str, Consignment] = {}
        self.unassigned: list[RowProblem] = []

    def __call__(self, row: Row) -> None:
        if row.faults:  # its cells may stand in wrong columns: whose row it is, nobody knows
            for fault in row.faults:
                self.unassigned.append(_problem(row.number, fault.column, fault.shown, fault.said))
            return
        name, tote_name = row.cells["consignment"], row.cells["tote"]
        if said := _id_fault(name, "a consignment"):
            self.unassigned.append(self._bad(row.number, "consignment", name, said))
            return
        consignment = self.consignments.setdefault(name, Consignment(name))
        if said := _id_fault(tote_name, "a tote"):
            consignment.problems.append(self._bad(row.number, "tote", tote_name, said))
            return
        tote = consignment.totes.setdefault(tote_name, Tote(row.number))
        quantity = self._quantity(row.cells["expected_qty"])
        if isinstance(quantity, str):
            tote.is_bad = True
            shown = row.cells["expected_qty"]
            consignment.problems.append(self._bad(row.number, "expected_qty", shown, quantity))
            return
        tote.expected += quantity
        for found, cell in ((tote.skus, row.cells.get("sku")), (tote.photos, row.cells.get("photo"))):
            if cell:
                found[cell] = None

    def _bad(self, number: int, name: str, shown: str, said: str) -> RowProblem:
        return _problem(number, self._columns.name(name), shown, said)


def _id_fault(text: str, what: str) -> str | None:
    return name_fault(text) if text else f"must name {what}, but is empty"


def _check_photos(consignment: Consignment, columns: Columns) -> None:
    for name, tote in consignment.totes.items():
        if len(tote.photos) > 1:
            shown = list(tote.photos)
            said = f"names photo {shown[0][:60]} and {shown[1][:60]} for tote {name[:60]}; a tote has one photo"
            consignment.problems.append(_problem(tote.row, columns.name("photo"), shown[1], said))


def _problem(number: int, column: str | None, shown: str, said: str) -> RowProblem:
    where = f"row {number}" if column is None else f"row {number}: {column}"
    return RowProblem(row=number, column=column, shown=shown[:60], sentence=f"{where} {said}")
