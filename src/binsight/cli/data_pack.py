"""`binsight data pack`."""

from dataclasses import asdict
from pathlib import Path

import click

from binsight.cli.options import dataset_place, json_option, print_json, require_extra


@click.command()
@click.argument("dataset", type=dataset_place)
@click.argument("place")
@click.option(
    "--shard-mb",
    type=click.FloatRange(min=0.01),
    default=100,
    show_default=True,
    help="Megabytes of photos in a shard.",
)
@click.option("--endpoint-url", help="Address of an S3-compatible server.")
@json_option
def pack(dataset: Path | str, place: str, shard_mb: float, endpoint_url: str | None, as_json: bool) -> None:
    """Pack a dataset into shards, in a folder or a bucket.

    The result is the same dataset at PLACE, a folder or s3://bucket/prefix, with its photos in tar files of some
    megabytes, which are read as fast from a bucket as from a disk; train and evaluate take PLACE for a dataset.
    The tar files are as WebDataset has them, so that other loaders read them too. Packing again completes what was cut
    off, and finds done what is done.

    \b
      binsight data pack dataset s3://bins/2026-11
      binsight train recipes/default.toml data.dataset=s3://bins/2026-11
    """
    require_extra("data", "packing a dataset")
    from binsight.dataset.manifest import Dataset
    from binsight.dataset.pack import pack_dataset

    packed = pack_dataset(
        Dataset.open(dataset), place, shard_bytes=round(shard_mb * 1e6), endpoint_url=endpoint_url
    )
    if as_json:
        print_json({"place": place} | asdict(packed))
    else:
        done = "is there already, the same" if packed.was_there else "is packed"
        click.echo(
            f"{place} {done}: {packed.photos:,} photos in {packed.shards:,} shards, {packed.bytes / 1e6:,.1f} MB"
        )
