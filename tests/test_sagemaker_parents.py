"""The weights that training on SageMaker begins with: found here or in what a job left, and put into the bucket with what
they have seen."""

import io
import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.aws_support import BUCKET, Cloud, deployment, running_bucket
from tests.bundle_support import changed_bundle
from tests.dataset_support import real_dataset
from tests.sagemaker_tree import make_tree
from tests.train_support import RECIPE

from binsight.counting.bundle import DEFAULT_FOLDER
from binsight.dataset.manifest import Dataset
from binsight.engines.container.learned import learned_datasets
from binsight.engines.container.opt_ml import OptMl
from binsight.engines.container.training import recipe_of
from binsight.engines.contract import LEARNED
from binsight.engines.sagemaker.parents import run_finder, send_parent
from binsight.errors import BadInput
from binsight.lifecycle.parents import Learned, champions_run, learned
from binsight.model.learned import learned_from
from binsight.model.run import Run
from binsight.storage.objects import open_store

D = deployment()
MODEL = D.s3("runs", "pipelines-abc-Train", "output", "model.tar.gz")
WEIGHTS = b"weights of a job"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch, running_bucket(patch) as made:
        yield made


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 2})


def champion(folder: Path, *, weights: bytes = WEIGHTS, **lineage: object) -> Path:
    """A bundle of these weights, whose lineage says more."""
    changed_bundle(folder, "card.md", weights)
    spec = json.loads((folder / "bundle.json").read_text())
    spec["lineage"] |= {"weights_sha256": sha256(weights).hexdigest(), **lineage}
    (folder / "bundle.json").write_text(json.dumps(spec))
    return folder


def a_run(folder: Path, dataset: str, *, begun_with: str = "none") -> Path:
    """What of a run is looked at. Its recipe names places that only its maker knows."""
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(WEIGHTS)
    text = RECIPE.format(dataset="/opt/ml/input/data/dataset")
    (folder / "recipe.toml").write_text(text.replace("[model]", f'[model]\nweights = "{begun_with}"'))
    (folder / "environment.json").write_text(json.dumps({"dataset": {"sha256": dataset}}))
    return folder


