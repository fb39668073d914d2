"""Runs steps: each once for the same inputs, whatever kills it in between.

```
WORK/steps/<step>-<key>/          key: hash of the step, its inputs' identities, its parameters and the code
├── <artifact>/                   what it made
└── receipt.json                  by whom and of what; written before the folder gets its name, so that it is whole
WORK/steps/.<step>-<key>.part/    what a step is at work on; a kill leaves it, and who resumes goes on in it
WORK/steps.jsonl                  a line whenever a step begins, ends, or is found done
```
A step that was done is not done again, in this retraining or in a later one with the same inputs, as long as what it made
is still what its receipt says.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from binsight.errors import BinsightError, StorageFailure
from binsight.lifecycle.artifacts import code_digest, identity, key_of
from binsight.lifecycle.steps import GIVEN, OPTIONAL, Step
from binsight.storage.files import make_folder, written_whole

RECEIPT = "receipt.json"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a step is given: its inputs' folders, where to write, its parameters, what is `open` in this process (for those
    that act), and where to say how it goes."""

    inputs: Mapping[str, Path]
    out: Path
    parameters: Mapping[str, Any]
    open: Mapping[str, Any]
    say: Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that is done: where what it made lies, its identity, and whether it was done before."""

    step: Step
    key: str
    folder: Path
    identity: str
    was_done: bool


@dataclass(slots=True, kw_only=True)
class Runner:
    """Runs steps of one retraining in a work folder; `made` knows every artifact by name."""

    work: Path
    id: str
    parameters: Mapping[str, Any]
    open: Mapping[str, Any]
    say: Say
    made: dict[str, Path | None] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)

    def give(self, artifacts: Mapping[str, Path | None]) -> None:
        """Take the artifacts that the retraining begins with. Raises as `identity` does."""
        for name, path in artifacts.items():
            assert path is not None or name in OPTIONAL, f"{name} is needed"
            self.made[name], self.identities[name] = path, identity(GIVEN[name], path)

    def run(self, step: Step) -> Done:
        """The step, done now or before. Raises whatever the step does; what it left is gone on with next time."""
        key = self.key(step)
        folder = self.work / "steps" / f"{step.name}-{key[:16]}"
        found = _receipt(folder, step)
        if found is None:
            found = self._do(step, key, folder)
            was_done = False
        else:
            self._note(step, key, "found")
            was_done = True
        self.made[step.makes], self.identities[step.makes] = folder / step.makes, found
        return Done(step=step, key=key, folder=folder / step.makes, identity=found, was_done=was_done)

    def key(self, step: Step) -> str:
        """What the step's result depends on, as a hash."""
        return key_of(
            {
                "step": step.name,
                "inputs": {name: self.identities[name] for name in step.needs},
                "parameters": {name: self.parameters[name] for name in step.parameters},
                "code": code_digest(),
            }
        )

    def _do(self, step: Step, key: str, folder: Path) -> str:
        part = folder.with_name(f".{folder.name}.part")
        out = part / step.makes
        if folder.exists():  # without a receipt that fits: damaged
            self.say(f"{step.name}: what was made before is damaged, and is made again")
            shutil.rmtree(folder)
        if not step.resumes:
            shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        self._note(step, key, "begun")
        began = time.monotonic()
        work = Work(
            inputs={name: path for name in step.needs if (path := self.made[name]) is not None},
            out=out,
            parameters={name: self.parameters[name] for name in step.parameters},
            open=self.open,
            say=self.say,
        )
        try:
            _function(step.entry)(work)
        except OSError as error:
            if isinstance(error, BinsightError):
                raise
            raise StorageFailure(  # of a library that writes files itself
                f"{step.name} could not be done ({error.strerror or error}); free space or mend the disk, and run the same "
                "command again"
            ) from None
        found = identity(step.kind, out)
        receipt = {
            "step": step.name,
            "key": key,
            "inputs": {name: self.identities[name] for name in step.needs},
            "parameters": dict(work.parameters),
            "code": code_digest(),
            "made": found,
            "retraining": self.id,
            "seconds": round(time.monotonic() - began, 3),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with written_whole(part / RECEIPT) as written:
            written.write_text(json.dumps(receipt, indent=2) + "\n")
        try:
            part.replace(folder)
        except OSError as error:
            raise StorageFailure(f"{folder} cannot be written ({error.strerror}); free space and go on") from None
        self._note(step, key, "done")
        return found

    def _note(self, step: Step, key: str, what: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "retraining": self.id, "step": step.name, "key": key[:16], "what": what}
        try:
            with (self.work / "steps.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise StorageFailure(
                f"{self.work} cannot be written ({error.strerror}); free space and go on"
            ) from None


def _receipt(folder: Path, step: Step) -> str | None:
    """The identity of what a step made, where it is done and still what its receipt says; else None."""
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        made = str(receipt["made"])
        return made if identity(step.kind, folder / step.makes) == made else None
    except (OSError, ValueError, KeyError, TypeError, BinsightError):
        return None


def _function(entry: str) -> Callable[[Work], None]:
    module, name = entry.split(":")
    function: Callable[[Work], None] = getattr(import_module(module), name)
    return function
