"""Throughput of `binsight serve` with a shadow that counts beside it, against the same without.

    python bench/shadow.py [--connections 8] [--photos 100]

Two processes, asked in turns over so many connections; each photo is asked for as soon as there is an answer to the one
before. With 8 connections the lanes never idle and the shadow has to drop; with 1 it works on the core that is left.
Before each turn the shadow is let finish what it has, which would fall on the other's time. Photos a second, by the clock.
"""

import os
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from binsight.counting import default_bundle
from binsight.counting.registry import Registry
from binsight.imaging.drawn import drawn_photo
from binsight.records import CHAMPION, SHADOW
from binsight.settings import settings
from ratio import bench_arguments, compare, report
from swaps import FIRST, SECOND, get, other_bundle, serving

PHOTOS = [drawn_photo(count, seed=count) for count in range(8)]


def photos_a_second(port: int, num_photos: int, num_connections: int) -> float:
    """Every photo asked for once, all of them counted."""

    def ask(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("POST", "/invocations", PHOTOS[number % len(PHOTOS)], {"Content-Type": "image/jpeg"})
        assert connection.getresponse().status == 200
        connection.close()

    while not is_quiet():
        time.sleep(0.1)
    started = time.perf_counter()
    with ThreadPoolExecutor(num_connections) as pool:
        list(pool.map(ask, range(num_photos)))
    return num_photos / (time.perf_counter() - started)


def shadowed() -> dict[str, float]:
    """Photos by what the shadow did with them, and those that the champion counted."""
    text = get(SECOND, "/metrics")[1]
    found = dict[str, float]()
    for role in (CHAMPION, SHADOW):
        lines = re.findall(rf'^binsight_role_photos_total{{.*role="{role}"}} (\S+)', text, re.MULTILINE)
        found[role] = sum(map(float, lines))
    (dropped,) = re.findall(r"^binsight_shadow_dropped_total (\S+)", text, re.MULTILINE)
    return found | {"dropped": float(dropped)}


def is_quiet() -> bool:
    """Whether the shadow has nothing left."""
    found = shadowed()
    return found[SHADOW] + found["dropped"] == found[CHAMPION]


if __name__ == "__main__":
    parser = bench_arguments(__doc__, num_runs=5)
    parser.add_argument("--photos", type=int, default=100, help="photos in a run (default 100)")
    parser.add_argument("--connections", type=int, default=8, help="requests in flight (default 8)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="binsight-shadow.") as scratch:
        for name, place in (
            ("LEDGER", "sqlite:///{}/ledger.db"),
            ("BUNDLES", "{}/bundles"),
            ("CACHE_DIR", "{}/cache"),
        ):
            os.environ[f"BINSIGHT_{name}"] = place.format(scratch)
        settings.cache_clear()
        registry = Registry.open()
        for alias, folder in (
            (CHAMPION, default_bundle()),
            (SHADOW, other_bundle(Path(scratch) / "two", name="two")),
        ):
            version = registry.register(folder, by="bench").version
            registry.point(alias, version, by="bench", reason="", seen=None)
        registry.close()
        with serving(FIRST), serving(SECOND, "--shadow-share", "1"):
            while '"shadow"' not in get(SECOND, "/v1/models")[1]:
                time.sleep(0.1)
            comparison = compare(
                lambda: photos_a_second(SECOND, arguments.photos, arguments.connections),
                lambda: photos_a_second(FIRST, arguments.photos, arguments.connections),
                names=("with a shadow", "without"),
                unit="photos/s",
                num_runs=arguments.runs,
            )
            print({name: int(number) for name, number in shadowed().items()}, file=sys.stderr)
    report(comparison, at_least=0.95, as_json=arguments.json)
