"""`binsight train`."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from binsight.cli.options import engine_options, json_option, print_json, require_extra


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/NAME of the recipe]")
@engine_options("Processes of this machine, or workers of a Ray cluster; as many as training.devices says.")
@json_option
def train(
    recipe: Path, overrides: tuple[str, ...], out: Path | None, on: str, ray_address: str | None, as_json: bool
) -> None:
    """Train a network by a recipe: a run folder.

    The result is a run folder with the best and the last weights, metrics (CSV and plot), the whole recipe,
    the environment and what the health rules found. KEY=VALUE reaches any field of the recipe, such as
    training.epochs=3 or data.dataset=my-dataset.

    Ctrl-C and SIGTERM stop safely; the same command goes on where it stopped, as it does after a kill, and
    ends with the very weights of a run that was never stopped. With --on ray, a worker that is killed costs the
    minutes since the last checkpoint (training.checkpoint_minutes), and all machines must share the run folder and the
    dataset.
    """
    require_extra("train", "training")
    if on == "ray":
        require_extra("ray", "training on Ray")
    from binsight.errors import Stopped
    from binsight.model.recipe import load_recipe
    from binsight.model.train import is_first_process
    from binsight.model.train import train as train_model

    loaded = load_recipe(recipe, overrides)
    folder = out or Path("runs") / loaded.name

    def say(line: str) -> None:
        click.echo(line, err=True)

    try:
        if on == "ray":
            from binsight.engines.ray.training import train_on_ray

            run = train_on_ray(loaded, folder, address=ray_address, say=say)
        else:
            run = train_model(loaded, folder, say=say)
    except Stopped:  # as all are, after the same batch
        if is_first_process():
            raise
        sys.exit(130)
    if not is_first_process():  # the first one speaks
        return
    best = min(run.metrics(), key=lambda row: row.val_rps)
    if as_json:
        print_json({"run": str(run.folder)} | asdict(best))
    else:
        click.echo(f"{run.folder}: best at epoch {best.epoch}, {best.val_exact:.1%} exact on val")
        click.echo(f"next: binsight evaluate {run.folder} {loaded.data.dataset}")
