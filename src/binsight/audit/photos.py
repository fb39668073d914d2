"""The photos of an audit, found by name, by the bin's label in them, or counted already: an index on disk.

A million photos' names and estimates do not belong into memory, so they lie in a scratch file that nobody else sees.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath

from binsight.audit.scratch import open_scratch, scratch_of
from binsight.errors import BadInput
from binsight.records import CountEstimate, CountFailure, StockRecord

_PAGE = 1000
_SHOWN = 3
"""Of photos that share a name, so many are named."""

_TABLES = """
CREATE TABLE photos (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, result TEXT, bin TEXT, is_named INTEGER, rival TEXT, taken_at TEXT
);
CREATE TABLE keys (kind TEXT, key TEXT, photo INTEGER, PRIMARY KEY (kind, key, photo)) WITHOUT ROWID;
"""

_Row = tuple[int, str, str | None, str | None, int | None, str | None, str | None]

NAME, LABEL = "name", "label"
"""What a photo is found by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPhoto:
    """A photo of a record: its name, its estimate (or why there is none) where it was counted already, and when it came in
    where that is known."""

    name: str
    result: CountEstimate | CountFailure | None = None
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedPhoto:
    """A photo that a service kept: `name` is where it lies, `called` what its sender called it, `label` what was read in
    it. `result` is None where another model counted it."""

    name: str
    called: str
    label: str | None
    result: CountEstimate | None
    taken_at: datetime


