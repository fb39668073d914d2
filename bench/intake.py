"""What reading stock records costs, beside Python's own csv.reader on the same file, which only divides its lines.

    python bench/intake.py [--lines 1000000] [--runs 5]

Each run reads the file whole: lines checked, spooled to disk, added up by bin, and every record made. CPU seconds of the
process, so that what else the machine does counts less. Peak memory is that of the whole process.
"""

import csv
import random
import resource
import tempfile
import time
from pathlib import Path

from binsight.audit.intake import read_records
from binsight.audit.mapping import load_mapping
from ratio import bench_arguments, compare, report

HEADER = "bin_id,sku,expected_qty,photo,site,aisle,record_as_of,photo_taken_at,unit_value,item_class\n"


def write_stock(path: Path, num_lines: int) -> None:
    """Two items a bin, in no order, with every column that the generic mapping reads."""
    rng = random.Random(1)
    order = list(range(num_lines))
    rng.shuffle(order)
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for n in order:
            file.write(
                f"A{n // 2:06},SKU{n:07},{n % 20},bins/{n // 2:06}.jpg,north,aisle-{n // 2 % 97},"
                f"2026-11-24T06:00:00+01:00,2026-11-24T{n // 2 % 24:02}:{n // 2 % 60:02}:00+01:00,{n % 9999 / 100},ABC\n"
            )


def peak_mib() -> float:
    """The process's peak resident memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = bench_arguments(__doc__ or "", num_runs=5)
    parser.add_argument("--lines", type=int, default=100_000, help="lines of the file (default 100,000)")
    args = parser.parse_args()
    mapping = load_mapping("generic")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stock.csv"
        write_stock(path, args.lines)

        def ours() -> float:
            start = time.process_time()
            with read_records(path, mapping) as records:
                num_records = sum(1 for _ in records)
            assert num_records == (args.lines + 1) // 2
            return time.process_time() - start

        def bare() -> float:
            start = time.process_time()
            with path.open(newline="", encoding="utf-8") as file:
                for _ in csv.reader(file):
                    pass
            return time.process_time() - start

        found = compare(ours, bare, names=("read_records", "csv.reader"), unit="CPU s", num_runs=args.runs)
    if not args.json:
        print(
            f"{args.lines:,} lines: {args.lines / found.ours_median:,.0f} lines a CPU second, peak {peak_mib():.0f} MiB"
        )
    report(found, as_json=args.json)


if __name__ == "__main__":
    main()
