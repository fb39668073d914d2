"""`binsight tune`."""

from pathlib import Path

import click

from binsight.cli.options import engine_options, json_option, print_json, require_extra


@click.command()
@click.argument("search", metavar="[SEARCH.TOML]", type=click.Path(path_type=Path), required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--study",
    metavar="URL",
    help="Database that keeps the trials, such as postgresql+psycopg://host/name.  [default: OUT/study.db, in SQLite]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the report and the runs.  [default: runs/NAME]"
)
@engine_options("One trial after the other in this process, or several at once by a Ray cluster, one a core.")
@json_option
def tune(
    search: Path | None,
    overrides: tuple[str, ...],
    study: str | None,
    out: Path | None,
    on: str,
    ray_address: str | None,
    as_json: bool,
) -> None:
    """Search for the best recipe: a study, its report, best.toml.

    The result is a folder with best.toml, ready to train, an HTML report with a CSV beside every plot, and the run
    folder of each trial. SEARCH.TOML is a recipe with a section [search]; KEY=VALUE reaches any field of either, such
    as search.trials=40 or data.dataset=my-dataset.

    Stop it at any moment; the same command goes on. Start it again beside itself, with the same --study, and both
    work on one search; --on ray starts as many as there are cores. When there are trials enough it only writes the
    report again; without SEARCH.TOML it takes the search from the study.
    """
    require_extra("tune", "tuning")
    if on == "ray":
        require_extra("ray", "tuning on Ray")
    from binsight.errors import BadInput
    from binsight.model.search import load_search
    from binsight.model.tune import kept_search, open_study
    from binsight.model.tune import tune as tune_recipe
    from binsight.model.tune_report import done_trials, search_page, trial_row, write_best
    from binsight.storage.files import make_folder

    if search is None and study is None:
        raise BadInput("binsight tune needs a search file, or the --study to go on with")
    wanted = kept_search(str(study)) if search is None else load_search(search, overrides)
    folder = out or Path("runs") / wanted.name
    if study is None:
        make_folder(folder)
    url = study or f"sqlite:///{folder.absolute() / 'study.db'}"
    opened = open_study(url, wanted)

    def say(line: str) -> None:
        click.echo(line, err=True)

    if on == "ray":
        from binsight.engines.ray.tuning import tune_on_ray

        tune_on_ray(wanted, url, folder, address=ray_address, say=say)
    else:
        tune_recipe(wanted, opened, folder, say=say)
    recipe = write_best(wanted, opened, folder)
    page = search_page(wanted, opened).write(folder)
    if as_json:
        for trial in done_trials(opened):
            print_json(trial_row(trial))
    else:
        best = opened.best_trial
        click.echo(f"best of {len(done_trials(opened))} trials: {best.number + 1}, rps {best.value:.3f}")
        click.echo(f"report: {page}")
        click.echo(f"next: binsight train {folder / 'best.toml'} --out runs/{recipe.name}-best")
