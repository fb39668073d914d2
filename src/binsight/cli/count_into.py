"""`binsight count --out`: the photos of a whole bucket or folder, into Parquet."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import print_json, require_extra
from binsight.errors import BadInput

if TYPE_CHECKING:
    from binsight.batch import Places, Summary
    from binsight.batch.execute import Engine
    from binsight.counting import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Into:
    """What `--out` and the options that go with it say."""

    out: str | None
    on: str
    ray_address: str | None
    shard_photos: int
    price_per_hour: float | None


def count_into(
    into: Into,
    photos: tuple[str, ...],
    *,
    model: Path | None,
    read_labels: bool,
    endpoint_url: str | None,
    anonymous: bool,
    as_json: bool,
) -> None:
    """Count all photos of the one place into `into.out`, and end the process non-zero where photos could not be."""
    assert into.out is not None
    if len(photos) != 1:
        raise BadInput(f"--out counts one folder or s3://bucket/prefix, but {len(photos)} were given; name one")
    require_extra("batch", "counting into Parquet")
    if into.on == "ray":
        require_extra("ray", "counting on Ray")
    from binsight.batch import Places, begin, run
    from binsight.counting import Bundle, default_bundle

    began = time.monotonic()
    bundle = Bundle.open(model or default_bundle())
    places = Places.of(photos[0], into.out, endpoint_url=endpoint_url, anonymous=anonymous)
    job = begin(places, model=bundle.name, read_labels=read_labels, shard_photos=into.shard_photos)
    engine = _engine(into, bundle, places)
    summary = run(job, places, engine, began=began, price_per_hour=into.price_per_hour)
    if as_json:
        print_json(summary.fields())
    else:
        click.echo(_closing(summary))
    if summary.failed:
        click.echo(
            f"error: {summary.failed:,} photos could not be counted; each has its error in its row", err=True
        )
        sys.exit(1)


def _engine(into: Into, bundle: "Bundle", places: "Places") -> "Engine":
    if into.on == "ray":
        from binsight.engines.ray import engine_on_ray

        return engine_on_ray(bundle, places, address=into.ray_address)
    from binsight.batch import engine_here
    from binsight.counting import Counter

    return engine_here(places, Counter.load(bundle.folder))


def _closing(summary: "Summary") -> str:
    rate = "" if summary.photos_per_s is None else f", {summary.photos_per_s:,.1f} photos/s"
    cost = "" if summary.cost is None else f", cost {summary.cost:,.4f}"
    if summary.cost_per_million is not None:
        cost += f" ({summary.cost_per_million:,.2f} a million photos)"
    return (
        f"{summary.photos:,} photos in {summary.shards:,} shards in {summary.out}; "
        f"{summary.now:,} of them counted now in {summary.seconds:,.1f} s{rate}{cost}"
    )
