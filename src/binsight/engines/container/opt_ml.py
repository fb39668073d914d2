"""The tree that SageMaker gives a container.

```
/opt/ml/
├── input/config/hyperparameters.json    texts by name
├── input/data/CHANNEL/                  what was in S3
├── checkpoints/                         copied to S3 while the job runs, and back when it begins again
├── model/                               becomes model.tar.gz
├── output/data/                         becomes output.tar.gz
├── output/failure                       why it failed, for whoever looks at the job
└── processing/{input,output}/NAME/      of a processing job
```
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binsight.errors import BadInput, MissingObject

BASE_DIR = "SAGEMAKER_BASE_DIR"
"""Moves the root, as it does in AWS's own toolkit."""
MOST_OF_A_FAILURE = 1024
"""So many characters of the failure file reach `FailureReason`."""


@dataclass(frozen=True, slots=True)
class OptMl:
    """The tree at `root`."""

    root: Path

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> "OptMl":
        return cls(Path(environment.get(BASE_DIR) or "/opt/ml"))

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def output_data(self) -> Path:
        return self.root / "output" / "data"

    def hyperparameters(self) -> dict[str, Any]:
        """Every value as the JSON that its text is, or the text itself; what the platform adds is left out.

        Raises `BadInput` where the file is not what SageMaker writes.
        """
        path = self.root / "input" / "config" / "hyperparameters.json"
        if not path.is_file():
            return {}
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadInput(f"{path} is not JSON ({error}); start the job again") from None
        if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
            raise BadInput(f"{path} must hold one text for each name; start the job again")
        return {name: _value(text) for name, text in given.items() if not _is_the_platforms(name)}

    def channels(self) -> dict[str, Path]:
        """The channels of a training job by name."""
        return _folders(self.root / "input" / "data")

    def channel(self, name: str) -> Path:
        """Raises `MissingObject` naming the channels that there are."""
        found = self.channels()
        if name not in found:
            have = ", ".join(found) or "none"
            raise MissingObject(
                f"the job must have a channel {name}, but has {have}; add it to its InputDataConfig"
            )
        return found[name]

    def inputs(self) -> dict[str, Path]:
        """The inputs of a processing job by name."""
        return _folders(self.root / "processing" / "input")

    def output(self, name: str) -> Path:
        """The folder of a processing job's output, made where it is not there."""
        folder = self.root / "processing" / "output" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def fail(self, sentence: str) -> None:
        """Leave the reason where SageMaker looks for it."""
        path = self.root / "output" / "failure"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sentence[:MOST_OF_A_FAILURE], encoding="utf-8")


def _folders(parent: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(parent.glob("*")) if path.is_dir()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_the_platforms(name: str) -> bool:
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"
