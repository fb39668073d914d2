"""A retraining on real photos, killed with SIGKILL at random moments and gone on with: does the same come of it?

    python -m bench.retrain_kills [--photos 2000] [--kills 20] [--seed 0] [--abid ../shared/abid] [--folder DIR] [--lean]

One retraining runs undisturbed, by the command line, with a ledger in which people counted bins. Then the same one again
in another folder, from a copy of that ledger, and it is killed: moments are drawn evenly over the time that the undisturbed
one took, those before its first step and those in its last included, and a moment is a step and a time within it, so that
slow steps are hit more often. The process is started again after each kill, and after the last it may end.

It fails unless the decision, the bundle and what the champion is are the same, and no step was begun again that was done.

`--lean` is what the tests run: a network of 100,000 weights on 32 pixels instead of one of 390,000 on 64, 120
photos that judge instead of 400, one thread that trains, and processes forked from one that has everything imported.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.retrain_processes import Begin, Begun, forked, warm
from tests.retrain_support import a_site, counted, fresh_photos

from binsight.counting import default_bundle
from binsight.counting.registry import Registry
from binsight.storage.ledger import Ledger

RECIPE = """
name = "small"
seed = 3
[data]
dataset = "{dataset}"
[data.preprocessing]
size = 64
fit = "squash"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[model]
backbone = "timm:lcnet_035"
dropout = 0.1
soft_sigma = 0.6
[training]
epochs = 2
batch_size = 32
lr = 2e-3
precision = "fp32"
checkpoint_minutes = 0.05
"""
TERMS = """
[data]
base = "{base}"
promotion = "{base}"
[train]
recipe = "{recipe}"
begin = "fresh"
"""
SHARES = {"train": 0.65, "val": 0.1, "test": 0.2}
"""The rest are photos of counted bins."""

LEAN_RECIPE = (
    RECIPE.replace("lcnet_035", "test_efficientnet")
    .replace("size = 64", "size = 32")
    .replace("batch_size = 32", "batch_size = 64")
    .replace("checkpoint_minutes = 0.05", "checkpoint_minutes = 0.01")
)
LEAN_TERMS = TERMS + "threads = 1\n[compare]\nmin_photos = 100\n"
LEAN_SHARES = {"train": 0.79, "val": 0.1, "test": 0.06}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When to kill: so many seconds after a step has begun, or after the process has where `step` is empty.

    `done_s` of them were worked off before an earlier kill, where the step goes on from there.
    """

    step: str
    after_s: float
    done_s: float = 0.0


