"""`binsight evaluate`: measure a run or bundle on a dataset."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import dataset_place, json_option, print_json, require_extra
from binsight.errors import BadInput, GateFailed

if TYPE_CHECKING:
    from binsight.model.evaluate import Evaluation


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("dataset", type=dataset_place)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Which photos; keep test for the end.",
)
@click.option(
    "--where",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Only photos with this value; repeat it for further columns, or further values of one column.",
)
@click.option(
    "--by",
    metavar="COLUMN",
    multiple=True,
    help="Measure the values of this column apart; repeatable.  [default: kind, where the dataset has it]",
)
@click.option(
    "--training",
    type=dataset_place,
    metavar="DATASET",
    multiple=True,
    help="Dataset that a bundle was trained on, to look whether it has seen these photos; repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: evaluation-MODEL-SPLIT]"
)
@json_option
def evaluate(
    model: Path,
    dataset: Path | str,
    split: str,
    where: tuple[str, ...],
    by: tuple[str, ...],
    training: tuple[Path | str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure a run or bundle on a dataset: a report.

    The result is a folder with an HTML report, metrics.json, metrics.csv and predictions.csv. Every figure has
    a 95% interval, resampled by chain of bins, and the blind answers' figures beside it. It also says what is
    gained by leaving photos with the flag "unreadable" to people, beside other choices of as many, and which
    records could be verified at a certified bound on how often a wrong one is, and what the certificate of a
    bundle does on these photos. Where the model has learned from these photos, or nobody knows whether it has, it
    says so: a run's dataset is looked for where its recipe has it, a bundle's in --training. Photos that cannot be
    opened are listed, and the command then ends non-zero. With --json it prints one line for each range of counts.
    """
    require_extra("data", "evaluating")
    from binsight.dataset.manifest import Dataset
    from binsight.lifecycle.familiar import familiar
    from binsight.model.evaluate import evaluate as measure
    from binsight.model.evaluate import select
    from binsight.model.evaluation_files import check_out, ranges_json, write_evaluation
    from binsight.model.predictor import certificate_of, predictor, readable_from_of

    opened = Dataset.open(dataset)
    known = [Dataset.open(place) for place in training]
    selection = select(opened, split, conditions(where))  # type: ignore[arg-type]  # click checked the choice
    name = model.resolve().name
    out = out or Path(f"evaluation-{name}-{split}")
    check_out(out)
    asked = predictor(model)
    evaluation = measure(
        name,
        asked,
        opened,
        selection,
        by=by or None,
        certificate=certificate_of(asked),
        readable_from=readable_from_of(asked),
        look=partial(familiar, model, opened, selection.split, known),
    )
    page = write_evaluation(evaluation, out)
    if as_json:
        for line in ranges_json(evaluation.ranges):
            print_json(line)
    else:
        _print_ranges(evaluation)
        _print_summaries(evaluation)
        click.echo(f"report: {page}")
    if evaluation.familiar.warns:
        click.echo(f"note: {evaluation.familiar.sentence}", err=True)
    unreadable = evaluation.predictions.unreadable
    if unreadable:
        raise GateFailed(
            f"{len(unreadable)} of {len(selection.photos)} photos could not be opened, so the figures leave them "
            f"out; {out / 'not_opened.csv'} lists them"
        )


def conditions(where: tuple[str, ...]) -> dict[str, list[str]]:
    """`("kind=original", "count=1", "count=2")` to the values wanted of each column."""
    wanted: dict[str, list[str]] = {}
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals or not column:
            raise BadInput(f"--where must be COLUMN=VALUE, but is {condition}")
        wanted.setdefault(column.strip(), []).append(value.strip())
    return wanted


def _print_ranges(evaluation: "Evaluation") -> None:
    from binsight.model.evaluation_page import shown_ranges, with_interval

    for within, measured in shown_ranges(evaluation).items():
        title = within.name + (", answers from these alone" if within.restricted else "")
        click.echo(f"counts {title}: {measured.num_photos:,} photos in {measured.num_groups:,} chains of bins")
        for name, label in (("exact", "exact"), ("within_one", "within ±1"), ("mae", "MAE"), ("rps", "RPS")):
            figure = with_interval(name, getattr(measured.scores, name), measured.intervals)
            blind = with_interval(name, getattr(measured.prior, name), None)
            click.echo(f"  {label:<10} {figure:<22} blind {blind}")


def _print_summaries(evaluation: "Evaluation") -> None:
    from binsight.model import readability_page, verification_page
    from binsight.model.evaluate import UNTEMPERED

    if not evaluation.tempered:
        click.echo(UNTEMPERED)
    for line in readability_page.summary(evaluation.readability):
        click.echo(line)
    for line in verification_page.summary(evaluation.verification):
        click.echo(line)
