"""Where the lines of a stock file wait until their bins are whole: on disk, so that memory is flat."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from binsight.audit.scratch import open_scratch, scratch_of

_TABLES = """
PRAGMA cache_size = -16384;
CREATE TABLE lines (
    row INTEGER PRIMARY KEY, site TEXT, bin TEXT, sku TEXT, apart TEXT, quantity INTEGER, photo TEXT, aisle TEXT,
    as_of INTEGER, taken_at INTEGER, value REAL, class TEXT, is_bad INTEGER
);
CREATE TABLE bins (
    row INTEGER, site TEXT, bin TEXT, expected INTEGER, photo TEXT, skus TEXT, aisle TEXT, as_of INTEGER,
    taken_at INTEGER, value REAL, class TEXT
);
CREATE TABLE problems (row INTEGER, said_at INTEGER PRIMARY KEY, "column" TEXT, shown TEXT, sentence TEXT);
BEGIN;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """What is wrong with one row of a stock file, and its column where it is one: one sentence for a person.

    `shown` is the cell's beginning.
    """

    row: int
    column: str | None
    shown: str
    sentence: str


class Line(NamedTuple):
    """A line as it waits. Moments are microseconds since 1970; a bad line has its place only, and nothing to add."""

    row: int
    site: str
    bin: str
    sku: str
    apart: str
    quantity: int
    photo: str
    aisle: str
    as_of: int | None
    taken_at: int | None
    value: float | None
    item_class: str
    is_bad: bool


def bad_line(row: int, site: str, bin_id: str) -> Line:
    """A line that cannot be read, of a bin that therefore has no total."""
    return Line(row, site, bin_id, "", "", 0, "", "", None, None, None, "", True)


class Whole(NamedTuple):
    """A bin whose lines were added up; `skus` as JSON, `row` its first line's."""

    row: int
    site: str
    bin: str
    expected: int
    photo: str | None
    skus: str
    aisle: str
    as_of: int | None
    taken_at: int | None
    value: float | None
    item_class: str


class Spool:
    """Lines in, bins out, and problems beside them. Not for several threads at a time."""

    BATCH = 5_000

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._bins: list[Whole] = []
        self.num_problems = 0
        with scratch_of("stock records"):
            self._connection = open_scratch(_TABLES)

    def close(self) -> None:
        """Delete it all."""
        self._connection.close()

    def add_line(self, line: Line) -> None:
        """Keep a line; many are written at once."""
        self._lines.append(line)
        if len(self._lines) >= self.BATCH:
            self._flush()

    def add_bin(self, whole: Whole) -> None:
        """Keep a bin that is whole; many are written at once."""
        self._bins.append(whole)
        if len(self._bins) >= self.BATCH:
            self._flush()

    def add_problem(self, problem: RowProblem) -> None:
        """Keep a problem."""
        self.num_problems += 1
        with scratch_of("stock records"):
            self._connection.execute(
                'INSERT INTO problems (row, "column", shown, sentence) VALUES (?, ?, ?, ?)',
                (problem.row, problem.column, problem.shown, problem.sentence),
            )

    def lines_by_bin(self) -> Iterator[Line]:
        """All lines, those of one bin together, in the file's order within it."""
        yield from map(Line._make, self._read("SELECT * FROM lines ORDER BY bin, site, row"))

    def drop_lines(self) -> None:
        """Let go of the lines once their bins are whole."""
        self._flush()
        with scratch_of("stock records"):
            self._connection.execute("DROP TABLE lines")

    def bins(self) -> Iterator[Whole]:
        """All bins in the order of their first lines."""
        yield from map(Whole._make, self._read("SELECT * FROM bins ORDER BY row"))

    def bins_by_shared_photo(self) -> Iterator[tuple[str, int, str]]:
        """Photo, row and bin of each bin whose photo another bin has as well, photo by photo."""
        shared = "SELECT photo FROM bins WHERE photo IS NOT NULL GROUP BY photo HAVING count(*) > 1"
        yield from self._read(f"SELECT photo, row, bin FROM bins WHERE photo IN ({shared}) ORDER BY photo, row")  # noqa: S608

    def forget_shared_photos(self) -> None:
        """Take away each photo that two bins or more have."""
        self._flush()
        shared = "SELECT photo FROM bins WHERE photo IS NOT NULL GROUP BY photo HAVING count(*) > 1"
        with scratch_of("stock records"):
            self._connection.execute(f"UPDATE bins SET photo = NULL WHERE photo IN ({shared})")  # noqa: S608

    def problems(self) -> Iterator[RowProblem]:
        """All problems in the order of their rows."""
        for row, column, shown, sentence in self._read(
            'SELECT row, "column", shown, sentence FROM problems ORDER BY row, said_at'
        ):
            yield RowProblem(row=row, column=column, shown=shown, sentence=sentence)

    def num_bins(self) -> int:
        """How many bins are whole."""
        return int(next(self._read("SELECT count(*) FROM bins"))[0])

    def _flush(self) -> None:
        with scratch_of("stock records"):
            self._connection.executemany(f"INSERT INTO lines VALUES ({_marks(Line)})", self._lines)  # noqa: S608
            self._connection.executemany(f"INSERT INTO bins VALUES ({_marks(Whole)})", self._bins)  # noqa: S608
        self._lines.clear()
        self._bins.clear()

    def _read(self, query: str) -> Iterator[tuple[Any, ...]]:
        self._flush()
        with scratch_of("stock records"):
            yield from self._connection.execute(query)


def _marks(kind: type[Line] | type[Whole]) -> str:
    return ", ".join("?" * len(kind._fields))
