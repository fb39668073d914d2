"""Training curves: `metrics.csv`, the same as a plot, and TensorBoard where it is installed."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from binsight.model.health import EpochMetrics
from binsight.report.page import write_csv
from binsight.storage.files import written_whole


def write_metrics(folder: Path, rows: Sequence[EpochMetrics]) -> None:
    """Write the rows so far as `metrics.csv`, `metrics.svg` and TensorBoard events."""
    with written_whole(folder / "metrics.csv") as part:
        write_csv(part, [asdict(row) for row in rows])
    with written_whole(folder / "metrics.svg") as part:
        _plot(part, rows)
    if find_spec("tensorboard") is not None:
        _tensorboard(folder / "tensorboard", rows[-1])


def _plot(path: Path, rows: Sequence[EpochMetrics]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    loss, share, error = figure.subplots(1, 3)
    epochs = [row.epoch for row in rows]
    loss.plot(epochs, [row.train_loss for row in rows], ".-", label="train")
    loss.plot(epochs, [row.val_nll for row in rows], ".-", label="val")
    loss.set(title="loss (nats)", xlabel="epoch")
    share.plot(epochs, [100 * row.val_exact for row in rows], ".-", label="exact")
    share.plot(epochs, [100 * row.val_within_one for row in rows], ".-", label="within one")
    share.set(title="val photos (%)", xlabel="epoch", ylim=(0, 100))
    error.plot(epochs, [row.val_rps for row in rows], ".-", label="ranked probability score")
    error.plot(epochs, [row.val_mae for row in rows], ".-", label="mean absolute error")
    error.set(title="val error (items)", xlabel="epoch")
    for axes in (loss, share, error):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, format="svg")


def _tensorboard(folder: Path, row: EpochMetrics) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in asdict(row).items():
            if name != "epoch":
                writer.add_scalar(name.replace("val_", "val/").replace("train_", "train/"), value, row.epoch)
