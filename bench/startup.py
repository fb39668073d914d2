"""How long `binsight --help` takes against a bare `python -c "import click"`.

python bench/startup.py
"""

import subprocess
import sys
import time
from collections.abc import Callable

from ratio import bench_arguments, compare, report

# As the console script does it: pip's wrapper imports `binsight.cli` and calls `main`.
HELP = "import sys; sys.argv = ['binsight', '--help']; from binsight.cli import main; main()"


def seconds_of(code: str) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    arguments = bench_arguments(__doc__, num_runs=40).parse_args()
    comparison = compare(
        seconds_of(HELP),
        seconds_of("import click"),
        names=("binsight --help", "import click"),
        unit="s",
        num_runs=arguments.runs,
    )
    report(comparison, at_most=2.0, as_json=arguments.json)
