"""Bundles as MLflow models and as SageMaker model packages: as they are, checked, and without pickles."""

import importlib.util
import json
import shutil
import subprocess
import tarfile
from base64 import b64encode
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.seeded import places, with_value

from binsight.cli import cli
from binsight.counting import Bundle, Counter, default_bundle
from binsight.counting.registry import Registry
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import faults, shape_of
from binsight.errors import BadBundle, BadInput, MissingExtra, MissingObject
from binsight.lifecycle import sagemaker_package
from binsight.lifecycle.mlflow_model import Counting

DEFAULT = Bundle.open(default_bundle())
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed: pip install 'binsight[mlflow]'"
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@needs_mlflow
@pytest.mark.filterwarnings("ignore::UserWarning")  # that MLflow gives when it is imported
def test_a_bundle_goes_through_mlflow_and_comes_back_as_the_same_version(
    registry: Registry, tmp_path: Path
) -> None:
    import mlflow

    folder = tmp_path / "as-mlflow"
    result = run("models", "export-mlflow", "champion", folder)
    assert result.exception is None, result.exception
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]
    photo = (default_bundle() / "golden" / "drawn-05.jpg").read_bytes()
    model = mlflow.pyfunc.load_model(str(folder))
    expected = Counter.load(default_bundle()).probs([photo])[0]
    (first, second, broken) = model.predict([photo, b64encode(photo).decode(), b"x"])
    assert first["probs"] == second["probs"] == pytest.approx(expected.tolist())
    assert "is not a JPEG" in broken["error"]
    added = json.loads(run("models", "import-mlflow", folder, "--json").output)
    assert added["version"] == DEFAULT.version
    assert isinstance(run("models", "export-mlflow", "champion", folder).exception, BadInput)


@needs_mlflow
@pytest.mark.filterwarnings("ignore::UserWarning")  # that MLflow gives when it is imported
def test_an_mlflow_model_that_is_not_ours_or_not_whole_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    run("models", "export-mlflow", "champion", folder)
    text = (folder / "MLmodel").read_text()

    def imported(changed: str) -> Exception:
        (folder / "MLmodel").write_text(changed)
        result = run("models", "import-mlflow", folder)
        assert isinstance(result.exception, Exception)
        return result.exception

    data = next(line for line in text.splitlines() if line.strip().startswith("data:"))
    for changed, message in (
        (text.replace("binsight.lifecycle.mlflow_model", "mlflow.sklearn"), "a model of another kind"),
        (text.replace(data, "    data: ../../etc"), "names a bundle outside of its folder"),
        (
            text.replace(f"binsight_version: {DEFAULT.version}", f"binsight_version: '{'0' * 12}'"),
            f"must hold the bundle {'0' * 12}, but holds {DEFAULT.version}",
        ),
        (": [", "cannot be read"),
    ):
        error = imported(changed)
        assert isinstance(error, BadBundle)
        assert message in str(error)
    (folder / "MLmodel").write_text(text)
    onnx = next(folder.rglob("model.onnx"))
    onnx.write_bytes(onnx.read_bytes()[:1000])
    assert "must have the checksum" in str(run("models", "import-mlflow", folder).exception)
    for address in (tmp_path, tmp_path / "nothing"):
        assert isinstance(run("models", "import-mlflow", address).exception, MissingObject)


