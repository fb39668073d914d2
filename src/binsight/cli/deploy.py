"""`binsight deploy sagemaker | upload | destroy`; jobs are in `deploy_jobs`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra

if TYPE_CHECKING:
    from binsight.engines.sagemaker.calls import Call
    from binsight.engines.sagemaker.plan import Plan

COMMANDS = {
    "sagemaker": ("binsight.cli.deploy:sagemaker", "An endpoint on SageMaker, and what stands around it."),
    "upload": ("binsight.cli.deploy:upload", "Put models and functions into the bucket, for a template."),
    "train": ("binsight.cli.deploy_jobs:train", "Train by a recipe on SageMaker: one job."),
    "tune": ("binsight.cli.deploy_jobs:tune", "Search for the best recipe on SageMaker: a tuning job."),
    "transform": ("binsight.cli.deploy_jobs:transform", "Count all photos of a bucket once: a batch transform."),
    "destroy": ("binsight.cli.deploy:destroy", "Remove what a deployment made, and say what stays."),
}

config_argument = click.argument(
    "config", metavar="[DEPLOY.TOML]", type=click.Path(path_type=Path), default=Path("deploy.toml")
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the calls alone; AWS is asked nothing.")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def deploy() -> None:
    """Have it answer, and train, on AWS: from deploy.toml, and away again."""


@click.command()
@config_argument
@dry_run_option
@click.option("--template", is_flag=True, help="Print the same as a CloudFormation template; AWS is asked nothing.")
@click.option("--policies", is_flag=True, help="Print what each role may do; AWS is asked nothing.")
@json_option
def sagemaker(config: Path, dry_run: bool, template: bool, policies: bool, as_json: bool) -> None:
    """An endpoint on SageMaker, and what stands around it.

    The result is what DEPLOY.TOML says, on AWS: roles, model, endpoint with capture, alarms and scaling, the function in
    front, the pipeline that retrains and what starts it. What is there already is left or changed; an update goes to a
    part of the instances first, and is taken back where an alarm rings. Stopped anywhere, the same command goes on.

    Every call is checked first against AWS's description of it. --dry-run --json prints each as a line, and last the
    estimate of the cost, by the prices that DEPLOY.TOML gives.
    """
    require_extra("aws", "deploying on SageMaker")
    from binsight.engines.sagemaker.cost import estimate
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.plan import make_plan

    wanted = load_deployment(config)
    if policies:
        _print_policies(make_plan(wanted))
    elif template:
        from binsight.engines.sagemaker.template import template as as_template

        click.echo(json.dumps(as_template(make_plan(wanted)), indent=2))
    elif dry_run:
        _print_calls(make_plan(wanted).calls, as_json)
        costs = estimate(wanted)
        if as_json:
            print_json({"estimate": costs.as_json()})
        for line in () if as_json else costs.lines():
            click.echo(line)
    else:
        from binsight.engines.sagemaker.apply import deploy as bring
        from binsight.engines.sagemaker.aws import Aws

        plan = bring(wanted, Aws(wanted.region), tell=lambda piece, word: _tell(piece.title, word, as_json))
        if plan.model_data != plan.first:
            click.echo(
                f"the endpoint keeps {plan.model_data}, which a promotion put there; name another bundle in {config} to "
                "replace it",
                err=True,
            )


@click.command()
@config_argument
@dry_run_option
@json_option
def upload(config: Path, dry_run: bool, as_json: bool) -> None:
    """Put models and functions into the bucket, for a template.

    The result is the objects that `binsight deploy sagemaker --template` speaks of. Those that are there are left alone.
    """
    require_extra("aws", "deploying on SageMaker")
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.plan import make_plan

    wanted = load_deployment(config)
    pieces = [piece for piece in make_plan(wanted).pieces if piece.kind in ("bucket", "object")]
    if dry_run:
        _print_calls([call for piece in pieces for call in piece.wanted], as_json)
        return
    from binsight.engines.sagemaker.apply import bring
    from binsight.engines.sagemaker.aws import Aws, check_account

    aws = Aws(wanted.region)
    check_account(aws, wanted)
    for piece in pieces:
        _tell(piece.title, bring(piece, aws), as_json)


@click.command()
@config_argument
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
def destroy(config: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove what a deployment made, and say what stays.

    The result is that nothing of DEPLOY.TOML costs money any more. What bears the deployment's name but not its tag is
    somebody else's and stays; so do the bucket with datasets, captures and trained models, and the model packages. The
    bundles and functions that were put into the bucket are removed.
    """
    require_extra("aws", "deploying on SageMaker")
    from binsight.engines.sagemaker.aws import Aws
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.destroy import destroy as remove
    from binsight.engines.sagemaker.plan import make_plan

    wanted = load_deployment(config)
    if dry_run:
        _print_calls([call for piece in reversed(make_plan(wanted).pieces) for call in piece.remove], as_json)
        return
    if not yes:
        click.confirm(f"remove the endpoint {wanted.name} and all that was made for it?", abort=True, err=True)
    remove(wanted, Aws(wanted.region), tell=lambda title, what: _tell(title, what, as_json))


def _print_calls(calls: "Iterable[Call]", as_json: bool) -> None:
    for call in calls:
        if as_json:
            print_json(call.as_json())
        else:
            named = [
                str(value) for name, value in call.arguments.items() if name.endswith(("Name", "Key", "ResourceId"))
            ]
            click.echo(f"{call.service} {call.operation} {' '.join(named[:2])}".rstrip())


def _print_policies(plan: "Plan") -> None:
    from binsight.engines.sagemaker.policies import policy, trust, words

    d = plan.deployment
    roles = {d.role_name(word): {"trust": trust(word), "policy": policy(d, word)} for word in words(d)}
    click.echo(json.dumps(roles, indent=2))


def _tell(title: str, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"thing": title, "result": what})
    else:
        click.echo(f"{title}: {what}")
