"""`binsight count`."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.count_into import Into, count_into
from binsight.cli.options import count_line, engine_options, json_option, print_json, require_extra
from binsight.errors import BadInput, Unreachable
from binsight.records import CountEstimate, CountFailure

if TYPE_CHECKING:
    from binsight.counting.counter import PhotoBytes

Result = tuple[CountEstimate | CountFailure, Path | None]


@click.command()
@click.argument("photos", nargs=-1, required=True)
@click.option("--model", type=click.Path(path_type=Path), help="Bundle to count with.  [default: the shipped one]")
@click.option("--read-labels", is_flag=True, help="Also read the bin's label in each photo; about twice the work.")
@click.option(
    "--heatmap",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for a picture of each photo that shows where the model looked; seconds a photo.",
)
@click.option("--at", metavar="URL", help="Let the service there count, such as http://127.0.0.1:8080.")
@click.option(
    "--out",
    metavar="FOLDER-OR-S3",
    help="Count a whole folder or bucket into Parquet there, resumably, and print one closing line.",
)
@engine_options("With --out: in this process, or by a Ray cluster.")
@click.option(
    "--shard-photos",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="With --out: photos in a shard, which is what a kill costs.",
)
@click.option(
    "--price-per-hour",
    type=click.FloatRange(min=0),
    help="With --out: what an hour of the machines costs, for the closing line.",
)
@click.option("--endpoint-url", help="Address of an S3-compatible server for s3:// URLs.")
@click.option("--anonymous", is_flag=True, help="Send unsigned requests, for public buckets.")
@json_option
def count(
    photos: tuple[str, ...],
    model: Path | None,
    read_labels: bool,
    heatmap: Path | None,
    at: str | None,
    out: str | None,
    on: str,
    ray_address: str | None,
    shard_photos: int,
    price_per_hour: float | None,
    endpoint_url: str | None,
    anonymous: bool,
    as_json: bool,
) -> None:
    """Count the items in photos: an estimate per photo.

    PHOTOS are files, folders (with all below them), quoted globs and s3:// URLs.

    The result is a line per photo: the most likely count, the interval that holds 90% of the probability, how
    likely the count is, the bin label if it was asked for and read, and flags: "blurred", "dark" and the like by
    the pixels, and "unreadable" where the model's own answer is too unsure for the limit in its bundle (older
    bundles have none). With --json each line is {"photo", "count", "probs", "interval", "bin_label", "flags"},
    where probs[n] = p(n) and the last entry stands for this many or more. A photo that cannot be counted has
    "error" instead; the others are counted, and the command ends non-zero.

    With --heatmap, DIR gets a picture of each photo that was counted: the photo beside itself with those parts lit
    up that change the estimate when they are covered. They are where the model looked, and no proof of items
    there. Each JSON line then has "heatmap", the picture's path, as well.

    With --at, the photos are read here and counted by `binsight serve` there, which the model is up to; the lines are
    the same.

    With --out, PHOTOS is one folder or s3:// URL, and the result is a Parquet file for each shard of its photos, together
    exactly one row a photo, with the fields of a JSON line, "error" and "model"; and one closing line: photos, how
    many of them failed, rate, and cost where a price is given. Run again after whatever ended it, the same command
    goes on; several at once share the work.
    """
    into = Into(out=out, on=on, ray_address=ray_address, shard_photos=shard_photos, price_per_hour=price_per_hour)
    if out is not None:
        if at or heatmap:
            raise BadInput("--out counts without --at and --heatmap; leave them out")
        count_into(
            into,
            photos,
            model=model,
            read_labels=read_labels,
            endpoint_url=endpoint_url,
            anonymous=anonymous,
            as_json=as_json,
        )
        return
    if on != "local" or price_per_hour is not None:
        raise BadInput("--on and --price-per-hour are for counting into a folder or bucket; give it with --out")
    from binsight.counting.sources import find_photos
    from binsight.progress import progress_bar

    found = find_photos(photos, endpoint_url=endpoint_url, anonymous=anonymous)
    if at is None:
        results = _results_here(model, found, heatmap, read_labels)
    elif model or heatmap:
        raise BadInput("--at counts elsewhere, without --model and --heatmap; leave them out")
    else:
        results = _results_at(at, found, read_labels)
    with progress_bar("photos") as bar:
        num_failed = _print_all(bar.track(results, description="count"), as_json)
    if heatmap and not as_json:
        click.echo(f"where the model looked: {heatmap}")
    if num_failed:
        click.echo(f"error: {num_failed} photos could not be counted; each is named above", err=True)
        sys.exit(1)


def _results_at(url: str, photos: "Iterable[tuple[str, PhotoBytes]]", read_labels: bool) -> Iterator[Result]:
    """Every result of the service at `url`, a few photos at once. Raises `Unreachable` where nobody listens there."""
    require_extra("client", "counting by a service elsewhere")
    from binsight.client import Answer, Client
    from binsight.settings import settings

    key = settings().key
    with Client(url, key=key.get_secret_value() if key else None) as client:
        for name, result in client.count_many(photos, read_labels=read_labels):
            if isinstance(result, Unreachable) and not client.was_heard:
                raise result  # as all others would, one after the other
            if isinstance(result, Answer):
                yield result.estimate, None
            else:
                yield CountFailure(photo=name, error=str(result)), None


def _results_here(
    model: Path | None, photos: "Iterable[tuple[str, PhotoBytes]]", heatmap: Path | None, read_labels: bool
) -> Iterator[Result]:
    """Every result and, where heat maps are wanted and it was counted, its picture."""
    from binsight.counting import Counter, default_bundle

    counter = Counter.load(model or default_bundle())
    if heatmap is None:
        return ((result, None) for result in counter.count(photos, read_labels=read_labels))
    from binsight.counting.heatmap_files import count_with_heatmaps

    return count_with_heatmaps(counter, photos, heatmap, read_labels=read_labels)


def _print_all(results: Iterable[Result], as_json: bool) -> int:
    num_failed = 0
    if not as_json:
        click.echo(f"{'count':>5}  {'90%':>7}  {'p':>4}  photo")
    for result, picture in results:
        num_failed += isinstance(result, CountFailure)
        if as_json:
            print_json(count_line(result) | ({"heatmap": str(picture)} if picture else {}))
        else:
            click.echo(_row(result))
    return num_failed


def _row(result: CountEstimate | CountFailure) -> str:
    if isinstance(result, CountFailure):
        return f"{'–':>5}  {'':>7}  {'':>4}  {result.photo}: {result.error}"
    last = len(result.probs) - 1
    low, high = result.interval
    count_text = f"{result.count}+" if result.count == last else str(result.count)
    extras = [result.bin_label] if result.bin_label else []
    return "  ".join(
        [
            f"{count_text:>5}",
            f"{f'{low}–{high}' + ('+' if high == last else ''):>7}",
            f"{result.probs[result.count]:>4.0%}",
            " ".join([result.photo, *extras, *(f"[{flag}]" for flag in result.flags)]),
        ]
    )
