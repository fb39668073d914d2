"""`binsight deploy train | tune | transform`: jobs on SageMaker by themselves."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import json_option, print_json, require_extra

if TYPE_CHECKING:
    from binsight.engines.sagemaker.calls import Call, Piece
    from binsight.engines.sagemaker.deployment import Deployment
    from binsight.engines.sagemaker.transform import Kind

config_option = click.option(
    "--deploy",
    "config",
    type=click.Path(path_type=Path),
    default=Path("deploy.toml"),
    show_default=True,
    help="The deployment whose bucket, roles and images are used.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the calls alone; AWS is asked nothing.")


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("dataset", metavar="S3://DATASET")
@config_option
@dry_run_option
@json_option
def train(recipe: Path, dataset: str, config: Path, dry_run: bool, as_json: bool) -> None:
    """Train by a recipe on SageMaker: one job.

    The result is a job that trains on a pushed dataset (`binsight data prepare --push`) and leaves a bundle as
    model.tar.gz, and its report, below PREFIX/runs in the bucket. On spot instances it goes on from its checkpoint where
    one was taken away. The same recipe and dataset are trained once by the same image on the same instances: then the
    command tells how that job is, and begins it again, under the next number, where it failed or was stopped.
    """
    require_extra("aws", "training on SageMaker")
    from binsight.engines.sagemaker.calls import digest
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.jobs import resources, training_job
    from binsight.engines.sagemaker.plan import recipe_piece
    from binsight.model.recipe import load_recipe

    d = load_deployment(config)
    load_recipe(recipe)
    place, piece = recipe_piece(d, recipe)
    name = f"{d.name}-{digest([place, dataset, resources(d)])}"
    _begin(d, [piece], training_job(d, name, dataset=dataset, recipe=place), dry_run, as_json)


@click.command()
@click.argument("search", metavar="SEARCH.TOML", type=click.Path(path_type=Path))
@click.argument("dataset", metavar="S3://DATASET")
@config_option
@dry_run_option
@json_option
def tune(search: Path, dataset: str, config: Path, dry_run: bool, as_json: bool) -> None:
    """Search for the best recipe on SageMaker: a tuning job.

    The result is a tuning job over the [search] of SEARCH.TOML, as many trials as it says, by the strategy of the
    deployment's [tuning]; each trial is a training job that leaves a bundle. What is made small is the ranked probability
    score on val. The same search over the same dataset is begun once, and again where it failed or was stopped, as a
    training is.
    """
    require_extra("aws", "tuning on SageMaker")
    from binsight.engines.sagemaker.begun import MOST
    from binsight.engines.sagemaker.calls import digest
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.jobs import MOST_OF_A_TUNING_NAME, resources, tuning_job
    from binsight.engines.sagemaker.plan import recipe_piece
    from binsight.model.search import load_search

    d = load_deployment(config)
    wanted = load_search(search).search.model_dump()
    place, piece = recipe_piece(d, search)
    end = digest([place, dataset, d.tuning.model_dump(), resources(d)])
    room = MOST_OF_A_TUNING_NAME - len(f"-{end}-{MOST}")
    name = f"{d.name[:room].rstrip('-')}-{end}"
    _begin(d, [piece], tuning_job(d, name, dataset=dataset, recipe=place, search=wanted), dry_run, as_json)


@click.command()
@click.argument("photos", metavar="S3://PHOTOS")
@click.argument("answers", metavar="S3://ANSWERS")
@click.option(
    "--kind",
    type=click.Choice(["image/jpeg", "image/png", "application/jsonlines"]),
    default="image/jpeg",
    show_default=True,
    help="What an object is: a photo, or lines with a link each.",
)
@click.option("--instances", type=click.IntRange(min=1), default=1, show_default=True, help="How many work on it.")
@click.option("--again", is_flag=True, help="Also where the same job has completed: there are new photos.")
@config_option
@dry_run_option
@json_option
def transform(
    photos: str,
    answers: str,
    kind: "Kind",
    instances: int,
    again: bool,
    config: Path,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Count all photos of a bucket once: a batch transform.

    The result is a job that writes an answer for each object below S3://PHOTOS to S3://ANSWERS, by the model that the
    endpoint answers with. The same job is begun once, and again where it failed or was stopped; with --again also where it
    has completed, and then all photos are counted anew.
    """
    require_extra("aws", "a batch transform")
    from binsight.engines.sagemaker.apply import model_in_use
    from binsight.engines.sagemaker.aws import Aws
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.plan import make_plan
    from binsight.engines.sagemaker.transform import transform_job

    d = load_deployment(config)
    model = make_plan(d).first if dry_run else model_in_use(d, Aws(d.region))
    call = transform_job(d, model, photos, answers, kind=kind, instances=instances)
    _begin(d, [], call, dry_run, as_json, again=again)


def _begin(
    d: "Deployment", pieces: "list[Piece]", call: "Call", dry_run: bool, as_json: bool, *, again: bool = False
) -> None:
    from binsight.engines.sagemaker.apply import bring
    from binsight.engines.sagemaker.aws import Aws, check_account
    from binsight.engines.sagemaker.begun import begin
    from binsight.engines.sagemaker.checking import check

    check([call])
    if dry_run:
        for one in [*(one for piece in pieces for one in piece.wanted), call]:
            print_json(one.as_json())
        return
    aws: Aws = Aws(d.region)
    check_account(aws, d)
    for piece in pieces:
        bring(piece, aws)
    job = begin(call, aws, again=again)
    word = "begun" if job.status is None else "begun before"
    if as_json:
        print_json({"job": job.name, "result": word, "status": job.status})
    else:
        click.echo(f"{job.name}: {', '.join(filter(None, (word, job.status)))}")
