"""A row for each capture: what was answered and when, and by which hash its photo is kept beside the ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.tables import captures

_PAGE = 500  # rows of one question: no reader holds a transaction open while it does something else


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRow:
    """One capture. `captured_at` is UTC in ISO 8601 with microseconds, so that text sorts as time; `answer` is JSON."""

    event_id: str
    inference_id: str | None
    endpoint: str
    variant: str
    captured_at: str
    photo_sha256: str | None
    photo_type: str | None
    photo_bytes: int
    answer: str
    model: str
    expected: int | None
    share: float | None = None


class CaptureRows:
    """The captures of one variant of one endpoint. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger, *, endpoint: str, variant: str) -> None:
        self._ledger, self._endpoint = ledger, endpoint
        self._ours = (captures.c.endpoint == endpoint) & (captures.c.variant == variant)

    def close(self) -> None:
        """Give the ledger's connections back."""
        self._ledger.close()

    def add(self, rows: Sequence[CaptureRow]) -> None:
        """Keep rows, all of them or none, in one transaction: on the disk when this returns."""
        with self._ledger.writing() as connection:
            connection.execute(sa.insert(captures), [asdict(row) for row in rows])

    def read(self, *, since: str = "", until: str = "9") -> Iterator[CaptureRow]:
        """The rows captured from `since` on and before `until`, in the order of time."""
        query = sa.select(captures).where(self._ours, captures.c.captured_at < until)
        query = query.order_by(captures.c.captured_at, captures.c.event_id).limit(_PAGE)
        here, after = sa.tuple_(captures.c.captured_at, captures.c.event_id), (since, "")
        while True:
            with self._ledger.reading() as connection:
                page = [CaptureRow(**row._mapping) for row in connection.execute(query.where(here > after))]
            yield from page
            if len(page) < _PAGE:
                return
            after = (page[-1].captured_at, page[-1].event_id)

    def bytes_by_hour(self) -> dict[str, int]:
        """Bytes of photos and answers, by the first 13 signs of `captured_at`: day and hour."""
        hour = sa.func.substr(captures.c.captured_at, 1, 13)
        size = sa.func.sum(captures.c.photo_bytes + sa.func.length(captures.c.answer))
        with self._ledger.reading() as connection:
            rows = connection.execute(sa.select(hour, size).where(self._ours).group_by(hour))
            return {row[0]: int(row[1]) for row in rows}

    def oldest_of_endpoint(self) -> str | None:
        """When the first that is still kept of any variant of the endpoint was captured; None where none is."""
        oldest = sa.select(sa.func.min(captures.c.captured_at)).where(captures.c.endpoint == self._endpoint)
        with self._ledger.reading() as connection:
            moment: str | None = connection.execute(oldest).scalar()
            return moment

    def remove_before(self, moment: str) -> None:
        """Forget what was captured before."""
        with self._ledger.writing() as connection:
            connection.execute(sa.delete(captures).where(self._ours, captures.c.captured_at < moment))
