"""How long `binsight serve` takes from its start to /ping's 200, against a process that loads the ONNX file alone.

    python bench/start.py [--cpu | --first-runs]

The other process imports ONNX Runtime, opens the network as the service does, on one thread, and ends. With --cpu both
are measured in seconds of the processor instead of by the clock: other work on the machine changes those less, and they
leave out what the service gains by working on both cores.

With --first-runs: what the network's first run at each batch size takes, in milliseconds of the processor, and the
median of the nine after it. It says which sizes a service has to run before it is ready.
"""

import os
import signal
import statistics
import sys
import time
from urllib.request import urlopen

import numpy as np

from binsight.counting import default_bundle
from binsight.counting.providers import open_session
from ratio import bench_arguments, compare, report

PORT = 18090
LOAD = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.disable_quant_qdq", "1")
onnxruntime.InferenceSession({model!r}, options, providers=["CPUExecutionProvider"])
"""


def started(*arguments: str) -> int:
    """A new interpreter's process id."""
    command = [sys.executable, *arguments]
    quiet = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=quiet)


def processor_seconds(process: int) -> float:
    """What a process has used, once it has ended."""
    _, status, usage = os.wait4(process, 0)
    assert status in (0, signal.SIGKILL), status
    return usage.ru_utime + usage.ru_stime


def serve(*, by_processor: bool) -> float:
    begun = time.perf_counter()
    process = started("-m", "binsight", "serve", "--port", str(PORT))
    while not is_ready():
        time.sleep(0.01)
    by_clock = time.perf_counter() - begun
    os.kill(process, signal.SIGKILL)
    used = processor_seconds(process)
    return used if by_processor else by_clock


def load(*, by_processor: bool) -> float:
    begun = time.perf_counter()
    used = processor_seconds(started("-c", LOAD.format(model=str(default_bundle() / "model.onnx"))))
    return used if by_processor else time.perf_counter() - begun


def is_ready() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/ping") as response:
            return bool(response.status == 200)
    except OSError:
        return False


def first_runs() -> None:
    """A line for each batch size, in a process that has run the largest once."""
    session = open_session(default_bundle() / "model.onnx", threads=1)
    images = np.zeros((8, 3, 192, 192), np.float32)

    def milliseconds(size: int) -> float:
        begun = time.thread_time()
        session.run(None, {"images": images[:size]})
        return 1000 * (time.thread_time() - begun)

    milliseconds(8)
    for size in range(1, 9):
        first, *others = [milliseconds(size) for _ in range(10)]
        print(f"{size} photos: first {first:.1f} ms, then {statistics.median(others):.1f} ms")


if __name__ == "__main__":
    parser = bench_arguments(__doc__, num_runs=10)
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor instead of the clock's")
    parser.add_argument(
        "--first-runs", action="store_true", help="measure the network's first run at each batch size"
    )
    arguments = parser.parse_args()
    if arguments.first_runs:
        first_runs()
        sys.exit()
    comparison = compare(
        lambda: serve(by_processor=arguments.cpu),
        lambda: load(by_processor=arguments.cpu),
        names=("binsight serve", "loading the ONNX file"),
        unit="s of the processor" if arguments.cpu else "s",
        num_runs=arguments.runs,
    )
    report(comparison, at_most=2.0, as_json=arguments.json)
