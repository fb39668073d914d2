"""An audit's lines as one Parquet file: what the ledger has of them, a row each, for any tool that reads Parquet."""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from binsight.errors import BadInput, MissingExtra
from binsight.storage.ledger import AuditLineRow, FoundBy

Line = tuple[AuditLineRow, FoundBy]
_COLUMNS = (*AuditLineRow.__slots__, *FoundBy.__slots__)


def archive_bytes(groups: Iterable[Sequence[Line]]) -> bytes:
    """Lines, a row group for each of `groups`. The same lines give the same bytes, with the same pyarrow."""
    pa, parquet = _pyarrow()
    integer, real, text = pa.int64(), pa.float64(), pa.string()
    kinds = {
        **dict.fromkeys(("place", "expected", "count"), integer),
        **dict.fromkeys(("p_record", "p_right", "units_off", "value_off"), real),
    }
    schema = pa.schema([(name, kinds.get(name, text)) for name in _COLUMNS])
    file = io.BytesIO()
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for lines in groups:
            columns = {name: [getattr(line, name) for line, _ in lines] for name in AuditLineRow.__slots__}
            columns |= {name: [getattr(by, name) for _, by in lines] for name in FoundBy.__slots__}
            writer.write_table(pa.table(columns, schema=schema))
    return file.getvalue()


def archived_groups(data: bytes, name: str) -> Iterator[list[Line]]:
    """The groups that `archive_bytes` wrote. Raises `BadInput` for other bytes; `name` is for its sentence."""
    pa, parquet = _pyarrow()
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=list(_COLUMNS)).to_pylist()
            yield [(_filled(AuditLineRow, row), _filled(FoundBy, row)) for row in rows]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BadInput(f"{name} is no archive of an audit ({error}); name the folder that it was put in") from None


def _filled(kind: Any, row: dict[str, Any]) -> Any:
    return kind(**{field: row[field] for field in kind.__slots__})


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("archives of audits", extra="batch") from None
    return pyarrow, pyarrow.parquet
