"""A promoted model that turns out bad: how soon it is taken back under load, by the service itself and by hand.

    python -m bench.trials [--times 5]

`binsight serve --follow champion` is asked without a pause by another process's connections. Then, so many times each:

1. *failing*: a model that answers its golden photos as it should, and fails on the photos that come, is promoted as a
   retraining promotes. The service watches it and takes it back by itself.
2. *slow*: the same with a model that takes several times as long.
3. *by hand*: that slow model, and `binsight models rollback`, the command itself in a process of its own.

Told are the seconds from the promotion to the decision (the ledger's commit), from there to the last answer of the bad
model and to the first of the one before, and requests that failed: before the decision, and since. A goal is missed, and
the exit status 1, where the bad model answers a second after the decision, or a request failed that it did not spoil.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.bad_bundles import bright_photo, failing_bundle, slow_bundle
from bench.swaps import FIRST, PATIENCE_S, Load, keep_in, point, serving

from binsight.counting import default_bundle
from binsight.counting.registry import Registry
from binsight.records import CHAMPION
from binsight.settings import settings
from binsight.storage.ledger import Ledger, Retrainings
from binsight.storage.ledger.retrainings import OPEN, PROMOTED

ENOUGH = 60
"""Answers by the champion before a worse one comes: what the watch compares with."""
AFTER_S = 2.0
"""For so long after the first answer of the model before, answers of the bad one are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """One time. Seconds from the promotion to the decision, and from the decision; requests that failed before and since,
    and those since that were answered by no model that was bad."""

    decided_s: float
    last_bad_s: float
    first_good_s: float
    failed_before: int
    failed_since: int
    answers: int


def promote(registry: Registry, ledger: Ledger, champion: str, bad: str) -> float:
    """As a retraining promotes: on trial. The time after the ledger's commit."""
    seen = registry.pointed(CHAMPION)
    rows, name = Retrainings(ledger), str(uuid4())
    rows.begin(name, by="bench", why="bench", place="here", inputs_sha256="0" * 64, num_counts=0, champion=champion)
    moved = registry.point(CHAMPION, bad, by="bench", reason=f"retraining {name}: bench", seen=seen)
    at = time.monotonic()
    rows.change(
        name, state=PROMOTED, challenger=bad, watch=OPEN, alias=CHAMPION, revision=moved.revision, outcome={}
    )
    return at


def decided_at(registry: Registry) -> float:
    """When the alias was moved last, in the clock that answers are timed by."""
    moved = datetime.fromisoformat(registry.models.moves(CHAMPION)[0].moved_at).timestamp()
    return moved - time.time() + time.monotonic()


def taken_back(registry: Registry, load: Load, champion: str, bad: str, promoted: float) -> TakenBack:
    """Wait until the model before answers again, and look back at what was answered since the promotion."""
    first = len(load.history)
    while (pointed := registry.pointed(CHAMPION)) is None or pointed.version != champion:
        load.take()
        time.sleep(0.01)
        assert time.monotonic() - promoted < PATIENCE_S, "the bad model is not taken back"
    decided = decided_at(registry)
    good = load.until(champion, since=decided)
    while time.monotonic() < good + AFTER_S:
        load.take()
        time.sleep(0.01)
    answers = [answer for answer in load.history[first:] if answer[0] >= promoted]
    spoilt = [when for when, status, version in answers if status != 200 or version == bad]
    failed = [when for when, status, _ in answers if status != 200]
    return TakenBack(
        decided_s=decided - promoted,
        last_bad_s=max(spoilt, default=decided) - decided,
        first_good_s=good - decided,
        failed_before=sum(when < decided for when in failed),
        failed_since=sum(when >= decided for when in failed),
        answers=len(answers),
    )


def watched(registry: Registry, ledger: Ledger, champion: str, bad: str) -> TakenBack:
    """A service of its own, which takes it back."""
    point(registry, champion)
    with serving(FIRST):
        load = Load(FIRST, photo=bright_photo())
        while len(load.history) < ENOUGH:
            load.next()
        found = taken_back(registry, load, champion, bad, promote(registry, ledger, champion, bad))
        load.end()
    return found


def by_hand(registry: Registry, champion: str, bad: str, times: int) -> list[TakenBack]:
    """One service, and a person who moves the alias to the bad model and back."""
    point(registry, champion)
    found = []
    with serving(FIRST):
        load = Load(FIRST, photo=bright_photo())
        load.until(champion, since=time.monotonic())
        for _ in range(times):
            promoted = point(registry, bad)
            load.until(bad, since=promoted)
            command = [sys.executable, "-m", "binsight", "models", "rollback", "--reason", "bench"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            found.append(taken_back(registry, load, champion, bad, promoted))
            assert process.wait(PATIENCE_S) == 0
        load.end()
    return found


def told(name: str, found: list[TakenBack], *, may_fail: bool) -> dict[str, Any]:
    """The figures of so many times, and whether the goals are met."""
    most = max(one.last_bad_s for one in found)
    before, since = (sum(getattr(one, f"failed_{when}") for one in found) for when in ("before", "since"))
    return {
        "what": name,
        "times": len(found),
        "decided_median_s": round(statistics.median(one.decided_s for one in found), 2),
        "last_bad_median_s": round(statistics.median(one.last_bad_s for one in found), 3),
        "last_bad_most_s": round(most, 3),
        "first_good_most_s": round(max(one.first_good_s for one in found), 3),
        "answers": sum(one.answers for one in found),
        "failed_before_decision": before,
        "failed_since": since,
        "met": most < 1 and (may_fail or before + since == 0),
    }


def run(folder: Path, times: int) -> bool:
    keep_in(folder)
    registry, ledger = Registry.open(), Ledger.open(settings().ledger)
    champion = registry.register(default_bundle(), by="bench").version
    failing = registry.register(failing_bundle(folder / "failing"), by="bench").version
    slow = registry.register(slow_bundle(folder / "slow"), by="bench").version
    met = True
    for name, bad, may_fail in (("failing", failing, True), ("slow", slow, False)):
        found = [watched(registry, ledger, champion, bad) for _ in range(times)]
        reasons = [row.sentence for row in Retrainings(ledger).newest(1)]
        figures = told(f"watch: {name}", found, may_fail=may_fail) | {"reason": reasons[0]}
        print(json.dumps(figures), flush=True)
        met &= figures["met"]
    figures = told("by hand", by_hand(registry, champion, slow, times), may_fail=False)
    print(json.dumps(figures), flush=True)
    ledger.close()
    registry.close()
    return met and figures["met"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="times for each (default 5)")
    with tempfile.TemporaryDirectory(prefix="binsight-trials.") as scratch:
        sys.exit(0 if run(Path(scratch), parser.parse_args().times) else 1)
