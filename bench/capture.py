"""Throughput of `binsight serve` that keeps every photo and answer, against the same without.

    python bench/capture.py FOLDER [--connections 8] [--photos 100]

Two processes, asked in turns over so many connections; each photo is asked for as soon as there is an answer to the one
before. Captures are in their default form (photos as files, answers in the ledger), in a scratch folder on this disk. No
photo comes twice: one that is kept already would not be written again. Photos a second, by the clock.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from beside import beside_arguments, champions, compare_ports
from binsight.counting import default_bundle
from binsight.records import CHAMPION
from ratio import report
from swaps import FIRST, SECOND, serving

FORM = "*.jpg"


def main() -> None:
    parser = beside_arguments(__doc__ or "")
    parser.add_argument("folder", type=Path, help="folder of photos; so many as all runs together take")
    given = parser.parse_args()
    wanted = (given.runs + 1) * given.photos  # and the one that warms up
    files = sorted(given.folder.rglob(FORM))[:wanted]
    if len(files) < wanted:
        sys.exit(f"{given.folder} must hold {wanted} photos ({FORM}), but has {len(files)}; ask for fewer")
    photos = [file.read_bytes() for file in files]

    def batches() -> Iterator[list[bytes]]:
        return (photos[begin : begin + given.photos] for begin in range(0, wanted, given.photos))

    with champions({CHAMPION: default_bundle()}) as scratch:
        kept = scratch / "captures"
        with serving(FIRST), serving(SECOND, env={"BINSIGHT_CAPTURE": str(kept)}):
            comparison = compare_ports(SECOND, FIRST, given, names=("with capture", "without"), batches=batches)
        num_kept = sum(1 for _ in kept.rglob(FORM))
        print(f"{num_kept} of {wanted} photos are kept", file=sys.stderr)
        assert num_kept == wanted, "what is measured must have been done"
    report(comparison, at_least=0.9, as_json=given.json)


if __name__ == "__main__":
    main()
