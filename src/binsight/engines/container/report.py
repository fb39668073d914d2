"""The pages of a training job: how it went, what the health rules found, what came out and how good that is."""

import json
from functools import partial
from pathlib import Path

from binsight.counting.bundle import Bundle
from binsight.dataset.manifest import Dataset
from binsight.lifecycle.familiar import familiar
from binsight.model.evaluate import evaluate, select
from binsight.model.evaluation_files import write_evaluation
from binsight.model.predictor import predictor
from binsight.model.run import Run
from binsight.report.page import Page
from binsight.report.plots import lines


def training_page(run: Run, bundle: Path) -> Page:
    """From the run folder and the bundle made of it."""
    rows = run.metrics()
    best = min(rows, key=lambda row: row.val_rps)
    made = Bundle.open(bundle)
    page = Page(f"Training of {run.recipe.name}", lead=f"{len(rows)} epochs; the bundle is {made.name}.")
    page.figures(
        {
            "best epoch": str(best.epoch),
            "exact on val": f"{best.val_exact:.1%}",
            "within one": f"{best.val_within_one:.1%}",
            "photos/s": f"{best.photos_per_s:.0f}",
        }
    )
    page.section("Health")
    path = run.folder / "health.json"
    findings = json.loads(path.read_text()) if path.is_file() else []
    page.text("The health rules found nothing to say." if not findings else "What the health rules found:")
    page.table("health", findings, columns=("rule", "sentence"))
    page.section("Epochs")
    epochs = [float(row.epoch) for row in rows]
    page.plot(
        "losses",
        lines(
            {
                "train": (epochs, [row.train_loss for row in rows]),
                "val": (epochs, [row.val_nll for row in rows]),
            },
            xlabel="epoch",
            ylabel="loss (nats)",
        ),
        [{"epoch": row.epoch, "train_loss": row.train_loss, "val_nll": row.val_nll} for row in rows],
    )
    page.table("epochs", [{"epoch": row.epoch, "rps": row.val_rps, "exact": row.val_exact} for row in rows])
    return page


def measured(run: Run, out: Path) -> Path:
    """The report of `binsight evaluate RUN DATASET --split val`."""
    dataset = Dataset.open(run.recipe.data.dataset)
    look = partial(familiar, run.folder, dataset, "val", ())
    evaluation = evaluate(run.folder.name, predictor(run.folder), dataset, select(dataset, "val", {}), look=look)
    return write_evaluation(evaluation, out)
