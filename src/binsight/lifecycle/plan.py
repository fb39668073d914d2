"""What a retraining began with, on disk: so that one that was killed goes on with the very same, whatever came since.

```
WORK/
├── id              this folder, to the ledger
├── lock            held by the process that works here; let go by the system when that is gone
├── plan/           the retraining that goes on here: plan.json (written last), recipe.toml
├── past/<id>/      those that ended
├── steps/          what steps made (runner.py)
└── steps.jsonl     when
```
"""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from binsight.errors import ChangedMeanwhile, StorageFailure
from binsight.lifecycle.parents import Learned
from binsight.storage.files import make_folder, written_whole

PLAN, RECIPE = "plan.json", "recipe.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One retraining as it began. `terms_sha256` is over its terms and its recipe, `rows` are the counted bins.

    `champion` at `revision` was in use; `parent` is the run whose weights training begins with, and `learned` what those
    have seen. So many `threads` compute. `num_counts` of the rows are of tasks and `num_labelled` of captures, the last of
    which was added at `labelled_until`; `drift` is the episode that was under way.
    """

    id: str
    why: str
    terms_sha256: str
    inputs_sha256: str
    champion: str
    revision: int
    parent: str | None
    learned: Learned
    rows: tuple[Mapping[str, Any], ...]
    num_counts: int
    threads: int
    num_labelled: int = 0
    labelled_until: str | None = None
    drift: int | None = None


def write_plan(work: Path, plan: Plan, recipe: str) -> None:
    """Keep a plan: from now on the retraining can be gone on with. Raises `StorageFailure`."""
    folder = work / "plan"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageFailure(f"{folder} cannot be made ({error.strerror}); free space and go on") from None
    with written_whole(folder / RECIPE) as part:
        part.write_text(recipe, encoding="utf-8")
    with written_whole(folder / PLAN) as part:
        part.write_text(json.dumps(asdict(plan)), encoding="utf-8")


def read_plan(work: Path) -> Plan | None:
    """The plan that is under way in a work folder; None where there is none, or a kill left half of it."""
    try:
        fields = json.loads((work / "plan" / PLAN).read_text(encoding="utf-8"))
        seen = Learned(**{name: tuple(value) for name, value in fields["learned"].items()})
        return Plan(**{**fields, "rows": tuple(fields["rows"]), "learned": seen})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def end_plan(work: Path, plan: Plan) -> None:
    """Put the plan to those that ended."""
    make_folder(work / "past")
    target = work / "past" / plan.id
    with suppress(OSError):  # it ended in any case; what is left here is found ended in the ledger
        shutil.rmtree(target, ignore_errors=True)
        (work / "plan").replace(target)


def folder_id(work: Path) -> str:
    """What this work folder is called in the ledger: made once."""
    file = work / "id"
    with suppress(OSError):
        if found := file.read_text(encoding="utf-8").strip():
            return found
    with written_whole(file) as part:
        part.write_text(str(uuid.uuid4()), encoding="utf-8")
    return file.read_text(encoding="utf-8")


@contextmanager
def working_in(work: Path) -> Iterator[None]:
    """Have the work folder for this process alone. Raises `ChangedMeanwhile` where another one has it."""
    make_folder(work)
    try:
        lock = os.open(work / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageFailure(f"{work} cannot be written ({error.strerror}); choose another folder") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChangedMeanwhile(f"another retraining works in {work}; let it end, or see its terminal") from None
        yield
    finally:
        os.close(lock)
