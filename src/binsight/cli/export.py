"""`binsight export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import dataset_place, json_option, print_json, require_extra

if TYPE_CHECKING:
    from binsight.model.quantise import Weights


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--dataset",
    type=dataset_place,
    metavar="PLACE",
    help="Where the run's dataset lies now, if not where the recipe says.",
)
@click.option("--name", help="Name of the model.  [default: the bundle folder's name]")
@click.option(
    "--weights",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="How the larger weights are stored; int8 is a quarter of the size, and as fast.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16),
    help="Side in pixels that photos are asked about at; choose it on val photos.  [default: that of the training]",
)
@json_option
def export(
    run: Path,
    bundle: Path,
    dataset: Path | str | None,
    name: str | None,
    weights: "Weights",
    size: int | None,
    as_json: bool,
) -> None:
    """Turn a run into a bundle: ONNX, self-contained, parity-checked.

    The result is a folder that `binsight count --model` takes and that needs no PyTorch: the network as ONNX
    (any batch size), its preprocessing, a temperature fitted on the dataset's val photos, a certificate of the
    records that it may verify, and a reference to measure drift against (where there are 100 val photos or more),
    both from the same photos, golden photos with the answers they must get, a model card, and a checksum of every
    file. It is published only if PyTorch and ONNX Runtime agree within 0.0001 in every
    probability on 200 real photos and, with --weights fp16 or int8, if on the val photos the stored weights answer
    less than 0.3 points fewer exactly than the whole ones, and lose less than 0.005 nats of the log score.
    """
    require_extra("train", "exporting")
    from binsight.dataset.manifest import Dataset
    from binsight.model.card import temperature_warning
    from binsight.model.export import export as export_run
    from binsight.model.quantise import StorageLoss
    from binsight.model.run import Run

    made = export_run(
        Run.open(run),
        bundle,
        dataset=Dataset.open(dataset) if dataset else None,
        name=name,
        weights=weights,
        size=size,
    )
    if warning := temperature_warning(made.spec.temperature):
        click.echo(f"warning: {warning}", err=True)
    num_bytes = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
    if as_json:
        stored = made.spec.figures.get("stored", {"weights": weights})
        print_json({"bundle": str(made.folder), "version": made.version, "bytes": num_bytes, **stored})
    else:
        click.echo(
            f"{made.folder}: version {made.version}, {num_bytes / 1e6:.1f} MB, temperature {made.spec.temperature:.3f}"
        )
        if "stored" in made.spec.figures:
            click.echo(f"weights stored as {weights}: {StorageLoss(**made.spec.figures['stored'])}")
        click.echo(f"next: binsight count --model {made.folder} PHOTO…")
