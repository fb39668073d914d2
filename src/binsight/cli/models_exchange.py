"""`binsight models export-mlflow | import-mlflow | export-sagemaker`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from binsight.cli.models import open_registry
from binsight.cli.options import json_option, print_json, who
from binsight.errors import BadInput, MissingExtra


@click.command("export-mlflow")
@click.argument("version")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def export_mlflow(version: str, folder: Path, as_json: bool) -> None:
    """Write a registered bundle as an MLflow model.

    The result is FOLDER with the bundle as it is and an MLmodel file, without any pickle: MLflow loads it by Binsight,
    which must be installed there (`mlflow.pyfunc.load_model`), and can register it by its folder.
    """
    registry = open_registry()
    from binsight.counting.bundle import Bundle
    from binsight.lifecycle.mlflow_model import export_mlflow as export

    bundle = Bundle.open(registry.fetch(registry.resolve(version)))
    written = export(bundle, folder)
    if as_json:
        print_json({"folder": str(written), "version": bundle.version})
    else:
        click.echo(f"{written}: {bundle.name} as an MLflow model")


@click.command("import-mlflow")
@click.argument("address")
@json_option
def import_mlflow(address: str, as_json: bool) -> None:
    """Take an MLflow model into the registry.

    The result is the bundle in it as a registered version, checked as any other; it has the version that it had when it
    was exported. ADDRESS is the model's folder, or what MLflow fetches: models:/NAME/1, runs:/ID/model.
    """
    registry = open_registry()
    from binsight.lifecycle.mlflow_model import bundle_of, fetch_mlflow

    added = registry.register(bundle_of(fetch_mlflow(address)).folder, by=who())
    if as_json:
        print_json(asdict(added) | {"lineage": dict(added.lineage)})
    else:
        click.echo(f"{added.version} ({added.name}) is registered; next: binsight models compare {added.version}")


@click.command("export-sagemaker")
@click.argument("version")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--group", required=True, help="Model package group that it is to be in.")
@click.option("--image", required=True, help="Address of the container's image in ECR.")
@click.option(
    "--to", "url", required=True, metavar="S3_URL", help="Where model.tar.gz will lie, s3://bucket/prefix."
)
@click.option("--approved", is_flag=True, help="Approve it at once; else it waits for approval.")
@json_option
def export_sagemaker(
    version: str, folder: Path, group: str, image: str, url: str, approved: bool, as_json: bool
) -> None:
    """Write a registered bundle as a SageMaker model package.

    The result is FOLDER with model.tar.gz, the same bytes for the same bundle, and create-model-package.json, which
    `aws sagemaker create-model-package --cli-input-json` takes once the tar lies at --to. Nothing is sent to AWS; where the
    extra aws is installed, the request is checked against AWS's description of it.
    """
    registry = open_registry()
    from binsight.counting.bundle import Bundle
    from binsight.lifecycle.sagemaker_package import model_package_request, write_model_tar, write_request
    from binsight.storage.files import make_folder

    bundle = Bundle.open(registry.fetch(registry.resolve(version)))
    make_folder(folder)
    tar = write_model_tar(bundle, folder / "model.tar.gz")
    model_url = f"{url.rstrip('/')}/{bundle.version}/model.tar.gz"
    request = model_package_request(bundle, tar, group=group, image=image, model_url=model_url, approved=approved)
    _check_form(request)
    write_request(folder / "create-model-package.json", request)
    if as_json:
        print_json(
            {"folder": str(folder), "version": bundle.version, "sha256": tar.sha256, "bytes": tar.num_bytes}
            | {"model_url": model_url}
        )
    else:
        click.echo(f"{folder}: {tar.num_bytes / 1e6:.1f} MB, sha256 {tar.sha256}")
        click.echo(f"next: aws s3 cp {tar.path} {model_url}")
        click.echo(
            f"then: aws sagemaker create-model-package --cli-input-json file://{folder}/create-model-package.json"
        )


def _check_form(request: dict[str, Any]) -> None:
    """Raises `BadInput` for what AWS would refuse, as far as its description is installed here."""
    from binsight.engines.sagemaker.calls import Call
    from binsight.engines.sagemaker.checking import faults

    try:
        wrong = faults(Call(service="sagemaker", operation="CreateModelPackage", arguments=request))
    except MissingExtra:
        return
    if wrong:
        raise BadInput(f"AWS would refuse this package: {'; '.join(wrong)}; change --group, --image or --to")
