"""Steps that are quick and need no network, with the real ones around them: what retraining does between steps."""

import json
from pathlib import Path
from typing import Any

from tests.bundle_support import changed_bundle

from binsight.lifecycle.runner import Work
from binsight.lifecycle.steps import STEPS, Step
from binsight.storage.files import make_folder

WORDS: dict[str, Any] = {}
"""What the fakes are told: the decision's word, and what to do within a step."""


def tell(word: str = "promote", **within: Any) -> None:
    """The decision that is to come, and a function for each step that something is to happen in."""
    WORDS.clear()
    WORDS.update(word=word, within=within)


def train(work: Work) -> None:
    """A run of which nothing but its weights is there, and those are the names of the photos."""
    _within("train", work)
    make_folder(work.out)
    photos = (work.inputs["counts"] / "counts.csv").read_bytes()
    (work.out / "best.safetensors").write_bytes(photos + str(work.parameters["threads"]).encode())


def export(work: Work) -> None:
    """The default bundle, with a card that says of which run."""
    _within("export", work)
    changed_bundle(work.out, "card.md", (work.inputs["run"] / "best.safetensors").read_bytes())


def compare(work: Work) -> None:
    """The decision that was told."""
    _within("compare", work)
    make_folder(work.out)
    decision = {"word": WORDS["word"], "reasons": ["it was told so"]}
    (work.out / "decision.json").write_text(json.dumps({"decision": decision}))


def _within(name: str, work: Work) -> None:
    if act := WORDS["within"].get(name):
        act(work)


_HERE = "tests.retrain_fakes"
_REAL = {step.name: step for step in STEPS}
QUICK: tuple[Step, ...] = (
    _REAL["gather"],
    Step(
        name="train",
        needs=("counts",),
        makes="run",
        kind="run",
        entry=f"{_HERE}:train",
        parameters=("threads",),
        resumes=True,
    ),
    Step(name="export", needs=("run",), makes="challenger", kind="bundle", entry=f"{_HERE}:export"),
    Step(
        name="compare",
        needs=("champion", "challenger"),
        makes="verdict",
        kind="verdict",
        entry=f"{_HERE}:compare",
        acts=True,
    ),
    _REAL["conclude"],
)


def lines(work: Path) -> list[tuple[str, str]]:
    """What happened to steps, in order: (step, begun | done | found)."""
    text = (work / "steps.jsonl").read_text().splitlines()
    return [(line["step"], line["what"]) for line in map(json.loads, text)]


def times_begun(work: Path) -> dict[str, int]:
    """How often each step was begun."""
    begun = [step for step, what in lines(work) if what == "begun"]
    return {step: begun.count(step) for step in dict.fromkeys(begun)}
