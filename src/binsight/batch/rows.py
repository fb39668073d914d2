"""Parquet in memory: a shard's list of photos, and its rows. The same values give the same bytes."""

import io
from collections.abc import Sequence
from typing import Any

from binsight.batch.photos import Listed
from binsight.errors import MissingExtra
from binsight.records import CountEstimate, CountFailure


def list_bytes(photos: Sequence[Listed]) -> bytes:
    """A shard's photos as they were listed."""
    pa, _ = _pyarrow()
    schema = pa.schema([("name", pa.string()), ("size", pa.int64()), ("tag", pa.string())])
    columns = {field: [getattr(photo, field) for photo in photos] for field in schema.names}
    return _written(columns, schema)


def listed(data: bytes) -> list[Listed]:
    """What `list_bytes` wrote."""
    _, parquet = _pyarrow()
    rows = parquet.ParquetFile(io.BytesIO(data)).read().to_pylist()
    return [Listed(row["name"], row["size"], row["tag"]) for row in rows]


def row_bytes(results: Sequence[CountEstimate | CountFailure], model: str) -> bytes:
    """One row a photo: the fields of a line of `binsight count --json`, `error` where it has none, and the model."""
    pa, _ = _pyarrow()
    text = pa.string()
    schema = pa.schema(
        [
            *(("photo", text), ("count", pa.int32()), ("probs", pa.list_(pa.float32()))),
            *(("interval", pa.list_(pa.int32())), ("bin_label", text), ("flags", pa.list_(text))),
            *(("error", text), ("model", text)),
        ]
    )
    rows = [_row(result) for result in results]
    columns = {name: [row.get(name) for row in rows] for name in schema.names[:-1]}
    return _written(columns | {"model": [model] * len(rows)}, schema)


def num_failed(data: bytes, num_photos: int) -> int | None:
    """How many rows of a part have an error; None where it is not the whole part of so many photos."""
    pa, parquet = _pyarrow()
    try:
        errors = parquet.ParquetFile(io.BytesIO(data)).read(columns=["error"])["error"]
    except (pa.ArrowException, OSError, KeyError):
        return None
    return None if len(errors) != num_photos else num_photos - int(errors.null_count)


def _row(result: CountEstimate | CountFailure) -> dict[str, Any]:
    if isinstance(result, CountFailure):
        return {"photo": result.photo, "error": result.error}
    return {
        "photo": result.photo,
        "count": result.count,
        "probs": result.probs,
        "interval": result.interval,
        "bin_label": result.bin_label,
        "flags": result.flags,
    }


def _written(columns: dict[str, list[Any]], schema: Any) -> bytes:
    pa, parquet = _pyarrow()
    file = io.BytesIO()
    parquet.write_table(pa.table(columns, schema=schema), file, compression="zstd")
    return file.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("counting into Parquet", extra="batch") from None
    return pyarrow, pyarrow.parquet
