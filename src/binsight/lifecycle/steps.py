"""The steps of a retraining, as plain data: what each needs, what it makes, and which code or command does it.

```
new counts ─▶ gather ─▶ prepare ─▶ train ─▶ evaluate ─▶ export ─▶ compare ─▶ conclude: promote, canary or keep
                           │          └───────▶ run ───────┘         ▲
                           └──▶ dataset        champion, promotion ──┘
```
Steps meet in artifacts. An artifact is a folder, known by what is in it, not by where it lies. Whoever runs the steps, on
this machine or elsewhere, reads this list and nothing else: it imports nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counts", "dataset", "recipe", "run", "report", "bundle", "verdict", "outcome"]
"""What an artifact is, and so how its identity is told (`artifacts.py`)."""

GIVEN: Mapping[str, Kind] = {
    "base": "dataset",  # the dataset that new counts join
    "promotion": "dataset",  # holds the frozen photos that models are compared on
    "recipe": "recipe",  # what to train, whole
    "parent": "run",  # the run whose weights training begins with; there is none where it begins afresh
    "champion": "bundle",  # the bundle in use when the retraining began
}
"""The artifacts that a retraining begins with."""

OPTIONAL = frozenset({"parent"})
"""Those that it can do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: `needs` artifacts, and makes one, called `makes`.

    `entry` is the function that does it on this machine, `module:function`. `command` does the same as a process, with the
    needed artifacts' folders in place of {their names}; empty where it takes the ledger of this place. `parameters` are the
    fields of the retraining's settings that its result depends on. `resumes`: what a killed try left is gone on with;
    else it is thrown away. `acts`: it changes more than its own artifact, and so knows what it did before.
    """

    name: str
    needs: tuple[str, ...]
    makes: str
    kind: Kind
    entry: str
    command: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    resumes: bool = False
    acts: bool = False


STEPS: tuple[Step, ...] = (
    Step(
        name="gather",
        needs=(),
        makes="counts",
        kind="counts",
        entry="binsight.lifecycle.work:gather",
        parameters=("counts",),
    ),
    Step(
        name="prepare",
        needs=("base", "promotion", "counts"),
        makes="dataset",
        kind="dataset",
        entry="binsight.lifecycle.work:prepare",
        parameters=("joining",),
    ),
    Step(
        name="train",
        needs=("recipe", "dataset", "parent"),
        makes="run",
        kind="run",
        entry="binsight.lifecycle.work:train",
        command=("binsight", "train", "{recipe}", "data.dataset={dataset}", "--out", "{run}"),
        parameters=("threads",),
        resumes=True,
    ),
    Step(
        name="evaluate",
        needs=("run", "dataset"),
        makes="report",
        kind="report",
        entry="binsight.lifecycle.work:evaluate",
        command=("binsight", "evaluate", "{run}", "{dataset}", "--split", "val", "--out", "{report}"),
    ),
    Step(
        name="export",
        needs=("run", "dataset"),
        makes="challenger",
        kind="bundle",
        entry="binsight.lifecycle.work:export",
        command=("binsight", "export", "{run}", "{challenger}", "--dataset", "{dataset}"),
        parameters=("export",),
    ),
    Step(
        name="compare",
        needs=("champion", "challenger", "promotion", "dataset"),
        makes="verdict",
        kind="verdict",
        entry="binsight.lifecycle.work:compare",
        command=("binsight", "models", "compare", "{challenger}", "--on", "{promotion}"),
        parameters=("id", "judging", "compare"),
        acts=True,
    ),
    Step(
        name="conclude",
        needs=("challenger", "verdict"),
        makes="outcome",
        kind="outcome",
        entry="binsight.lifecycle.work:conclude",
        parameters=("id", "champion_revision", "conclude"),
        acts=True,
    ),
)


def makers() -> Mapping[str, Step]:
    """Which step makes each artifact that is made."""
    return {step.makes: step for step in STEPS}
