"""Photos a second of a bundle's network by each provider of the installed ONNX Runtime, and how far its answers are off.

    python bench/providers.py [--bundle BUNDLE] [--photos 64] [--runs 5]

In turns, one photo at a time, on one thread and on two. `cpu_ms` is the processor's time for a photo, which other work
on the machine changes less than the time by the clock. `off` is the largest difference of a probability from the
golden photos' recorded answers; beyond 0.001 no provider is taken. Where the package `openvino` itself is
installed it is measured too, as it is and told to compute in float32. An environment may hold only one of onnxruntime,
onnxruntime-gpu and onnxruntime-openvino; to compare, run this in one environment for each.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from binsight.counting import default_bundle
from binsight.counting.bundle import Bundle
from binsight.counting.counter import temper_log_probs
from binsight.counting.providers import NAMES, open_session
from binsight.imaging import images_BCHW, pixels_HWC

Run = Callable[[Any], Any]


def runs_of(model: Path, threads: int) -> Iterator[tuple[str, Run]]:
    """Every way to run the network that is there, by name."""
    for provider, name in NAMES.items():
        if name not in onnxruntime.get_available_providers():
            continue
        session = open_session(model, threads=threads, provider=provider)
        yield provider, lambda images, session=session: session.run(None, {"images": images})[0]
    try:
        import openvino
    except ImportError:
        return
    for name, hints in {
        "openvino package": {},
        "openvino package, f32": {"INFERENCE_PRECISION_HINT": "f32"},
    }.items():
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, **hints}
        compiled = openvino.Core().compile_model(model, "CPU", options)
        request = compiled.create_infer_request()
        yield name, lambda images, request=request: request.infer({"images": images})[request.model_outputs[0]]


def seconds_of(run: Run, photos: list[Any]) -> tuple[float, float]:
    """By the clock and of the processor, for one photo."""
    started, spent = time.perf_counter(), time.process_time()
    for images in photos:
        run(images)
    return (time.perf_counter() - started) / len(photos), (time.process_time() - spent) / len(photos)


def measure(folder: Path, num_photos: int, num_runs: int) -> Iterator[dict[str, Any]]:
    bundle = Bundle.open(folder)
    spec, golden = bundle.spec, bundle.golden()
    images = [
        images_BCHW(pixels_HWC(data, spec.preprocessing)[np.newaxis], spec.preprocessing) for _, data, _ in golden
    ]
    photos = [images[number % len(images)] for number in range(num_photos)]
    for threads in (1, 2):
        runs = dict(runs_of(bundle.model_path, threads))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for number in range(num_runs + 1):
            for name, run in runs.items():
                taken = seconds_of(run, photos)
                if number:  # the first warms up
                    times[name].append(taken)
        for name, run in runs.items():
            probs = [temper_log_probs(run(one), spec.temperature)[0] for one in images]
            wall, cpu = (statistics.median(column) for column in zip(*times[name], strict=True))
            yield {
                "provider": name,
                "threads": threads,
                "photos_s": round(1 / wall, 1),
                "cpu_ms": round(1000 * cpu, 2),
                "off": float(
                    max(np.abs(p - answer).max() for p, (_, _, answer) in zip(probs, golden, strict=True))
                ),
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    parser.add_argument("--photos", type=int, default=64, help="photos in a run (default 64)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default 5)")
    arguments = parser.parse_args()
    print(f"ONNX Runtime {onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}")
    for line in measure(arguments.bundle, arguments.photos, arguments.runs):
        print(json.dumps(line), flush=True)
