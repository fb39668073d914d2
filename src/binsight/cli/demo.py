"""`binsight demo`: from photos to a counts report, with nothing to configure."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import count_line, json_option, print_json
from binsight.errors import BinsightError
from binsight.progress import progress_bar
from binsight.records import CountEstimate, CountFailure

if TYPE_CHECKING:
    from binsight.cli.demo_photos import Example
    from binsight.report import EstimateCard, Page

THUMBNAIL = 400
"""The page carries its photos within itself, no larger than they are shown."""

FROM_ABID = (
    "The photos are from the Amazon Bin Image Dataset's public bucket, licence CC BY-NC-SA 3.0 US. The "
    "model that comes with Binsight was not trained on any of them. A record is what the stock system says, which "
    "is not always what is in the bin, and still less what can be seen of it."
)
DRAWN = (
    "These are not photos. Binsight drew the bins itself, {why}. The model was trained on real photos, so how "
    "often it is right here says nothing about how often it is right on yours. The page shows what an answer looks "
    "like."
)
CARDS = (
    "The large figure is the most likely count. The bars are the probability of each count from 0 to 20 or more, "
    "on one scale for all cards; the shaded part is the 90% interval, the dark bar the most likely count, and the "
    "small triangle marks the {known_as}."
)


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("binsight-demo"),
    show_default=True,
    help="Folder for the photos, the counts and the report.",
)
@click.option("--offline", is_flag=True, help="Ask no network: count bins that Binsight draws itself.")
@json_option
def demo(out: Path, offline: bool, as_json: bool) -> None:
    """The main job on a small example, with nothing to configure.

    Counts two dozen photos from the Amazon Bin Image Dataset's public bucket with the model that comes with
    Binsight. Where the bucket does not answer within seconds, or with --offline, it counts bins that it draws
    itself, and says so.

    The result is a folder with the photos and their records, counts.jsonl (one line a photo, as `binsight count
    --json` prints it) and index.html, a report: each photo with its most likely count, the 90% interval, the whole
    distribution and what is known about it otherwise.
    """
    from binsight.counting import Counter, default_bundle
    from binsight.storage.files import written_whole

    counter = Counter.load(default_bundle())
    spec = counter.bundle.spec
    out.mkdir(parents=True, exist_ok=True)
    folder, examples, drawn_because = _examples(out, offline)
    start = time.perf_counter()
    with progress_bar("photo") as bar:
        task = bar.add_task("counting", total=len(examples))
        results = []
        for result in counter.count((example.photo, example.path.read_bytes) for example in examples):
            results.append(result)
            bar.advance(task)
    seconds = time.perf_counter() - start
    with written_whole(out / "counts.jsonl") as part:
        part.write_text("".join(json.dumps(count_line(result)) + "\n" for result in results))
    cards = [_card(example, result, drawn_because) for example, result in zip(examples, results, strict=True)]
    report = _page(cards, drawn_because, seconds, f"{spec.name} {counter.bundle.version}").write(out)

    num_failures = sum(isinstance(result, CountFailure) for result in results)
    if as_json:
        print_json(
            {
                "report": str(report),
                "counts": str(out / "counts.jsonl"),
                "photos": str(folder),
                "source": "drawn" if drawn_because else "abid",
                "num_counted": len(results) - num_failures,
                "num_failed": num_failures,
            }
        )
        return
    if drawn_because:
        click.echo(
            f"The bins are drawn, not photographed, {drawn_because}: their figures say nothing about real ones."
        )
    click.echo(f"Counted {len(results) - num_failures} of {len(results)} photos in {seconds:.1f} s.\n")
    click.echo(f"The report:  {report}")
    click.echo(f"The counts:  {out / 'counts.jsonl'}\n")
    click.echo("Try next:")
    click.echo(f"  binsight count {folder / 'bin-images'}")
    click.echo(f"  binsight data inspect {folder}")
    click.echo("  binsight count your-photo.jpg --json")


def _examples(out: Path, offline: bool) -> tuple[Path, list["Example"], str]:
    """The folder of the photos, the photos, and why they are drawn ("" where they are real)."""
    from binsight.cli.demo_photos import draw_examples, fetch_examples

    if offline:
        because = "as --offline asked"
    else:
        try:
            return out / "photos", fetch_examples(out / "photos"), ""
        except BinsightError as error:
            because = "because the public bucket could not be read"
            click.echo(f"note: {error}; drawing bins instead", err=True)
    with progress_bar("bin") as bar:
        return out / "drawn", list(bar.track(draw_examples(out / "drawn"), description="drawing")), because


def _card(example: "Example", result: CountEstimate | CountFailure, drawn_because: str) -> "EstimateCard":
    from binsight.imaging.thumbnail import thumbnail
    from binsight.report import EstimateCard

    known_as = "true count" if drawn_because else "record"
    if isinstance(result, CountFailure):
        return EstimateCard(
            photo=example.photo, jpeg=None, error=result.error, known=example.known, known_as=known_as
        )
    return EstimateCard(
        photo=example.photo,
        jpeg=thumbnail(example.path.read_bytes(), name=str(example.path), side=THUMBNAIL),
        estimate=result,
        known=example.known,
        known_as=known_as,
    )


def _page(cards: list["EstimateCard"], drawn_because: str, seconds: float, model: str) -> "Page":
    from binsight.report import Page

    page = Page(
        "Items counted in drawn bins" if drawn_because else "Items counted in bin photos",
        lead=DRAWN.format(why=drawn_because) if drawn_because else FROM_ABID,
    )
    counted = [card for card in cards if card.estimate]
    figures = {
        "photos counted": f"{len(counted)} of {len(cards)}",
        "photos a second": f"{len(cards) / seconds:.0f}",
    }
    if not drawn_because:
        known = [card for card in counted if card.verdict]
        figures["most likely count is the record's"] = (
            f"{sum(c.verdict == 'agrees' for c in known)} of {len(known)}"
        )
        figures["record within the 90% interval"] = f"{sum(c.verdict != 'differs' for c in known)} of {len(known)}"
    page.figures(figures)
    page.text(f"Counted with the model {model}.")
    page.section("Estimates", CARDS.format(known_as=cards[0].known_as))
    page.estimates(cards)
    page.table(
        "counts",
        [
            {
                "photo": card.photo,
                "count": card.count,
                "interval": card.interval,
                card.known_as: "" if card.known is None else card.known,
                "flags": " ".join(card.estimate.flags) if card.estimate else card.error,
            }
            for card in cards
        ],
        caption="The same as a table.",
    )
    return page
