"""Options that the audit's commands share: how their file is read, and how bins get their photos."""

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


def photo_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them all, in their order."""
    return reduce(lambda decorated, option: option(decorated), reversed(OPTIONS), command)


def photos_of(arguments: tuple[str, ...], given: Mapping[str, Any]) -> "Photos":
    """Where the photos are, of what was given."""
    from binsight.audit.matching import Photos

    names = ("estimates", "captured", "by_label", "check_labels", "endpoint_url", "anonymous")
    return Photos(arguments=arguments, **{name: given[name] for name in names})


def terms_of(given: Mapping[str, Any]) -> "Terms":
    """How the file is read and what counts, of what was given."""
    from binsight.audit.opening import Terms

    return Terms(**{name: given[name] for name in ("mapping", "encoding", "sheet", "model")})
