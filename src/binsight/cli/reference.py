"""`binsight reference`."""

from pathlib import Path

import click

from binsight.cli.options import dataset_place, json_option, print_json, require_extra


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("dataset", type=dataset_place)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="The photos; those that the network was trained on get surer estimates than any others.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Only photos with this value in a column of the manifest; repeatable.",
)
@json_option
def reference(
    bundle: Path, dataset: Path | str, out: Path, split: str, where: tuple[str, ...], as_json: bool
) -> None:
    """Say which photos drift is measured against: a new bundle of the same model.

    The result is a bundle at OUT with the network, the calibration and the certificate of BUNDLE, and a reference: what
    DATASET's photos look like and what the model says of them. `binsight export` makes one of the val photos by itself;
    this is for bundles made before there were references, and for photos of your own bins.
    """
    require_extra("data", "making a reference")
    from binsight.cli.evaluate import conditions
    from binsight.counting import Bundle
    from binsight.dataset.manifest import Dataset
    from binsight.model.evaluate import select
    from binsight.model.reference import with_reference

    opened = Dataset.open(dataset)
    photos = select(opened, split, conditions(where)).photos  # type: ignore[arg-type]  # click checked the choice
    made = with_reference(Bundle.open(bundle), out, opened, photos, split=split)
    if as_json:
        print_json({"bundle": str(made.folder), "version": made.version, "photos": len(photos)})
    else:
        click.echo(
            f"{made.folder}: version {made.version}, drift is measured against {len(photos):,} {split} photos"
        )
