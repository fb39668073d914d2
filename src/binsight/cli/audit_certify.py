"""`binsight audit certify`."""

from pathlib import Path
from typing import Any

import click

from binsight.cli.audit_options import photo_options, photos_of, terms_of
from binsight.cli.options import json_option, print_json, require_extra
from binsight.errors import GateFailed


@click.command()
@click.argument("counts", type=click.Path(path_type=Path))
@click.argument("photos", nargs=-1)
@photo_options
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("certificate.json"), show_default=True, help="The file."
)
@json_option
def certify(counts: Path, photos: tuple[str, ...], out: Path, as_json: bool, **given: Any) -> None:
    """Certify what may be verified, from bins that people counted.

    COUNTS has a line for each bin in the shape in which the mapping's system takes counts (generic: bin_id and
    counted_qty). They must be right, and of bins, cameras and counts like those to be verified: a few hundred bins drawn
    at random.

    The result is a certificate for binsight audit --certificate: for each band of recorded counts the threshold at which
    at most 5%, or 1%, of the records that are off by one are verified, at 95% confidence. A band with too few bins gets
    none, and the result says how many would do. Ends non-zero where nothing at all can be verified.
    """
    require_extra("audit", "certifying")
    require_extra("data", "certifying")
    from binsight.audit.command import run_certify

    counted = run_certify(counts, photos_of(photos, given), terms_of(given), out)
    certificate = counted.certificate
    for band in certificate.bands:
        if as_json:
            print_json(band.model_dump(mode="json"))
        elif band.threshold is None:
            click.echo(f"records of {band.name} at {band.alpha:.0%}: nothing; {band.reason}")
        else:
            click.echo(
                f"records of {band.name} at {band.alpha:.0%}: from p(record) {band.threshold:g} on; of "
                f"{band.num_right:,} right ones {band.coverage:.0%} are verified, of {band.num_wrong:,} wrong ones "
                f"{band.num_accepted:,}"
            )
    if not as_json:
        click.echo(f"{out}: from {certificate.num_photos:,} bins; {counted.num_unused:,} could not be used")
    if not certificate.verifying:
        raise GateFailed("nothing can be verified by this certificate; count more bins, as it says")