class PhotoIndex:
    """Photos by every name that a record may call them. Used by one thread; closing it removes its file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._num_folders, self._folder = 0, ""

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["PhotoIndex"]:
        """An empty index, for the time of the block. Raises `StorageFailure` where there is no room for it."""
        with scratch_of("photos"), closing(open_scratch(_TABLES)) as connection:
            yield cls(connection)

    def add_names(self, names: Iterable[str]) -> int:
        """Index photos by their names: whole, without folders, and without ending. How many there are."""
        return self._add((name, None, None) for name in names)

    def add_results(self, results: Iterable[CountEstimate | CountFailure]) -> int:
        """Index photos that were counted, by their names and by the labels read in them. How many there are."""
        return self._add(
            (one.photo, _as_text(one), one.bin_label if isinstance(one, CountEstimate) else None) for one in results
        )

    def add_captured(self, photos: Iterable[CapturedPhoto], *, by: str = NAME) -> int:
        """Index photos that a service kept, in the order of time, by what they are to be found by: of those that are called
        alike, or by label have the same one, only the newest stays. How many there were."""
        (before,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM photos").fetchone()
        last = before
        self._connection.execute("BEGIN")
        for last, photo in enumerate(photos, before + 1):
            key = photo.label if by == LABEL else photo.called
            older = "(SELECT photo FROM keys WHERE kind = ? AND key = ?)"
            self._connection.execute(f"DELETE FROM photos WHERE id IN {older}", (by, key))  # noqa: S608 - no input in it
            self._connection.execute("DELETE FROM keys WHERE kind = ? AND key = ?", (by, key))
            result = None if photo.result is None else _as_text(photo.result)
            row = (last, photo.name, result, photo.taken_at.isoformat())
            self._connection.execute("INSERT INTO photos (id, name, result, taken_at) VALUES (?, ?, ?, ?)", row)
            if key is not None:
                self._connection.execute("INSERT INTO keys VALUES (?, ?, ?)", (by, key, last))
        self._connection.execute("COMMIT")
        return int(last - before)

    def claim(self, records: Iterable[StockRecord], *, by: str = NAME) -> None:
        """Settle which photo is whose before any is counted: photos that records name go first, and one that two bins
        want is neither's. `records` are gone through twice."""
        for is_named in (True, False):
            for record in records:
                if bool(record.photo) == is_named:
                    self._claim(record, by)

    def _claim(self, record: StockRecord, by: str) -> None:
        rows = self._fitting(record, by)
        if len(rows) != 1:
            return
        number, _, _, taken_by, is_named, *_ = rows[0]
        if taken_by is None:
            values = (_bin_name(record), bool(record.photo), number)
            self._connection.execute("UPDATE photos SET bin = ?, is_named = ? WHERE id = ?", values)
        elif taken_by != _bin_name(record) and is_named == bool(record.photo):
            self._connection.execute("UPDATE photos SET rival = ? WHERE id = ?", (_bin_name(record), number))

    def find(self, record: StockRecord, *, by: str = NAME) -> FoundPhoto | None:
        """The photo of a record: the one that it names, or else one called as its bin is, within a folder called as its
        site where there is one; by label, the one with its bin's label. None where there is none.

        Raises `BadInput` where there are several, naming them, and where another bin has the photo or wants it too.
        """
        key, rows = _key(record, by), self._fitting(record, by)
        if len(rows) > 1:
            shown = ", ".join(row[1] for row in rows[:_SHOWN]) + (", …" if len(rows) > _SHOWN else "")
            what = "carry the label" if by == LABEL else "are called"
            raise BadInput(f"several photos {what} {key}: {shown}; name one in the record's photo column")
        if not rows:
            return None
        number, name, result, taken_by, _, rival, taken_at = rows[0]
        if rival is not None:
            raise BadInput(f"the photo {name} is wanted by bins {taken_by} and {rival}; a photo shows one bin")
        if taken_by is not None and taken_by != _bin_name(record):
            raise BadInput(f"the photo {name} is bin {taken_by}'s already; a photo shows one bin")
        if taken_by is None:
            self._connection.execute("UPDATE photos SET bin = ? WHERE id = ?", (_bin_name(record), number))
        return FoundPhoto(
            name=name,
            result=None if result is None else _from_text(name, result),
            taken_at=None if taken_at is None else datetime.fromisoformat(taken_at),
        )

    def _fitting(self, record: StockRecord, by: str) -> list[_Row]:
        """The photos that may be meant: one that has the very name alone, and none from folders of other sites."""
        key = _key(record, by)
        if record.site and by == NAME and (within := self._called(by, f"{record.site}/{key}")):
            return within
        rows = self._called(by, key)
        if record.site and by == NAME and not record.photo and self._has_folders():
            return []  # folders may be other sites'
        return rows[:1] if rows and rows[0][1] == key and rows[1:2] and rows[1][1] != key else rows

    def _called(self, kind: str, key: str) -> list[_Row]:
        """Photos by one name or label, a few where there are many, the one that has the very name first."""
        query = (
            "SELECT id, name, result, bin, is_named, rival, taken_at FROM keys JOIN photos ON id = photo "
            "WHERE kind = ? AND key = ? ORDER BY name <> key, name LIMIT ?"
        )
        return self._connection.execute(query, (kind, key, _SHOWN + 1)).fetchall()

    def _has_folders(self) -> bool:
        """Whether the photos lie in more than one folder."""
        return self._num_folders > 1

    def has(self, name: str) -> bool:
        """Whether a photo of this file name is there, in whatever folder."""
        return bool(self._called(NAME, PurePosixPath(name).name))

    def unused(self) -> Iterator[str]:
        """The names of photos that no record was found for, in the order in which they came."""
        after = 0
        while True:
            query = "SELECT id, name FROM photos WHERE bin IS NULL AND id > ? ORDER BY id LIMIT ?"
            page = self._connection.execute(query, (after, _PAGE)).fetchall()
            yield from (name for _, name in page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def _add(self, photos: Iterable[tuple[str, str | None, str | None]]) -> int:
        (before,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM photos").fetchone()
        numbered, last = enumerate(photos, before + 1), before
        while page := list(islice(numbered, _PAGE)):
            rows = [(number, name, result) for number, (name, result, _) in page]
            for name in (row[1] for row in rows):
                folder = name.rpartition("/")[0]
                if self._num_folders < 2 and (not self._num_folders or folder != self._folder):
                    self._num_folders, self._folder = self._num_folders + 1, folder
            keys = [(NAME, key, number) for number, (name, _, _) in page for key in names_of(name)]
            keys += [(LABEL, label, number) for number, (_, _, label) in page if label]
            _check_names(row[1] for row in rows)
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT INTO photos (id, name, result) VALUES (?, ?, ?)", rows)
            self._connection.executemany("INSERT INTO keys VALUES (?, ?, ?)", keys)
            self._connection.execute("COMMIT")
            last = page[-1][0]
        return int(last - before)


def _check_names(names: Iterable[str]) -> None:
    """Raise `BadInput` for a name that is no text: neither the ledger nor a CSV could say it."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"the photo {name.encode(errors='replace').decode()} has a name that is not UTF-8; rename it"
            ) from None


def names_of(photo: str) -> set[str]:
    """What a record may call a photo `x/site/a.jpg`: that, `site/a.jpg`, `site/a`, `a.jpg` or `a`."""
    path = PurePosixPath(photo)
    within = path.parent.name
    return {photo, f"{within}/{path.name}", f"{within}/{path.stem}", path.name, path.stem}


def _key(record: StockRecord, by: str) -> str:
    return record.bin_id if by == LABEL else record.photo or record.bin_id


def _bin_name(record: StockRecord) -> str:
    return record.bin_id if record.site is None else f"{record.site}/{record.bin_id}"


_encode = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` makes an encoder each time


def _as_text(result: CountEstimate | CountFailure) -> str:
    if isinstance(result, CountFailure):
        return _encode({"error": result.error})
    return _encode({"probs": result.probs, "bin_label": result.bin_label, "flags": result.flags})


def _from_text(name: str, text: str) -> CountEstimate | CountFailure:
    """What `_as_text` wrote, which was an estimate or a failure already."""
    fields = json.loads(text)
    if "error" in fields:
        return CountFailure(photo=name, error=fields["error"])
    return CountEstimate(
        photo=name, probs=tuple(fields["probs"]), bin_label=fields["bin_label"], flags=tuple(fields["flags"])
    )
