"""What `binsight serve` does when three times as much comes as it can count.

    python -m bench.overload FOLDER [--seconds 20] [--json]

Three loads on the real process, one after the other, each from a process of its own: as fast as a few connections go
(the capacity), 70% of that, and 300% of it, the last two at random moments with latencies from when a request was due.
The goals: at 300%, those that are counted have a p99 within twice that at 70%, 99% of the others are refused within 20 ms,
and the memory does not grow. It ends non-zero where one is missed. Load and service share the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

from binsight.counting import default_bundle

PORT = 18081
URL = f"http://127.0.0.1:{PORT}"
FEW = 4
"""Connections that keep two lanes busy and no more."""
AT_MOST_P99, REFUSED_MS, GROWTH = 2.0, 20.0, 1.05
SETTLED_S = 5
"""Into the overload, after which memory counts: what a first rush takes is kept."""


@contextmanager
def serving(
    bundle: Path, *, port: int = PORT, env: Mapping[str, str] | None = None, log: "IO[str] | None" = None
) -> "Iterator[subprocess.Popen[bytes]]":
    """The service, ready, with more settings than the environment's; what it logs goes to `log`."""
    command = [sys.executable, "-m", "binsight", "serve", "--port", str(port), "--model", str(bundle)]
    with subprocess.Popen(command, env={**os.environ, **(env or {})}, stderr=log or subprocess.DEVNULL) as process:
        try:
            while not answers(port):
                assert process.poll() is None, "the service does not start"
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ping") as response:
            return bool(response.status == 200)
    except OSError:
        return False


def resident_mib(pid: int) -> float:
    """Memory that the process holds now."""
    fields = Path(f"/proc/{pid}/status").read_text()
    return int(fields.partition("VmRSS:")[2].split()[0]) / 1024


def load(folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.load", URL, str(folder), *options, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What the load found, by status, and how late it was itself."""
    said, _ = process.communicate()
    assert process.returncode == 0, "the load failed"
    found = json.loads(said)
    return {"late_p99_ms": found["late_p99_ms"], **{str(row["status"]): row for row in found["rows"]}}


def measure(folder: Path, bundle: Path, seconds: float) -> dict[str, Any]:
    """All three loads, and the memory around the last."""
    with serving(bundle) as process:
        timed = ("--seconds", str(seconds))
        full = result(load(folder, "--connections", str(FEW), "--seconds", str(seconds / 2)))
        capacity = full["200"]["per_second"]
        calm = result(load(folder, "--rate", str(0.7 * capacity), *timed))
        running = load(folder, "--rate", str(3 * capacity), *timed)
        time.sleep(min(SETTLED_S, seconds / 2))
        before = resident_mib(process.pid)
        rush = result(running)
        after = resident_mib(process.pid)
    return {"capacity": full, "calm": calm, "rush": rush, "memory_mib": [round(before, 1), round(after, 1)]}


def verdict(found: dict[str, Any]) -> dict[str, Any]:
    """The goals' figures, and whether all are met."""
    calm, rush = found["calm"], found["rush"]
    before, after = found["memory_mib"]
    ratio = rush["200"]["p99_ms"] / calm["200"]["p99_ms"]
    refused = rush.get("503", {}).get("p99_ms")
    others = {status for status in (*calm, *rush) if status not in ("200", "503", "late_p99_ms")}
    met = (
        ratio <= AT_MOST_P99
        and refused is not None
        and refused <= REFUSED_MS
        and after <= GROWTH * before
        and not others
    )
    return {
        "p99_ratio": round(ratio, 3),
        "refused_p99_ms": refused,
        "memory_growth": round(after / before, 3),
        "met": met,
    }


def print_table(found: dict[str, Any], judged: dict[str, Any]) -> None:
    print(f"{'load':>22} {'status':>6} {'requests':>8} {'a second':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for name, label in (("capacity", f"{FEW} connections"), ("calm", "70%"), ("rush", "300%")):
        for status, row in found[name].items():
            if status != "late_p99_ms":
                figures = (f"{row[key]:>8.1f}" for key in ("per_second", "p50_ms", "p99_ms", "max_ms"))
                print(f"{label:>22} {status:>6} {row['num']:>8} {' '.join(figures)}")
        print(f"{'(late itself, p99)':>22} {found[name]['late_p99_ms']:>42.1f}")
    before, after = found["memory_mib"]
    print(
        f"p99 of the counted at 300% / at 70%: {judged['p99_ratio']} (goal ≤ {AT_MOST_P99:g}); refused p99 "
        f"{judged['refused_p99_ms']} ms (goal ≤ {REFUSED_MS:g}); memory {before} → {after} MiB (goal ≤ {GROWTH}×): "
        f"{'met' if judged['met'] else 'NOT met'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    parser.add_argument("--seconds", type=float, default=20, help="of each load; the first takes half (default 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of the table")
    given = parser.parse_args()
    found = measure(given.folder, given.bundle, given.seconds)
    judged = verdict(found)
    if given.json:
        print(json.dumps({**found, **judged}))
    else:
        print_table(found, judged)
    sys.exit(0 if judged["met"] else 1)


if __name__ == "__main__":
    main()
