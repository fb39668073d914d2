"""A SageMaker pipeline's JSON, run here: each job over an /opt/ml tree of its own, a folder in place of S3.

What it does with each step is what the developer guide says of it. A container is whatever `start` starts, with its
command, the tree and its environment; `functions` are called by the name in their ARN.
"""

import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sagemaker_tree import make_tree

from binsight.engines.sagemaker.pipeline_check import references

Start = Callable[[list[str], Path, Mapping[str, str]], int]
Function = Callable[[Any], Mapping[str, Any]]


class Failed(Exception):
    """The execution failed, with the reason that its page would show."""


@dataclass
class Interpreter:
    """One execution of a definition. `s3` is the folder that holds the buckets, `work` where the jobs' trees are made."""

    definition: Mapping[str, Any]
    s3: Path
    work: Path
    start: Start
    functions: Mapping[str, Function]
    values: dict[str, Any] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    packages: list[dict[str, Any]] = field(default_factory=list)

    def run(self, **parameters: str) -> None:
        """Raises `Failed`."""
        for one in self.definition["Parameters"]:
            self.values[f"Parameters.{one['Name']}"] = parameters.get(one["Name"], one["DefaultValue"])
        self.values["Execution.PipelineExecutionId"] = "execution1"
        self._steps(self.definition["Steps"])

    def _steps(self, steps: list[dict[str, Any]]) -> None:
        """Each as soon as all it waits for has run."""
        waiting = list(steps)
        while waiting:
            ready = [step for step in waiting if self._is_ready(step)]
            assert ready, f"nothing can go on: {[step['Name'] for step in waiting]}"
            getattr(self, f"_{ready[0]['Type'].lower()}")(ready[0])
            self.ran.append(ready[0]["Name"])
            waiting.remove(ready[0])

    def _is_ready(self, step: dict[str, Any]) -> bool:
        looked_at = step["Arguments"].get("Conditions", []) if step["Type"] == "Condition" else step["Arguments"]
        needed = {name.split(".")[1] for name in references(looked_at) if name.startswith("Steps.")}
        return needed | set(step.get("DependsOn", ())) <= set(self.ran)

    def _training(self, step: dict[str, Any]) -> None:
        asked = self._resolved(step["Arguments"])
        channels = {
            one["ChannelName"]: self._prefix(one["DataSource"]["S3DataSource"]["S3Uri"])
            for one in asked["InputDataConfig"]
        }
        root = make_tree(self.work / step["Name"], channels, asked["HyperParameters"])
        self._started(step, ["train"], root, {})
        target = self._path(asked["OutputDataConfig"]["S3OutputPath"]) / step["Name"] / "output"
        target.mkdir(parents=True)
        with tarfile.open(target / "model.tar.gz", "w:gz") as tar:
            tar.add(root / "model", arcname=".")
        self.values[f"Steps.{step['Name']}.ModelArtifacts.S3ModelArtifacts"] = self._uri(target / "model.tar.gz")

    def _processing(self, step: dict[str, Any]) -> None:
        asked, root = self._resolved(step["Arguments"]), self.work / step["Name"]
        for one in asked["ProcessingInputs"]:
            place = root / Path(one["S3Input"]["LocalPath"]).relative_to("/opt/ml")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(self._prefix(one["S3Input"]["S3Uri"]), target_is_directory=True)
        command = asked["AppSpecification"]["ContainerEntrypoint"]
        environment = {
            name: str(self._path(text)) if text.startswith("s3://") else text
            for name, text in asked["Environment"].items()
        }
        self._started(step, command, root, environment)
        for number, one in enumerate(asked["ProcessingOutputConfig"]["Outputs"]):
            place = root / Path(one["S3Output"]["LocalPath"]).relative_to("/opt/ml")
            shutil.copytree(place, self._path(one["S3Output"]["S3Uri"]))
            outputs = f"Steps.{step['Name']}.ProcessingOutputConfig.Outputs"
            for key in (f"['{one['OutputName']}']", f"[{number}]"):
                self.values[f"{outputs}{key}.S3Output.S3Uri"] = one["S3Output"]["S3Uri"]
            for file in step.get("PropertyFiles", ()):
                if file["OutputName"] == one["OutputName"]:
                    text = (self._path(one["S3Output"]["S3Uri"]) / file["FilePath"]).read_text()
                    self.values[f"Steps.{step['Name']}.PropertyFiles.{file['PropertyFileName']}"] = json.loads(text)

    def _registermodel(self, step: dict[str, Any]) -> None:
        arn = f"arn:aws:sagemaker:eu-central-1:123456789012:model-package/bins/{len(self.packages) + 1}"
        self.packages.append(self._resolved(step["Arguments"]) | {"ModelPackageArn": arn})
        self.values[f"Steps.{step['Name']}.ModelPackageArn"] = arn

    def _condition(self, step: dict[str, Any]) -> None:
        arguments = step["Arguments"]
        assert {one["Type"] for one in arguments["Conditions"]} == {"Equals"}, "no other is needed so far"
        holds = all(
            self._resolved(one["LeftValue"]) == self._resolved(one["RightValue"]) for one in arguments["Conditions"]
        )
        self._steps(arguments["IfSteps" if holds else "ElseSteps"])

    def _lambda(self, step: dict[str, Any]) -> None:
        name = step["FunctionArn"].rpartition(":")[2]
        try:
            answer = self.functions[name](self._resolved(step["Arguments"]))
        except Exception as error:
            raise Failed(f"{step['Name']}: {error}") from error
        for one in step["OutputParameters"]:
            self.values[f"Steps.{step['Name']}.OutputParameters['{one['OutputName']}']"] = answer[one["OutputName"]]

    def _fail(self, step: dict[str, Any]) -> None:
        self.ran.append(step["Name"])
        raise Failed(self._resolved(step["Arguments"])["ErrorMessage"])

    def _started(
        self, step: dict[str, Any], command: list[str], root: Path, environment: Mapping[str, str]
    ) -> None:
        if self.start(command, root, environment) != 0:
            raise Failed(f"{step['Name']}: {(root / 'output' / 'failure').read_text()}")

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if set(value) == {"Get"}:
                return self.values[value["Get"]]
            if set(value) == {"Std:Join"}:
                parts = value["Std:Join"]["Values"]
                return value["Std:Join"]["On"].join(str(self._resolved(part)) for part in parts)
            if set(value) == {"Std:JsonGet"}:
                found = self._resolved(value["Std:JsonGet"]["PropertyFile"])
                for part in value["Std:JsonGet"]["Path"].split("."):
                    found = found[part]
                return found
            return {name: self._resolved(one) for name, one in value.items()}
        return [self._resolved(one) for one in value] if isinstance(value, list) else value

    def _path(self, uri: str) -> Path:
        return self.s3 / uri.removeprefix("s3://")

    def _uri(self, path: Path) -> str:
        return f"s3://{path.relative_to(self.s3).as_posix()}"

    def _prefix(self, uri: str) -> Path:
        """What a job finds of a prefix: the folder, or one with the object alone."""
        path = self._path(uri)
        if path.is_dir():
            return path
        assert path.is_file(), f"nothing is at {uri}"
        alone = self.work / "objects" / uri.removeprefix("s3://").replace("/", "_")
        alone.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, alone / path.name)
        return alone
