"""Jobs on SageMaker by themselves: begun once, begun again where they ended in vain, and named by what they are."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from click.testing import CliRunner
from tests.aws_support import ACCOUNT, FIELDS, ROOT

from binsight.cli import cli
from binsight.engines.sagemaker.aws import NotThere, explained
from binsight.engines.sagemaker.begun import MOST
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import faults
from binsight.engines.sagemaker.jobs import MOST_OF_A_TUNING_NAME
from binsight.errors import GateFailed

FORGOTTEN = "forgotten"
IN_USE = {"Error": {"Code": "ResourceInUse", "Message": "Job name must be unique within an AWS account and region"}}
DATASET = "s3://warehouse/binsight/datasets/one"
RECIPE, SEARCH = (str(ROOT / "recipes" / name) for name in ("default.toml", "search.toml"))
JOBS: Mapping[str, tuple[str, ...]] = {
    "train": (RECIPE, DATASET),
    "tune": (SEARCH, DATASET),
    "transform": ("s3://warehouse/in", "s3://warehouse/out"),
}


class Account:
    """Jobs by their names, as AWS keeps them: a name is used up for good, also by a job that is forgotten."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.calls: list[Call] = []

    def ask(self, call: Call) -> Mapping[str, Any]:
        assert faults(call) == []
        if call.operation == "GetCallerIdentity":
            return {"Account": ACCOUNT}
        if call.service != "sagemaker":
            return {}
        field = next(name for name in call.arguments if name.endswith("JobName"))
        name = call.arguments[field]
        if call.operation.startswith("Describe"):
            if self.jobs[name] == FORGOTTEN:
                raise NotThere("AWS refused it (ValidationException: could not find it)")
            return {field: name, field.replace("Name", "Status"): self.jobs[name]}
        if name in self.jobs:
            raise explained(IN_USE, call)
        self.jobs[name] = "InProgress"
        self.calls.append(call)
        return {}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr("binsight.engines.sagemaker.aws.Aws", lambda region: account)
    monkeypatch.setattr("binsight.engines.sagemaker.apply.model_in_use", lambda *_: "s3://warehouse/m.tar.gz")
    return account


def begun(word: str, folder: Path, *options: str, **changes: Any) -> dict[str, Any]:
    """What the command says, by a deployment with some values changed."""
    fields = copy.deepcopy(FIELDS)
    for name, value in changes.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    (folder / "deploy.toml").write_text(tomli_w.dumps(fields))
    arguments = ["deploy", word, *JOBS[word], *options, "--deploy", str(folder / "deploy.toml"), "--json"]
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None:
        raise result.exception
    said: dict[str, Any] = json.loads(result.stdout)
    return said


@pytest.mark.parametrize("word", JOBS)
def test_the_same_job_is_begun_once_and_again_where_it_ended_in_vain(
    account: Account, tmp_path: Path, word: str
) -> None:
    first = begun(word, tmp_path)
    name = first["job"]
    assert first == {"job": name, "result": "begun", "status": None}
    for status in ("InProgress", "Completed"):
        account.jobs[name] = status
        assert begun(word, tmp_path) == {"job": name, "result": "begun before", "status": status}
    for place, status in enumerate(("Failed", "Stopped", FORGOTTEN), 2):
        account.jobs[list(account.jobs)[-1]] = status
        assert begun(word, tmp_path) == {"job": f"{name}-{place}", "result": "begun", "status": None}
    assert begun(word, tmp_path) == {"job": f"{name}-4", "result": "begun before", "status": "InProgress"}
    account.jobs[f"{name}-4"] = "Stopping"
    with pytest.raises(GateFailed, match=f"the job {name}-4 is Stopping; run the same command again"):
        begun(word, tmp_path)
    assert len(account.calls) == 4


def test_a_training_that_is_begun_again_goes_on_from_its_checkpoint(account: Account, tmp_path: Path) -> None:
    name = begun("train", tmp_path)["job"]
    account.jobs[name] = "Failed"
    begun("train", tmp_path)
    first, second = (call.arguments["CheckpointConfig"]["S3Uri"] for call in account.calls)
    assert first == second and first.endswith(name)


@pytest.mark.parametrize("word", ["train", "tune"])
def test_another_image_or_other_instances_are_another_job(account: Account, tmp_path: Path, word: str) -> None:
    changes = ({}, {"instance_type": "ml.c7i.8xlarge"}, {"max_hours": 2}, {"image": f"{FIELDS['image']}-new"})
    assert [begun(word, tmp_path, training=change)["result"] for change in changes] == ["begun"] * 4
    assert [begun(word, tmp_path, training=change)["result"] for change in changes] == ["begun before"] * 4


def test_a_batch_transform_of_a_bucket_with_new_photos_is_begun_again_where_that_is_asked_for(
    account: Account, tmp_path: Path
) -> None:
    name = begun("transform", tmp_path)["job"]
    assert begun("transform", tmp_path, "--again")["result"] == "begun before", "it still counts"
    account.jobs[name] = "Completed"
    assert begun("transform", tmp_path)["result"] == "begun before"
    assert begun("transform", tmp_path, "--again") == {"job": f"{name}-2", "result": "begun", "status": None}
    assert begun("transform", tmp_path, "--instances", "2")["result"] == "begun", "on others it is another"


def test_names_have_room_for_their_numbers(account: Account, tmp_path: Path) -> None:
    for word, most in (("train", 63), ("tune", MOST_OF_A_TUNING_NAME), ("transform", 63)):
        name = begun(word, tmp_path, name="bins-of-a-long-name-in-town")["job"]
        account.jobs |= {name: "Failed"} | {f"{name}-{number}": "Failed" for number in range(2, MOST)}
        last = begun(word, tmp_path, name="bins-of-a-long-name-in-town")["job"]
        assert last == f"{name}-{MOST}" and len(last) <= most
        account.jobs[last] = "Failed"
        with pytest.raises(GateFailed, match=f"was begun {MOST} times"):
            begun(word, tmp_path, name="bins-of-a-long-name-in-town")
