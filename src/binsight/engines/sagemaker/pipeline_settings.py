"""What the terms of a retraining say of its training job, from the terms through the pipeline to the container.

```
[export], [train] threads ─▶ the execution's parameters ─▶ the training job's hyperparameters
```
Values are JSON all the way, as the container reads hyperparameters.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from binsight.engines.contract import EXPORT_NAME, EXPORT_SIZE, EXPORT_WEIGHTS, THREADS

if TYPE_CHECKING:
    from binsight.lifecycle.terms import Terms

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "export": {EXPORT_NAME: "ExportName", EXPORT_WEIGHTS: "ExportWeights", EXPORT_SIZE: "ExportSize"},
    "threads": {THREADS: "Threads"},
}
"""For each setting of a step, which of the pipeline's parameters says it, by the job's hyperparameter."""

NAMES = tuple(name for setting in SETTINGS.values() for name in setting.values())
"""The parameters."""

NOT_SAID = json.dumps(None)
"""The container's own: called as the recipe, in fp32, of the photos' size, by as many threads as there are cores."""


def hyperparameters(settings: Iterable[str]) -> dict[str, dict[str, str]]:
    """The training job's, as references, for what its steps depend on."""
    return {
        hyperparameter: {"Get": f"Parameters.{name}"}
        for setting in settings
        for hyperparameter, name in SETTINGS[setting].items()
    }


def said_by(terms: "Terms") -> dict[str, str]:
    """The parameters' values."""
    said = {
        EXPORT_NAME: terms.export.name,
        EXPORT_WEIGHTS: terms.export.weights,
        EXPORT_SIZE: terms.export.size,
        THREADS: terms.train.threads,
    }
    return {name: json.dumps(said[one]) for setting in SETTINGS.values() for one, name in setting.items()}
