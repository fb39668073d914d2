"""The service on Ray Serve: what Ray costs beside `binsight serve`, and what a second replica gives.

    python -m bench.serve_on_ray FOLDER                     one replica / `binsight serve --lanes 1`
    python -m bench.serve_on_ray FOLDER --haproxy           the same behind Ray's HAProxy instead of its proxy in Python
    python -m bench.serve_on_ray FOLDER --replicas 2        two replicas of one lane / one (aim 1.7)

Real processes on loopback, both there for the whole run and warm, loaded in turns from a third (bench/load.py), each
connection sending its next photo once it has its answer. Two connections a lane keep every lane at work, and nothing is
refused (BINSIGHT_QUEUE_WAIT_S=60). Photos a second; median latencies and the processor time of a
photo, over all processes of a side, are printed beside: on a machine that others use, the rate says how the system shares
its cores among the processes, and only the processor time what a photo costs. FOLDER has JPEGs.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from bench.ratio import bench_arguments, compare, report
from tests.batch_support import processes_below

AIM_TWO = 1.7
START_S = 180


class Side:
    """A service at a port, and the latencies that were seen of it."""

    def __init__(self, process: int, port: int, folder: Path, *, connections: int, seconds: float) -> None:
        self.url, self._folder = f"http://127.0.0.1:{port}", folder
        self._connections, self._seconds = connections, seconds
        self._process = process
        self.p50_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def rate(self) -> float:
        """Photos a second."""
        command = [sys.executable, "-m", "bench.load", self.url, str(self._folder), "--json"]
        command += ["--connections", str(self._connections), "--seconds", str(self._seconds)]
        before = cpu_s(self._process)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        (row,) = json.loads(done.stdout)["rows"]
        assert row["status"] == 200, row
        self.p50_ms.append(row["p50_ms"])
        self.cpu_ms.append(1000 * (cpu_s(self._process) - before) / row["num"])
        return float(row["per_second"])


@contextmanager
def serving(port: int, *options: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """`binsight serve`, ready: its process."""
    command = [sys.executable, "-m", "binsight", "serve", "--port", str(port), "--no-keys", "--only", "counting"]
    command += options
    env = os.environ | {"BINSIGHT_QUEUE_WAIT_S": "60"} | (env or {})
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            end = time.monotonic() + START_S
            while not answers(port):
                assert process.poll() is None, "the service does not start"
                assert time.monotonic() < end, "the service does not get ready"
                time.sleep(0.2)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(90)


def cpu_s(process: int) -> float:
    """Processor time of a process and all below it that are there."""
    ticks = 0
    for pid in [process, *processes_below(process, "")]:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def parse() -> argparse.Namespace:
    parser = bench_arguments(__doc__, num_runs=5)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--replicas", type=int, choices=(1, 2), default=1, help="how many on our side (default 1)")
    parser.add_argument("--haproxy", action="store_true", help="Ray's HAProxy in front")
    parser.add_argument("--seconds", type=float, default=10, help="of each run (default 10)")
    parser.add_argument("--connections", type=int, help="default: two a replica, on both sides as many as ours")
    return parser.parse_args()


def main() -> None:
    given = parse()
    env = {"RAY_SERVE_ENABLE_HA_PROXY": "1"} if given.haproxy else {}
    count = str(given.replicas)
    ours = ["--on", "ray", "--lanes", "1", "--min-replicas", count, "--max-replicas", count]
    other = ["--lanes", "1"]
    names = (f"{count} on Ray{' behind HAProxy' if given.haproxy else ''}", "binsight serve")
    if given.replicas > 1:
        other, names = ["--on", "ray", *other, "--max-replicas", "1"], (names[0], "1 on Ray")
    connections = given.connections or 2 * given.replicas
    loads = {"connections": connections, "seconds": given.seconds}
    behind = env if given.replicas > 1 else {}
    with serving(21080, *ours, env=env) as first, serving(21081, *other, env=behind) as second:
        sides = [Side(first, 21080, given.folder, **loads), Side(second, 21081, given.folder, **loads)]
        comparison = compare(sides[0].rate, sides[1].rate, names=names, unit="photos/s", num_runs=given.runs)
        before = [cpu_s(side) for side in (first, second)]
        time.sleep(given.seconds)
        idle = [(cpu_s(side) - was) / given.seconds for side, was in zip((first, second), before, strict=True)]
    p50 = [statistics.median(side.p50_ms) for side in sides]
    cpu = [statistics.median(side.cpu_ms) for side in sides]
    print(
        f"median latency {p50[0]:.1f} and {p50[1]:.1f} ms; processor time of a photo {cpu[0]:.1f} and {cpu[1]:.1f} ms, "
        f"ratio {cpu[0] / cpu[1]:.3f}; processors kept busy by nothing {idle[0]:.1%} and {idle[1]:.1%} of one; "
        f"{connections} connections",
        file=sys.stderr,
    )
    report(comparison, aim=AIM_TWO if given.replicas > 1 else None, as_json=given.json)


if __name__ == "__main__":
    main()