def prepare(abid: Path, folder: Path, num_photos: int, *, lean: bool) -> None:
    """A dataset, a ledger with counted bins, and the default bundle as champion."""
    shares, recipe, terms = (LEAN_SHARES, LEAN_RECIPE, LEAN_TERMS) if lean else (SHARES, RECIPE, TERMS)
    sizes = {name: int(share * num_photos) for name, share in shares.items()}
    a_site(abid, folder, sizes, recipe=recipe, terms=terms)  # type: ignore[arg-type]  # splits
    number = num_photos - sum(sizes.values())
    photos = fresh_photos(abid, number, not_in=folder / "base", folder=folder / "counted")
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
    counted(ledger, photos, folder=folder, drawn=range(1, number // 3))
    registry = Registry.open(ledger.url, str(folder / "bundles"))
    version = registry.register(default_bundle(), by="bench").version
    registry.point("champion", version, by="bench", reason="", seen=None)
    registry.close()
    ledger.close()


def placed(template: Path, folder: Path) -> Path:
    """A ledger and bundles of its own, as the template has them."""
    folder.mkdir()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        if (template / name).exists():
            shutil.copyfile(template / name, folder / name)
    shutil.copytree(template / "bundles", folder / "bundles")
    return folder


def lines_of(folder: Path) -> list[dict[str, str]]:
    try:
        text = (folder / "work" / "steps.jsonl").read_text()
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def undisturbed(begin: Begin, template: Path, folder: Path) -> tuple[dict[str, Any], list[tuple[str, float]]]:
    """What came of it, and when each step began, in seconds from the start of the process; the end last."""
    started = time.monotonic()
    process, starts, number = begin(template, folder), [("", 0.0)], 0
    while process.poll() is None:
        time.sleep(0.02)
        lines = lines_of(folder)
        starts += [(line["step"], time.monotonic() - started) for line in lines[number:] if line["what"] == "begun"]
        number = len(lines)
    took = time.monotonic() - started
    return json.loads(process.said()), [*starts, ("end", took)]


def moment_at(seconds: float, starts: list[tuple[str, float]]) -> Moment:
    step, at = next((step, at) for step, at in reversed(starts) if at <= seconds)
    return Moment(step=step, after_s=seconds - at)


def moments_of(starts: list[tuple[str, float]], number: int, chance: random.Random) -> list[Moment]:
    """So many moments in their order, drawn evenly over the undisturbed time."""
    found: list[Moment] = []
    for seconds in sorted(chance.uniform(0, starts[-1][1]) for _ in range(number)):
        moment = moment_at(seconds, starts)
        if moment.step == "train" and found and found[-1].step == "train":
            moment = replace(moment, done_s=found[-1].after_s)
        found.append(moment)
    return found


def kill_at(moment: Moment, begin: Begin, template: Path, folder: Path) -> tuple[str, str]:
    """Run until the moment, and kill: the step that was at work; or "ended", and what it said, where it was over before."""
    before = len(lines_of(folder))
    started = time.monotonic()
    process = begin(template, folder)
    due = started + moment.after_s if not moment.step else None
    step = ""
    order = ["", "gather", "prepare", "train", "evaluate", "export", "compare", "conclude"]
    while process.poll() is None:
        for line in lines_of(folder)[before:]:
            before += 1
            step = line["step"]
            if due is None and step == moment.step and line["what"] == "begun":
                due = time.monotonic() + moment.after_s - moment.done_s
            elif due is None and order.index(step) >= order.index(moment.step):
                due = time.monotonic()  # the step was done before: kill wherever it is now
        if due is not None and time.monotonic() >= due:
            process.kill()
            return step or "before the first step", ""
        time.sleep(0.01)
    return "ended", process.said()


def repeated(lines: list[dict[str, str]]) -> list[str]:
    """Steps that were begun again after they had been done."""
    done: set[str] = set()
    again = []
    for line in lines:
        name = f"{line['step']}-{line['key']}"
        if line["what"] == "begun" and name in done:
            again.append(name)
        if line["what"] in ("done", "found"):
            done.add(name)
    return again


def state_of(folder: Path) -> dict[str, Any]:
    """What stands in the ledger and on disk in the end."""
    registry = Registry.open(f"sqlite:///{folder}/ledger.db", str(folder / "bundles"))
    champion = registry.pointed("champion")
    registry.close()
    (verdict,) = (folder / "work" / "steps").glob("compare-*/verdict/decision.json")
    decision = json.loads(verdict.read_text())["decision"]
    untimed = [check for check in decision["checks"] if check["name"] != "time"]
    return {"champion": champion.version if champion else None, "word": decision["word"], "checks": untimed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--abid", type=Path, default=Path("../shared/abid"))
    parser.add_argument("--folder", type=Path, help="Where to work.  [default: a temporary folder]")
    parser.add_argument("--lean", action="store_true", help="As the tests do it.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        found = measure(given.abid.resolve(), folder, given.photos, given.kills, given.seed, lean=given.lean)
    print(json.dumps(found))
    sys.exit(0 if found["same_bundle"] and found["same_decision"] and not found["repeated"] else 1)


def measure(
    abid: Path, folder: Path, num_photos: int, num_kills: int, seed: int, *, lean: bool = False
) -> dict[str, Any]:
    """Both retrainings, and what is the same."""
    folder, begin, began = folder.resolve(), forked if lean else Begun, time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    template = folder / "template"
    template.mkdir()
    prepare(abid, template, num_photos, lean=lean)
    if lean:
        warm(folder)
    one, other = placed(template, folder / "undisturbed"), placed(template, folder / "killed")
    whole, starts = undisturbed(begin, template, one)
    print(f"undisturbed: {whole['state']} {whole['challenger']} in {starts[-1][1]:.0f} s; {starts}", flush=True)
    killed, said = Counter[str](), ""
    for moment in moments_of(starts, num_kills, random.Random(seed)):
        where, said = kill_at(moment, begin, template, other)
        if said:  # faster than the undisturbed one, whose moments these are
            break
        killed[where] += 1
        print(f"killed in {where} (meant: {moment})", flush=True)
    ended = json.loads(said or begin(template, other).said())
    lines = lines_of(other)
    return {
        "photos": num_photos,
        "seconds": round(time.monotonic() - began, 1),
        "seconds_undisturbed": round(starts[-1][1], 1),
        "kills": killed.total(),
        "killed_in": dict(killed),
        "begun": dict(Counter(line["step"] for line in lines if line["what"] == "begun")),
        "repeated": repeated(lines),
        "bundle": whole["challenger"],
        "same_bundle": whole["challenger"] == ended["challenger"],
        "decision": whole["state"],
        "same_decision": whole["state"] == ended["state"] and state_of(one) == state_of(other),
    }


if __name__ == "__main__":
    main()
