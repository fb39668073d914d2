"""`binsight captures list | export | label | verify | prune`."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra
from binsight.errors import BadInput, GateFailed, MissingObject
from binsight.records import MOST_UNITS

if TYPE_CHECKING:
    from binsight.storage.captures import CompactCaptures, LineCaptures, Truths

COMMANDS = {
    "list": ("binsight.cli.captures:list_captures", "List captures with the counts added to them."),
    "export": ("binsight.cli.captures:export", "Write captures to one Parquet or JSON lines file."),
    "label": ("binsight.cli.captures:label", "Add counts that people made later."),
    "verify": ("binsight.cli.captures:verify", "Check that everything kept is there and whole."),
    "prune": ("binsight.cli.captures:prune", "Delete what is not to be kept any longer."),
}

since_option = click.option("--since", metavar="MOMENT", help="Only from then on, 2026-11-24T18:00 in UTC for one.")
until_option = click.option("--until", metavar="MOMENT", help="Only before then.")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def captures() -> None:
    """What the service kept: photos, answers, counts added later."""


@click.command("list")
@since_option
@until_option
@json_option
def list_captures(since: str | None, until: str | None, as_json: bool) -> None:
    """List captures with the counts added to them.

    The result is a line for each, in the order of time: event id, when, count, what the record said, what a person
    counted, the model; with --json also the inference id, the distribution and the photo's hash. What is read is what
    the settings name: BINSIGHT_CAPTURE and those beside it.
    """
    from binsight.storage.captures import joined, moment_of
    from binsight.storage.captures.export import capture_fields

    bounds = (since and moment_of(since)) or None, (until and moment_of(until)) or None
    with _opened() as (kept, truths):
        for capture, truth in joined(kept.read(since=bounds[0], until=bounds[1]), truths.read()):
            fields = capture_fields(capture, truth)
            if as_json:
                print_json(fields)
                continue
            record, counted = ("-" if fields[name] is None else str(fields[name]) for name in ("expected", "truth"))
            when = f"{capture.captured_at:%Y-%m-%d %H:%M:%S}"
            numbers = f"count {fields['count']:2}  record {record:>2}  truth {counted:>2}"
            click.echo(f"{capture.event_id}  {when}  {numbers}  {fields['model']}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--photos", is_flag=True, help="The photos too, in a column of their own.")
@since_option
@until_option
@json_option
def export(file: Path, photos: bool, since: str | None, until: str | None, as_json: bool) -> None:
    """Write captures to one Parquet or JSON lines file.

    The result is FILE, by its ending Parquet (extra `data`) or JSON lines: a row for each capture with its answer and the
    count added to it.
    """
    from binsight.storage.captures import joined, moment_of
    from binsight.storage.captures.export import export as write

    bounds = (since and moment_of(since)) or None, (until and moment_of(until)) or None
    with _opened() as (kept, truths):
        read = kept.read(since=bounds[0], until=bounds[1], photos=photos)
        number = write(joined(read, truths.read()), file, photos=photos)
    if as_json:
        print_json({"file": str(file), "captures": number})
    else:
        click.echo(f"{number} captures in {file}")


@click.command()
@click.argument("capture", required=False)
@click.argument("count", type=click.IntRange(0), required=False)
@click.option(
    "--csv", "file", type=click.Path(path_type=Path), help="Many at once: a file with the columns id and count."
)
@json_option
def label(capture: str | None, count: int | None, file: Path | None, as_json: bool) -> None:
    """Add counts that people made later.

    The result is the COUNT beside CAPTURE, an event id (the answer's header X-Binsight-Captured) or the caller's inference
    id, in SageMaker's ground-truth layout. The count added last is in force. Where an id is no capture's, none is added.
    """
    if (file is None) == (capture is None) or (capture is None) != (count is None):
        raise BadInput(
            "either a capture and its count or --csv FILE must be given; see binsight captures label --help"
        )
    counts = {capture: count} if capture is not None and count is not None else _counts(file)
    with _opened() as (kept, truths):
        added = truths.add(kept.read(), counts, now=datetime.now(UTC))
    if as_json:
        print_json({"added": len(added)})
    else:
        click.echo(f"{len(added)} counts are added")


@click.command()
@json_option
def verify(as_json: bool) -> None:
    """Check that everything kept is there and whole.

    The result is a line for each photo that is missing or whose bytes are not those that were put there, and for each
    JSON line that cannot be read. It ends non-zero where there are any. Two kinds are told and are no fault: a last line
    torn by a crash, which was never acknowledged, and what is as it was kept but cannot be used, such as the answer to a
    photo that was not counted, or an added count that is no number.
    """
    from binsight.storage.captures.capture import UNUSABLE

    faults = 0
    with _opened() as (kept, truths):
        for problem in chain(kept.problems(), truths.problems()):
            faults += problem.word not in ("torn", UNUSABLE)
            if as_json:
                print_json(asdict(problem))
            else:
                click.echo(f"{problem.word}: {problem.where}{problem.why and f' ({problem.why})'}")
        number = 0 if faults else sum(1 for _ in kept.read())
    if faults:
        raise GateFailed(f"{faults} captures are missing or corrupt; look at the disk that they lie on")
    if not as_json:
        click.echo(f"{number} captures, all there and whole")


@click.command()
@click.option("--keep-days", type=click.FloatRange(0), help="Days to keep.  [default: BINSIGHT_CAPTURE_KEEP_DAYS]")
@click.option("--max-bytes", type=click.IntRange(0), help="Bytes to keep.  [default: BINSIGHT_CAPTURE_MAX_BYTES]")
@json_option
def prune(keep_days: float | None, max_bytes: int | None, as_json: bool) -> None:
    """Delete what is not to be kept any longer.

    The result is that whole hours are gone, photos and answers: those over their days, and then the oldest until the rest
    has at most the bytes. The last two hours always stay. Added counts go once no variant of the endpoint keeps captures
    that are as old. The service does the same by itself.
    """
    from binsight.settings import settings
    from binsight.storage.captures import prune as delete

    chosen = settings()
    with _opened() as (kept, truths):
        pruned = delete(
            kept,
            truths,
            now=datetime.now(UTC),
            keep_days=chosen.capture_keep_days if keep_days is None else keep_days,
            max_bytes=chosen.capture_max_bytes if max_bytes is None else max_bytes,
        )
    if as_json:
        since = pruned.kept_since and pruned.kept_since.isoformat()
        print_json(asdict(pruned) | {"kept_since": since})
    else:
        click.echo(f"{pruned.removed_bytes:,} bytes deleted, {pruned.kept_bytes:,} kept")


@contextmanager
def _opened() -> "Iterator[tuple[CompactCaptures | LineCaptures, Truths]]":
    require_extra("ledger", "reading captures")
    from binsight.settings import settings
    from binsight.storage.captures import open_captures, open_truths

    kept = open_captures(settings())
    try:
        yield kept, open_truths(settings())
    finally:
        kept.close()


def _counts(file: Path | None) -> dict[str, int]:
    assert file is not None
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
    except FileNotFoundError:
        raise MissingObject(f"{file} is not there; check the name") from None
    except (OSError, UnicodeError, csv.Error) as error:
        raise BadInput(f"{file} cannot be read as CSV ({error}); save it as UTF-8") from None
    counts = {}
    for number, row in enumerate(rows, 2):
        name, count = row.get("id"), row.get("count") or ""
        if not name or not count.isascii() or not count.isdecimal() or len(count) > len(str(MOST_UNITS)):
            raise BadInput(
                f"{file}, line {number}: needs id and count, a whole number of 0 to {MOST_UNITS:,}; mend the line"
            )
        counts[name] = int(count)
    return counts
