"""Throughput of `binsight serve` with a shadow that counts beside it, against the same without.

    python bench/shadow.py [--connections 8] [--photos 100]

Two processes, asked in turns over so many connections; each photo is asked for as soon as there is an answer to the one
before. With 8 connections the lanes never idle and the shadow has to drop; with 1 it works on the core that is left.
Before each turn the shadow is let finish what it has, which would fall on the other's time. Photos a second, by the clock.
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from beside import beside_arguments, champions, compare_ports
from binsight.counting import default_bundle
from binsight.imaging.drawn import drawn_photo
from binsight.records import CHAMPION, SHADOW
from ratio import report
from swaps import FIRST, SECOND, get, other_bundle, serving

PATIENCE_S = 120
PHOTOS = [drawn_photo(count, seed=count) for count in range(8)]


def shadowed() -> dict[str, float]:
    """Photos by what the shadow did with them, and those that the champion counted."""
    text = get(SECOND, "/metrics")[1]
    found = dict[str, float]()
    for role in (CHAMPION, SHADOW):
        lines = re.findall(rf'^binsight_role_photos_total{{.*role="{role}"}} (\S+)', text, re.MULTILINE)
        found[role] = sum(map(float, lines))
    (dropped,) = re.findall(r"^binsight_shadow_dropped_total (\S+)", text, re.MULTILINE)
    return found | {"dropped": float(dropped)}


def wait_until_quiet() -> None:
    """Until the shadow has nothing left."""
    end = time.monotonic() + PATIENCE_S
    while (found := shadowed())[SHADOW] + found["dropped"] != found[CHAMPION]:
        if time.monotonic() > end:
            sys.exit(f"the shadow must have counted or dropped every photo of the champion, but: {found}")
        time.sleep(0.1)


def main() -> None:
    given = beside_arguments(__doc__ or "").parse_args()
    batch = [PHOTOS[number % len(PHOTOS)] for number in range(given.photos)]

    def batches() -> Iterator[list[bytes]]:
        return repeat(batch)

    with tempfile.TemporaryDirectory(prefix="binsight-shadow.") as folder:
        other = other_bundle(Path(folder) / "two", name="two")
        with (
            champions({CHAMPION: default_bundle(), SHADOW: other}),
            serving(FIRST),
            serving(SECOND, "--shadow-share", "1"),
        ):
            while '"shadow"' not in get(SECOND, "/v1/models")[1]:
                time.sleep(0.1)
            comparison = compare_ports(
                SECOND, FIRST, given, names=("with a shadow", "without"), batches=batches, before=wait_until_quiet
            )
            print({name: int(number) for name, number in shadowed().items()}, file=sys.stderr)
    report(comparison, at_least=0.95, as_json=given.json)


if __name__ == "__main__":
    main()
