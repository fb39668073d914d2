"""Options that the audit's commands share: how their file is read, and how bins get their photos."""

import math
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from binsight.audit.matching import Photos
    from binsight.audit.opening import Terms

OPTIONS = (
    click.option(
        "--mapping", default="generic", show_default=True, metavar="NAME|FILE", help="Which columns mean what."
    ),
    click.option("--encoding", metavar="NAME", help="The CSV's encoding, where it is not Unicode: cp1252 for one."),
    click.option("--sheet", metavar="NAME", help="The XLSX's sheet.  [default: the first]"),
    click.option(
        "--estimates",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Photos that were counted already: what binsight count --json printed. They are not counted again.",
    ),
    click.option(
        "--captured",
        is_flag=True,
        help="Photos that the service kept (BINSIGHT_CAPTURE), found by their inference ids: the newest of each.",
    ),
    click.option("--by-label", is_flag=True, help="Find each bin's photo by the label in it, not by names."),
    click.option("--check-labels", is_flag=True, help="Labels are bin ids: one of another bin is an exception."),
    click.option(
        "--model", type=click.Path(path_type=Path), help="Bundle to count with.  [default: the shipped one]"
    ),
    click.option("--endpoint-url", help="Address of an S3-compatible server for s3:// URLs."),
    click.option("--anonymous", is_flag=True, help="Send unsigned requests, for public buckets."),
)


class Finite(click.FloatRange):
    """A number of 0 or more that is one: `nan` lies within every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number of 0 or more", param, ctx)
        return number


NUMBER = Finite(min=0)

JUDGING = (
    click.option("--max-gap", type=NUMBER, metavar="HOURS", help="A record further from its photo is stale."),
    click.option(
        "--movements",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="When bins were moved (bin_id, moved_at): a record is stale where that lies between it and its photo.",
    ),
    click.option(
        "--certificate",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What may be verified, from binsight audit certify.  [default: the bundle's own]",
    ),
    click.option("--alpha", default=0.05, show_default=True, help="Bound on wrong records verified, as certified."),
    click.option("--error-rate", default=0.05, show_default=True, help="Share of the records that is wrong."),
    click.option(
        "--error-ratio", default=0.1, show_default=True, help="How much rarer each further unit makes an error."
    ),
    click.option(
        "--far-errors", default=0.02, show_default=True, help="Share of the wrong ones that is off by any number."
    ),
    click.option(
        "--count-cost", default=45.0, show_default=True, help="What counting a bin costs, in seconds for one."
    ),
    click.option("--unit-cost", default=300.0, show_default=True, help="What a wrong unit costs, in the same."),
)
"""By what records are judged."""


def photo_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of file and photos, in their order."""
    return reduce(lambda decorated, option: option(decorated), reversed(OPTIONS), command)


def judging_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those by which records are judged, in their order."""
    return reduce(lambda decorated, option: option(decorated), reversed(JUDGING), command)


def photos_of(arguments: tuple[str, ...], given: Mapping[str, Any]) -> "Photos":
    """Where the photos are, of what was given."""
    from binsight.audit.matching import Photos

    names = ("estimates", "captured", "by_label", "check_labels", "endpoint_url", "anonymous")
    return Photos(arguments=arguments, **{name: given[name] for name in names})


CALLED = {
    "max_gap": "max_gap_hours",
    "budget": "budget_minutes",
    "random_share": "share",
    "random_all": "draw_all",
    "max_age": "max_age_days",
}
"""Options whose term has another name."""


def terms_of(given: Mapping[str, Any]) -> "Terms":
    """The terms among what was given."""
    from binsight.audit.opening import Terms

    named = {CALLED.get(name, name): value for name, value in given.items()}
    return Terms(**{name: value for name, value in named.items() if name in Terms.__slots__})
