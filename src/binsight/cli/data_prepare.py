"""`binsight data prepare`: a dataset from photos and records."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import engine_options, json_option, print_json, require_extra

if TYPE_CHECKING:
    from binsight.dataset.check import Check


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--labels", type=click.Path(path_type=Path), help="CSV with counts, and split and group if wanted.")
@click.option("--shares", default="70/20/10", show_default=True, help="Percent of train/val/test.")
@click.option("--seed", default=0, show_default=True, help="Another seed gives another split.")
@click.option(
    "--extend",
    type=click.Path(path_type=Path),
    help="Dataset whose photos keep their split; only new and changed files are opened.",
)
@click.option("--recheck", is_flag=True, help="With --extend: open every photo again.")
@click.option(
    "--on-leak",
    type=click.Choice(["fail", "reject"]),
    default="fail",
    show_default=True,
    help="What to do where links cross a given split: fail, or reject the photos that train.",
)
@click.option(
    "--on-gone",
    type=click.Choice(["fail", "reject"]),
    default="fail",
    show_default=True,
    help="With --extend: what to do where DIR lacks photos of that dataset: fail, or leave them out.",
)
@click.option(
    "--popular-item",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="An item in more photos than this links only neighbours.",
)
@click.option("--license", "licence", help="Licence of the photos, for the dataset's description.")
@click.option("--push", metavar="URL", help="Copy the dataset to s3://bucket/prefix.")
@click.option("--endpoint-url", help="Address of an S3-compatible server, for --push.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; one per processor if not given.")
@engine_options("Who opens the photos: processes of this machine, or workers of a Ray cluster.")
@json_option
def prepare(
    folder: Path,
    dataset: Path,
    labels: Path | None,
    shares: str,
    seed: int,
    extend: Path | None,
    recheck: bool,
    on_leak: str,
    on_gone: str,
    popular_item: int,
    licence: str | None,
    push: str | None,
    endpoint_url: str | None,
    jobs: int | None,
    on: str,
    ray_address: str | None,
    as_json: bool,
) -> None:
    """Make a dataset: checked, split by bin chain.

    The result is DATASET: the photos of DIR in train, val and test, a manifest, and rejects.csv with every photo
    and record that could not be used. Photos that may show the same bin are in the same split. A dataset is never
    changed: the same inputs find it done, others need another name. With --on ray all machines must share DIR and
    DATASET; the same dataset comes of it.
    """
    require_extra("data", "preparing a dataset")
    if on == "ray":
        require_extra("ray", "preparing a dataset on Ray")
    from binsight.dataset.check import by_processes
    from binsight.dataset.prepare import PrepareOptions
    from binsight.dataset.prepare import prepare as prepare_dataset
    from binsight.dataset.push import push_dataset
    from binsight.dataset.split import parse_shares
    from binsight.imaging.decode import limits_set

    options = PrepareOptions(
        shares=parse_shares(shares),
        seed=seed,
        extend=extend,
        recheck=recheck,
        on_leak="reject" if on_leak == "reject" else "fail",
        on_gone="reject" if on_gone == "reject" else "fail",
        popular_item=popular_item,
        licence=licence,
        limits=limits_set(),
        check=_on_ray(ray_address, jobs) if on == "ray" else by_processes(jobs or os.cpu_count() or 1),
    )
    prepared = prepare_dataset(folder, dataset, labels=labels, options=options)
    num_pushed = push_dataset(dataset, push, endpoint_url=endpoint_url) if push else 0
    summary = prepared.summary
    if as_json:
        print_json({"dataset": str(dataset), "was_there": prepared.was_there, "pushed": num_pushed, **summary})
        return
    done = "is there already, the same" if prepared.was_there else "is made"
    click.echo(f"{dataset} {done}: {summary['photos']} photos in {summary['groups']['number']} chains")
    for split, part in summary["splits"].items():
        click.echo(f"  {split:5} {part['photos']:7} photos {part['groups']:7} chains")
    if summary["rejects"]:
        reasons = ", ".join(f"{number} {reason}" for reason, number in summary["rejects"].items())
        click.echo(f"  rejected: {reasons} (see {dataset / 'rejects.csv'})")
    if push:
        click.echo(f"  {num_pushed} files copied to {push}")
    for note in summary["notes"]:
        click.echo(f"note: {note}", err=True)


def _on_ray(address: str | None, workers: int | None) -> "Check":
    from binsight.engines.ray.checking import check_on_ray

    return check_on_ray(address=address, workers=workers)
