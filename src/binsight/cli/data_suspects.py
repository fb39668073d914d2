"""`binsight data suspects`."""

import json
from pathlib import Path

import click

from binsight.cli.options import json_option, print_json, require_extra

SPLITS = {"train": ("train",), "train+val": ("train", "val"), "all": ("train", "val", "test")}


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("recipe", metavar="RECIPE", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--split",
    type=click.Choice(list(SPLITS)),
    default="train+val",
    show_default=True,
    help="Which photos are judged; no others are trained on. Test photos only with all.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Networks trained: each judges the photos of one fold.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed deals other folds.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Photos that the page shows; the CSV has them all.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: suspects-DATASET]")
@json_option
def suspects(
    dataset: Path,
    recipe: Path,
    overrides: tuple[str, ...],
    split: str,
    folds: int,
    seed: int,
    top: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rank labelled photos whose record is probably wrong.

    RECIPE is a TOML file as for binsight train, and KEY=VALUE reaches any field of it. Each chain of bins is held out
    once while a network is trained on the others, so that no record is judged by a network that has learnt it: as
    much work as that many trainings. Stopped or killed, the same command goes on where it was.

    The result is a folder with suspects.csv, every photo with its record, its estimate and a score, the most
    doubtful first; index.html, which shows the photos to look at first; and the runs of the folds. A record up
    there is probably wrong, or right about what cannot be seen. With --json it prints a line for each photo that the
    page shows.
    """
    require_extra("train", "judging records by networks that never saw them")
    from binsight.dataset.manifest import Dataset
    from binsight.model.recipe import load_recipe
    from binsight.model.suspects import SuspectSearch, find_suspects, rows
    from binsight.model.suspects_page import suspects_page

    quoted = json.dumps(str(dataset), ensure_ascii=False)  # TOML's strings are JSON's
    search = SuspectSearch(
        dataset=Dataset.open(dataset),
        recipe=load_recipe(recipe, [*overrides, f"data.dataset={quoted}"]),
        splits=SPLITS[split],  # type: ignore[arg-type]  # click checked the choice
        num_folds=folds,
        seed=seed,
    )
    out = out or Path(f"suspects-{dataset.resolve().name}")
    found = find_suspects(search, out, say=lambda line: click.echo(line, err=True))
    if not found:
        return  # a further process of the same training: the first one speaks
    page = suspects_page(search, found, top=top).write(out)
    if as_json:
        for row in rows(found)[:top]:
            print_json(row)
    else:
        unlikely = sum(suspect.score > 0.5 for suspect in found)
        click.echo(f"{len(found):,} records judged; of {unlikely:,} another count is more likely")
        click.echo(f"report: {page}")
