"""Where a training run stands, saved so that going on from it gives the very weights of a run never stopped."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from binsight.errors import StorageFailure
from binsight.model.health import EpochMetrics
from binsight.storage.files import written_whole


@dataclass(slots=True, kw_only=True)
class Position:
    """The next batch to train on, and what has been measured so far.

    Nothing random needs keeping: each batch draws from a generator seeded by (seed, epoch, batch).
    """

    epoch: int = 0
    batch: int = 0
    rows: list[EpochMetrics] = field(default_factory=list)
    loss_sum: float = 0.0
    gradient_norms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    wait_seconds: float = 0.0

    @property
    def best_rps(self) -> float:
        """Lowest ranked probability score on `val` so far; infinite before the first epoch ends."""
        return min((row.val_rps for row in self.rows), default=float("inf"))


def save_checkpoint(path: Path, position: Position, states: dict[str, Any]) -> None:
    """Write position and state dicts; the file before it stays whole until the new one is."""
    plain = {name: getattr(position, name) for name in Position.__slots__ if name != "rows"}
    plain["rows"] = [{name: getattr(row, name) for name in EpochMetrics.__slots__} for row in position.rows]
    # Through memory, so that a full disk is an OSError like any other and not one of torch's own.
    buffer = io.BytesIO()
    torch.save({"position": plain, "states": states}, buffer)
    with written_whole(path) as part:
        part.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> tuple[Position, dict[str, Any]]:
    """Read what `save_checkpoint` wrote. Only tensors and plain values are accepted, no code."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever the parser raises, the file is at fault
        raise StorageFailure(
            f"{path} cannot be read ({str(error).splitlines()[0]}); delete it to start the run over"
        ) from None
    position = saved["position"]
    position["rows"] = [EpochMetrics(**row) for row in position["rows"]]
    return Position(**position), saved["states"]
