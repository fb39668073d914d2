"""The demo's photos: a few from ABID's public bucket, or bins that Binsight draws itself.

Either way they lie in a folder in ABID's layout with their records, so that every other command works on them.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from binsight.dataset.fetch import fetch
from binsight.dataset.fetch_folder import PHOTOS, RECORDS
from binsight.dataset.selection import Selection
from binsight.dataset.sources import ABID_URL, Source, open_abid
from binsight.errors import BadRecord, StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.records import BinRecord
from binsight.storage.files import written_whole

PUBLIC_IDS = tuple(str(number) for number in range(300_000, 324_000, 1000))
"""Photos that the default model never saw, far enough apart to show different bins: neighbouring ids show one bin
before and after."""

DRAWN_COUNTS = (0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 12, 15, 18, 22)
"""Counts as they come in ABID: a mean of 5 to 6, most at 2 to 5, a long tail."""

CONNECT_LIMIT_S = 8.0
"""Longer than this nobody waits to learn whether there is a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One photo of the demo, and the count known of it: the record's, or the true one of a drawn bin."""

    photo: str
    path: Path
    known: int | None


def fetch_examples(folder: Path) -> list[Example]:
    """Fetch the public photos into `folder`; those that are there already are not fetched again.

    Raises a `BinsightError` where the bucket does not answer in time or none of the photos could be had.
    """
    if len(examples_in(folder, PUBLIC_IDS)) < len(PUBLIC_IDS):
        source = open_abid()
        asyncio.run(_answers(source))
        fetch("abid", folder, Selection(ids=PUBLIC_IDS))
    examples = examples_in(folder, PUBLIC_IDS)
    if not examples:
        raise StorageFailure(f"none of the demo's photos could be fetched from {ABID_URL}")
    return examples


async def _answers(source: Source) -> None:
    """Ask for one small object, within the limit: the store's own patience is far longer than a demo's."""
    try:
        await asyncio.wait_for(source.store.read_async(source.record_name(PUBLIC_IDS[0])), CONNECT_LIMIT_S)
    except TimeoutError:
        raise StorageFailure(f"{ABID_URL} did not answer within {CONNECT_LIMIT_S:.0f} s") from None


def draw_examples(folder: Path) -> Iterator[Example]:
    """Draw the demo's bins into `folder`, each with a record of its true count, one by one."""
    (folder / PHOTOS).mkdir(parents=True, exist_ok=True)
    (folder / RECORDS).mkdir(exist_ok=True)
    for number, count in enumerate(DRAWN_COUNTS, start=1):
        photo = f"drawn-{number:02}"
        path = folder / PHOTOS / f"{photo}.jpg"
        with written_whole(path) as part:
            part.write_bytes(drawn_photo(count, seed=number))
        with written_whole(folder / RECORDS / f"{photo}.json") as part:
            part.write_text(json.dumps(_drawn_record(photo, count), indent=1))
        yield Example(photo=photo, path=path, known=count)


def _drawn_record(photo: str, count: int) -> dict[str, object]:
    """A record in ABID's form, each drawn bin with an item of its own."""
    sku = photo.upper()
    items = {sku: {"asin": sku, "name": f"item of {photo}", "quantity": count}} if count else {}
    return {"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": count}


def examples_in(folder: Path, ids: tuple[str, ...]) -> list[Example]:
    """Those of the photos that are in the folder, with their records' counts where these can be read."""
    paths = {photo: folder / PHOTOS / f"{photo}.jpg" for photo in ids}
    return [
        Example(photo=photo, path=path, known=_recorded(folder / RECORDS / f"{photo}.json", photo))
        for photo, path in paths.items()
        if path.is_file()
    ]


def _recorded(path: Path, photo: str) -> int | None:
    try:
        return BinRecord.from_abid_json(path.read_bytes(), photo=photo).expected
    except (OSError, BadRecord):
        return None  # a demo shows the estimate all the same