def left_by_a_job(cloud: Cloud, run: Path, *, cut: bool = False) -> None:
    """`output.tar.gz` as the platform packs it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(run, arcname=".")
    data = buffer.getvalue()
    key = MODEL.removeprefix(f"s3://{BUCKET}/").replace("model.tar.gz", "output.tar.gz")
    cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data[: len(data) // 2] if cut else data)


def fetched(url: str, folder: Path) -> Path:
    store = open_store(url)
    for one in store.list():
        (folder / one.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / one.name).write_bytes(store.read(one.name))
    return folder


def test_a_run_from_here_reaches_the_job_with_all_that_its_weights_have_seen(
    cloud: Cloud, dataset: Dataset, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", dataset.digest)
    bundle = champion(tmp_path / "bundle", dataset_sha256=dataset.digest, learned_from=[])
    known = Learned(hashes=(dataset.digest,), folders=(str(dataset.folder),))
    place = send_parent(D, run, bundle, known, {}, say=print)
    parent = fetched(place, tmp_path / "parent")
    tree = OptMl(make_tree(tmp_path / "ml", {"dataset": dataset.folder, "parent": parent}))
    recipe = recipe_of(tree, tree.hyperparameters())
    assert (Path(recipe.model.weights.removeprefix("run:")) / "best.safetensors").read_bytes() == WEIGHTS
    assert learned_from_of(recipe.model.weights, tmp_path) == [dataset.digest]
    seen = learned_datasets(parent / LEARNED, tmp_path / "seen")
    assert Dataset.open(seen[dataset.digest]).photos == dataset.photos
    said: list[str] = []
    assert send_parent(D, run, bundle, known, {}, say=said.append) == place and not said, "by content, once"


def learned_from_of(weights: str, folder: Path) -> list[str]:
    """What a run that began with these weights says that it has seen beside its own dataset."""
    run = folder / "next"
    run.mkdir()
    (run / "recipe.toml").write_text(
        RECIPE.format(dataset="d").replace("[model]", f'[model]\nweights = "{weights}"')
    )
    return learned_from(Run.open(run))


def test_an_older_bundle_is_helped_by_what_its_run_still_knows(
    cloud: Cloud, dataset: Dataset, tmp_path: Path
) -> None:
    """It began with a run and does not say what that had seen; the runs are here, and do."""
    bundle = champion(tmp_path / "bundle", dataset_sha256=dataset.digest, first_weights="run:ab")
    known = Learned(hashes=(dataset.digest,), folders=(str(dataset.folder),))
    place = send_parent(D, a_run(tmp_path / "run", dataset.digest), bundle, known, {}, say=print)
    lineage = json.loads(open_store(place).read("bundle.json"))["lineage"]
    assert lineage["learned_from"] == []


def test_an_older_bundles_teachers_are_not_forgotten(cloud: Cloud, dataset: Dataset, tmp_path: Path) -> None:
    """Its run names the shipped bundle, of whose first weights nobody knows what they have seen."""
    bundle = champion(tmp_path / "bundle", dataset_sha256=dataset.digest, first_weights="run:ab")
    known = Learned(hashes=(dataset.digest,), folders=(str(dataset.folder),))
    run = a_run(tmp_path / "run", dataset.digest)
    text = (run / "recipe.toml").read_text()
    assert "[training]\n" in text
    (run / "recipe.toml").write_text(
        text.replace("[training]\n", f'[training]\nteachers = ["{DEFAULT_FOLDER}"]\n', 1)
    )
    with pytest.raises(BadInput, match=r"a dataset that nobody knows, so that no challenger .*; begin afresh"):
        send_parent(D, run, bundle, known, {}, say=print)


def test_afresh_there_is_no_parent(cloud: Cloud, tmp_path: Path) -> None:
    assert send_parent(D, None, tmp_path, Learned(), {}, say=print) == D.s3("parents", "none")


def test_the_run_of_an_earlier_training_on_sagemaker_is_what_its_job_left(
    cloud: Cloud, dataset: Dataset, tmp_path: Path
) -> None:
    left_by_a_job(cloud, a_run(tmp_path / "run", "2" * 64, begun_with="run:/opt/ml/input/data/parent"))
    bundle = champion(tmp_path / "bundle", dataset_sha256="2" * 64, learned_from=["1" * 64])
    work = tmp_path / "work"
    run = run_finder(D, [MODEL], work)(bundle, [tmp_path / "runs", work])
    assert (run / "best.safetensors").read_bytes() == WEIGHTS
    assert learned(run).hashes == ("2" * 64, "1" * 64), "the bundle knows what places within a job had been"
    assert champions_run(bundle, [work]) == run, "a retraining at home finds it there from now on"


def test_a_champion_whose_run_is_nowhere_is_told_as_at_home(cloud: Cloud, tmp_path: Path) -> None:
    left_by_a_job(cloud, a_run(tmp_path / "run", "2" * 64))
    other = champion(tmp_path / "bundle", weights=b"of another run")
    with pytest.raises(
        BadInput, match=r"its run is not in .*train.begin=fresh \(nor is it in s3://warehouse/.* either\)"
    ):
        run_finder(D, [MODEL], tmp_path / "work")(other, [tmp_path])
    gone = D.s3("runs", "gone", "output", "model.tar.gz")
    with pytest.raises(BadInput, match="its run is not in"):
        run_finder(D, [gone], tmp_path / "work")(other, [tmp_path])
    with pytest.raises(BadInput, match="nor is it of a training job below s3://warehouse/binsight/runs"):
        run_finder(D, [D.s3("models", "first", "model.tar.gz")], tmp_path / "work")(other, [tmp_path])


def test_what_a_job_left_and_is_damaged_is_no_run(cloud: Cloud, tmp_path: Path) -> None:
    left_by_a_job(cloud, a_run(tmp_path / "run", "2" * 64), cut=True)
    with pytest.raises(BadInput, match=r"output.tar.gz is damaged .*begin afresh"):
        run_finder(D, [MODEL], tmp_path / "work")(champion(tmp_path / "bundle"), [])


def test_a_dataset_that_was_seen_and_is_nowhere_stops_before_anything_is_trained(
    cloud: Cloud, dataset: Dataset, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", "3" * 64)
    bundle = champion(tmp_path / "bundle", dataset_sha256="3" * 64, learned_from=[])
    with pytest.raises(
        BadInput, match=r"has learned from the dataset 333333333333…, which is neither here nor below"
    ):
        send_parent(D, run, bundle, Learned(hashes=("3" * 64,)), {}, say=print)
    place = D.s3("datasets", "pushed")
    open_store(place).write("dataset.json", json.dumps({"sha256": "3" * 64}).encode())
    sent = send_parent(D, run, bundle, Learned(hashes=("3" * 64,)), {"3" * 64: place}, say=print)
    listed = json.loads(open_store(sent).read("learned/datasets.json"))
    assert listed == {"datasets": [{"sha256": "3" * 64, "place": place}]}
    nobody = champion(tmp_path / "nobody", dataset_sha256="3" * 64, learned_from=["unknown"])
    with pytest.raises(BadInput, match="has learned from a dataset that nobody knows"):
        send_parent(D, run, nobody, Learned(), {"3" * 64: place}, say=print)