def test_without_mlflow_it_says_how_to_get_it(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow.artifacts", None)
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    for command in (("export-mlflow", "champion", tmp_path / "m"), ("import-mlflow", tmp_path)):
        error = run("models", *command).exception
        assert isinstance(error, MissingExtra)
        assert "pip install 'binsight[mlflow]'" in str(error)
    assert not (tmp_path / "m").exists()


def test_what_mlflow_calls_counts_photos_in_every_form() -> None:
    """Without MLflow: bytes, base64, and a column of them; text that is neither is named."""
    photo = (default_bundle() / "golden" / "drawn-05.jpg").read_bytes()
    counting = Counting(Counter.load(default_bundle()))
    lines = [counting.predict(given)[0] for given in ([photo], [b64encode(photo).decode()], {"photo": [photo]})]
    assert lines[0] == lines[1] == lines[2]
    assert set(lines[0]) == {"count", "probs", "interval", "flags"}
    with pytest.raises(BadInput, match="photo 0 must be base64 text or bytes"):
        counting.predict(["bin.jpg"])


def test_a_sagemaker_package_is_the_bundle_and_the_request(registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "package"
    options = (
        "--group",
        "bins",
        "--image",
        "1.dkr.ecr.eu-west-1.amazonaws.com/binsight:1",
        "--to",
        "s3://models/bins/",
    )
    line = json.loads(run("models", "export-sagemaker", "champion", out, *options, "--json").output)
    tar = (out / "model.tar.gz").read_bytes()
    assert line["sha256"] == sha256(tar).hexdigest()
    with tarfile.open(out / "model.tar.gz") as packed:
        assert {member.name for member in packed} == {"bundle.json", *DEFAULT.spec.files}
        assert {(member.mtime, member.uid, member.uname) for member in packed} == {(0, 0, "")}
        packed.extractall(tmp_path / "model", filter="data")
    assert Bundle.open(tmp_path / "model").version == DEFAULT.version, "at its root, as the container wants it"
    request = json.loads((out / "create-model-package.json").read_text())
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == f"s3://models/bins/{DEFAULT.version}/model.tar.gz" == line["model_url"]
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    assert request["CustomerMetadataProperties"]["model_tar_sha256"] == line["sha256"]
    assert request["CustomerMetadataProperties"]["dataset_sha256"] == DEFAULT.spec.lineage["dataset_sha256"]


@pytest.fixture
def package(tmp_path: Path) -> Call:
    """The request as a call."""
    tar = sagemaker_package.write_model_tar(DEFAULT, tmp_path / "model.tar.gz")
    request = sagemaker_package.model_package_request(
        DEFAULT, tar, group="bins", image="repo/binsight:1", model_url="s3://m/model.tar.gz", approved=True
    )
    return Call(service="sagemaker", operation="CreateModelPackage", arguments=request)


def test_the_request_passes_the_strict_check_of_all_that_is_asked_of_aws(package: Call) -> None:
    assert faults(package) == []
    realtime = shape_of("sagemaker", "ProductionVariantInstanceType").enum
    assert set(sagemaker_package.INSTANCES) <= set(realtime)


def test_a_mistake_in_any_place_of_the_request_is_found(package: Call) -> None:
    """Of another type, too long, no member of its enumeration, with a name that is none."""
    everywhere = list(places(dict(package.arguments)))
    assert len(everywhere) > 15
    for path in everywhere:
        assert faults(with_value(package, path, [{"wrong": object()}])), path
        assert faults(with_value(package, path, "é" * 5000)), path
    for name in package.arguments:
        wrong = {(f"{one}x" if one == name else one): value for one, value in package.arguments.items()}
        assert faults(Call(service=package.service, operation=package.operation, arguments=wrong)), name


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("ModelPackageGroupName",), "bins_1", "does not match"),
        (("ModelApprovalStatus",), "approved", "none of its"),
        (("InferenceSpecification", "Containers", 0, "Image"), "an image", "does not match"),
        (("InferenceSpecification", "Containers", 0, "ModelDataUrl"), "m/model.tar.gz", "does not match"),
        (("InferenceSpecification", "Containers"), [], "at least 1"),
        (("InferenceSpecification", "SupportedTransformInstanceTypes", 1), "ml.bogus", "none of its"),
        (("InferenceSpecification", "SupportedTransformInstanceTypes"), [], "at least 1"),
        (("InferenceSpecification", "SupportedRealtimeInferenceInstanceTypes", 0), "ml.c7i", "none of its"),
        (("InferenceSpecification", "SupportedContentTypes", 0), "x" * 257, "at most 256"),
        (("CustomerMetadataProperties",), {str(n): "x" for n in range(51)}, "at most 50"),
        (("CustomerMetadataProperties", "git"), "x" * 257, "at most 256"),
    ],
)
def test_each_seeded_mistake_in_a_package_is_named(
    package: Call, path: tuple[Any, ...], value: Any, said: str
) -> None:
    assert said in "; ".join(faults(with_value(package, path, value)))


def test_a_package_that_aws_would_refuse_is_told_before_it_is_written(registry: Registry, tmp_path: Path) -> None:
    options = ("--group", "bins_1", "--image", "repo/binsight:1", "--to", "s3://models/bins")
    done = run("models", "export-sagemaker", "champion", tmp_path / "package", *options)
    assert isinstance(done.exception, BadInput)
    assert "AWS would refuse this package: ModelPackageGroupName is 'bins_1'" in str(done.exception)
    assert not (tmp_path / "package" / "create-model-package.json").exists()


def test_the_same_bundle_gives_the_same_tar(tmp_path: Path) -> None:
    first = sagemaker_package.write_model_tar(DEFAULT, tmp_path / "a.tar.gz")
    copied = tmp_path / "copy"
    shutil.copytree(default_bundle(), copied)
    subprocess.run(["touch", "-d", "2001-01-01", *map(str, copied.rglob("*.*"))], check=True)
    second = sagemaker_package.write_model_tar(Bundle.open(copied), tmp_path / "b.tar.gz")
    assert (first.sha256, first.num_bytes) == (second.sha256, second.num_bytes)
    assert first.md5_base64 == b64encode(md5(first.path.read_bytes()).digest()).decode()


@pytest.mark.parametrize("url", ["https://models/model.tar.gz", "s3://models/model.zip"])
def test_a_package_lies_in_s3(tmp_path: Path, url: str) -> None:
    tar = sagemaker_package.write_model_tar(DEFAULT, tmp_path / "model.tar.gz")
    with pytest.raises(BadInput, match="must be s3://bucket"):
        sagemaker_package.model_package_request(DEFAULT, tar, group="g", image="i", model_url=url)
