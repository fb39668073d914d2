"""How long an audit of many records with estimates takes, with the ledger, and whether its memory grows.

    python -m bench.verdicts [--records 100000]

Records and estimates are drawn by chance, the same in every run. `binsight audit` runs as a process of its own, for a tenth
of the records and for all; beside them stands what reading the same two files with csv and json alone takes.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NUM_COUNTS = 21


def write_files(folder: Path, number: int) -> None:
    """`records.csv` and `estimates.jsonl`: one record in twenty is one off what its photo most likely shows."""
    chance = random.Random(1)
    with (folder / "records.csv").open("w", newline="") as file, (folder / "estimates.jsonl").open("w") as lines:
        records = csv.writer(file)
        records.writerow(["bin_id", "expected_qty"])
        for place in range(number):
            count = chance.randint(0, 9)
            weights = [chance.random() * 0.5 ** abs(n - count) for n in range(NUM_COUNTS)]
            probs = [round(weight / sum(weights), 6) for weight in weights]
            bin_id = f"P-{place // 200}-A{place:06}"
            lines.write(json.dumps({"photo": f"{bin_id}.jpg", "count": count, "probs": probs, "flags": []}) + "\n")
            records.writerow([bin_id, count + (place % 20 == 0)])


def read_alone(folder: Path) -> float:
    """Seconds of processor time that the two files take with csv and json alone."""
    began = time.process_time()
    with (folder / "records.csv").open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file))
    with (folder / "estimates.jsonl").open() as lines:
        assert all(json.loads(line)["probs"] for line in lines)
    return time.process_time() - began


def audit(folder: Path) -> tuple[float, float, float]:
    """Wall and processor seconds of an audit, and its most memory in MB."""
    environment = {**os.environ, "BINSIGHT_LEDGER": f"sqlite:///{folder}/ledger.db"}
    command = [sys.executable, "-m", "binsight", "audit", "records.csv", "--estimates", "estimates.jsonl"]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    assert process.returncode == 0, process.returncode
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    most = parser.parse_args().records
    for number in (most // 10, most):
        with tempfile.TemporaryDirectory() as made:
            write_files(Path(made), number)
            alone = read_alone(Path(made))
            wall, used, memory = audit(Path(made))
            print(
                f"{number:,} records: {wall:.1f} s, {used:.1f} s of processor, {used / alone:.0f} times csv and json "
                f"alone, {memory:.0f} MB"
            )


if __name__ == "__main__":
    main()
