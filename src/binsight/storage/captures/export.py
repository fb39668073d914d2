"""Captures as one file for those who train and watch: a line or a row for each, with the count added later."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from binsight.errors import BadInput, MissingExtra
from binsight.storage.captures.capture import Capture, Truth
from binsight.storage.files import written_whole

_ROWS = 256  # in memory at once, with their photos


def capture_fields(capture: Capture, truth: Truth | None) -> dict[str, Any]:
    """The flat shape of one capture; `truth` is the count added later, null where there is none."""
    answer = capture.fields
    return {
        "event_id": capture.event_id,
        "inference_id": capture.inference_id,
        "captured_at": capture.captured_at.isoformat(),
        "model": capture.model,
        "count": answer["count"],
        "probs": answer["probs"],
        "flags": answer["flags"],
        "expected": capture.expected,
        "truth": None if truth is None else truth.count,
        "photo_sha256": capture.photo_sha256,
        "photo_type": capture.photo_type,
    }


def export(pairs: Iterable[tuple[Capture, Truth | None]], path: Path, *, photos: bool) -> int:
    """Write captures to a `.parquet` or `.jsonl` file, whole or not at all, and say how many.

    With `photos`, a column `photo` holds each photo: its bytes in Parquet, base64 in JSON. Raises `BadInput` for another
    ending, `MissingExtra` where Parquet's library is not there, `StorageFailure` where the file cannot be written.
    """
    if path.suffix not in (".parquet", ".jsonl"):
        raise BadInput(f"{path} must end in .parquet or .jsonl; name the file so")
    rows = (
        capture_fields(capture, truth) | ({"photo": capture.photo} if photos else {}) for capture, truth in pairs
    )
    with written_whole(path) as part:
        return _parquet(rows, part, photos) if path.suffix == ".parquet" else _lines(rows, part)


def _lines(rows: Iterator[Mapping[str, Any]], path: Path) -> int:
    number = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            photo = row.get("photo")
            line = dict(row) if photo is None else {**row, "photo": base64.b64encode(photo).decode()}
            file.write(json.dumps(line) + "\n")
            number += 1
    return number


def _parquet(rows: Iterator[Mapping[str, Any]], path: Path, photos: bool) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Parquet", extra="data") from None
    text, whole = pa.string(), pa.int64()
    columns = {
        **{"event_id": text, "inference_id": text, "captured_at": text, "model": text, "count": whole},
        **{"probs": pa.list_(pa.float64()), "flags": pa.list_(text), "expected": whole, "truth": whole},
        **{"photo_sha256": text, "photo_type": text},
        **({"photo": pa.binary()} if photos else {}),
    }
    schema, number = pa.schema(columns), 0
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            number += len(group)
    return number
