"""`binsight data fetch`."""

from dataclasses import asdict
from pathlib import Path

import click

from binsight.cli.options import json_option, print_json
from binsight.dataset.fetch import FetchSummary
from binsight.dataset.fetch import fetch as fetch_photos
from binsight.dataset.fetch_folder import MISSING_NAME
from binsight.dataset.selection import Selection, counts_of


@click.command()
@click.argument("source")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--ids",
    multiple=True,
    metavar="FIRST-LAST",
    help="Photos by id: a range with both ends, as 00001-01200, or one id. Repeatable. Ids are strings: "
    "1 and 00001 are different photos, and a range keeps the width of its ends.",
)
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='Photos by a JSON list of record paths by count: {"1": ["data/metadata/100313.json", …], …}.',
)
@click.option(
    "--counts",
    metavar="LOW-HIGH",
    help="Only photos whose record says such a count, as 1-5 or 3. Records are read first; "
    "a photo is fetched only where its record matches.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after the first N photos.")
@click.option(
    "--endpoint-url",
    metavar="URL",
    help="Address of an S3-compatible server, for s3:// and abid. Default: BINSIGHT_ENDPOINT_URL, else Amazon S3. "
    "Plain http:// is spoken only where you write it.",
)
@click.option("--anonymous", is_flag=True, help="Send unsigned requests, for a public bucket (abid always does).")
@click.option(
    "--jobs", type=click.IntRange(1, 512), default=32, show_default=True, help="Requests in flight at once."
)
@click.option("--verify", is_flag=True, help="Check files that are there by their SHA-256, not by size alone.")
@json_option
def fetch(
    source: str,
    folder: Path,
    ids: tuple[str, ...],
    list_file: Path | None,
    counts: str | None,
    limit: int | None,
    endpoint_url: str | None,
    anonymous: bool,
    jobs: int,
    verify: bool,
    as_json: bool,
) -> None:
    """Fetch photos and their records into a folder; resumable.

    The result is DIR with the photos as bin-images/<id>.jpg and their records as metadata/<id>.json, byte for
    byte; fetch.jsonl, the journal with every file's size and SHA-256; and, where a photo or record could not be
    had, missing.csv, which says what and why.

    SOURCE is one of

    \b
      abid                the Amazon Bin Image Dataset's public bucket
      s3://bucket/prefix  a bucket on Amazon S3 or any S3-compatible server
      a folder            (write ./abid for a folder of that name)

    A bucket or folder holds its photos as bin-images/<id>.jpg with records metadata/<id>.json, or directly as
    <id>.jpg with records <id>.json beside them, or none. Photos end in .jpg, .jpeg, .png or .webp.

    Without --ids and --list, all photos that SOURCE lists are fetched. Run the same command again after an
    interruption of any kind: what lies in DIR whole is not fetched again, a file that was cut short or changed
    in size is. Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN or from the
    machine's role, the region from BINSIGHT_REGION. Requests that fail are repeated with growing pauses.

    A missing photo or record is no failure; no photo at all is one.

    \b
      binsight data fetch abid bins --ids 00001-01200
      binsight data fetch abid bins --list file_list.json --counts 1-5
      binsight data fetch s3://robots/2026/07 bins --endpoint-url https://minio.example.com
    """
    selection = Selection(ids=ids, list_file=list_file, counts=counts_of(counts) if counts else None, limit=limit)
    summary = fetch_photos(
        source, folder, selection, endpoint_url=endpoint_url, anonymous=anonymous, jobs=jobs, verify=verify
    )
    if as_json:
        print_json(asdict(summary))
    else:
        click.echo(_sentence(summary, folder))


def _sentence(summary: FetchSummary, folder: Path) -> str:
    parts = [
        f"{summary.fetched:,} photos fetched ({summary.files:,} files, {summary.bytes / 1e6:,.1f} MB, "
        f"{summary.seconds:,.1f} s)",
        f"{summary.already_there:,} already there",
    ]
    if summary.not_wanted:
        parts.append(f"{summary.not_wanted:,} with another count")
    if summary.missing:
        parts.append(f"{summary.missing:,} incomplete: {folder / MISSING_NAME} says why")
    return f"{folder}: " + ", ".join(parts)
