"""Batch counting by Ray Data beside Ray Core, which is what `binsight count --on ray` uses: the same photos, two workers.

    python -m bench.ray_data FOLDER [--photos 768] [--runs 3]

Ray Data reads the files, counts them in a pool of two actors, each of which loads the bundle once, 64 photos a batch, and
writes Parquet. Actors begin anew with every run, so that its time is given whole, and from when both have their model.
Ours has warm workers, a task a shard of 64. A new cluster for each run of either; in turns.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.batch import on_ray, repeated

from binsight.counting import Counter, default_bundle
from binsight.engines.ray.cluster import cluster

WORKERS, BATCH = 2, 64


class CountBatches:
    """An actor of Ray Data: loads the bundle once, and says when it was ready."""

    def __init__(self) -> None:
        self.counter = Counter.load(default_bundle(), threads=1)
        self.ready = time.time()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        probs_BK = self.counter.probs([bytes(data) for data in batch["bytes"]])
        ready = [self.ready] * len(probs_BK)
        return {"photo": batch["path"], "count": probs_BK.argmax(1), "probs": list(probs_BK), "ready": ready}


def by_ray_data(photos: Path) -> tuple[float, float]:
    """Seconds for all photos: from the start, and from when the second actor had its model."""
    with tempfile.TemporaryDirectory() as name, cluster(None, workers=WORKERS) as ray:
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        # A worker reads and counts at once where there are two cores, as ours do.
        began = time.time()
        blocks = (
            len(list(photos.rglob("*.jpg"))) // BATCH
        )  # by itself it makes one of so few bytes, and one actor works
        read = ray.data.read_binary_files(
            str(photos), include_paths=True, override_num_blocks=blocks, ray_remote_args={"num_cpus": 0.1}
        )
        counted = read.map_batches(CountBatches, batch_size=BATCH, concurrency=WORKERS, num_cpus=0.8)
        counted.write_parquet(f"{name}/out", ray_remote_args={"num_cpus": 0.1})
        ended = time.time()
        rows = ray.data.read_parquet(f"{name}/out").to_pandas()
    assert len(rows) == len(list(photos.rglob("*.jpg")))
    return ended - began, ended - rows["ready"].max()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=768)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.rglob("*.jpg"))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        photos = repeated(paths, arguments.photos, Path(name) / "photos")
        for _ in range(arguments.runs):
            core = on_ray(photos, workers=WORKERS, shard=BATCH).seconds
            whole, ready = by_ray_data(photos)
            rows.append({"core_s": core, "data_whole_s": whole, "data_ready_s": ready})
            print({key: round(value, 1) for key, value in rows[-1].items()}, file=sys.stderr)
    ratios = {key: [row["core_s"] / row[key] for row in rows] for key in ("data_whole_s", "data_ready_s")}
    for key, found in ratios.items():
        print(json.dumps({"ray_data_of_ray_core": key, "ratio": statistics.median(found), "single": found}))


if __name__ == "__main__":
    main()
