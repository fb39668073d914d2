"""Photo to estimate on one core: our counter against the network that Binsight's predecessor served.

python bench/original.py [FOLDER] [--bundle BUNDLE] [--photos 20]

From a JPEG's bytes to the probabilities, one photo at a time, both in ONNX Runtime with one thread. Ours is `Counter`
with all that it does for a photo: checks, quality, and two passes where the bundle averages mirror images. The other is a
ResNet34 of five counts, prepared as it was served: the whole JPEG by Pillow, stretched to 224 × 224, scaled, normalised.
It is untrained, which takes the same time. Without FOLDER the photos are drawn, 500 × 375 pixels. Time is the process's
own: on one core that is the clock's, and what else the machine does weighs less.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from binsight.counting import Counter, default_bundle
from binsight.counting.providers import open_session
from binsight.imaging.drawn import drawn_photo
from binsight.model._torchvision import import_torchvision
from binsight.model.export import export_onnx
from ratio import Comparison, bench_arguments, compare, report

FLOOR, AIM = 3.0, 8.0
SIZE = 224
MEAN, STD = (np.array(values, dtype=np.float32) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

Answer = Callable[[bytes], tuple[float, ...]]


def original() -> Answer:
    """The predecessor: its network, exported as ours are, and its way from bytes to pixels."""
    import_torchvision()
    from torchvision.models import resnet34

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet34.onnx"
        export_onnx(resnet34(num_classes=5).eval(), path, size=SIZE)
        session = open_session(path, threads=1)

    def answer(data: bytes) -> tuple[float, ...]:
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        scaled_HWC = np.asarray(image, dtype=np.float32) / 255
        images_BCHW = np.ascontiguousarray(((scaled_HWC - MEAN) / STD).transpose(2, 0, 1)[None])
        ((logits_K,),) = session.run(None, {"images": images_BCHW})
        weights_K = np.exp(logits_K - logits_K.max())
        return tuple((weights_K / weights_K.sum()).tolist())

    return answer


def ours(bundle: Path) -> Answer:
    counter = Counter.load(bundle, threads=1)

    def answer(data: bytes) -> tuple[float, ...]:
        (estimate,) = counter.count([("photo", data)])
        return estimate.probs

    return answer


def measure(photos: list[bytes], bundle: Path, num_runs: int) -> Comparison:
    def photos_a_second(answer: Answer) -> Callable[[], float]:
        def run() -> float:
            start = time.process_time()
            for photo in photos:
                answer(photo)
            return len(photos) / (time.process_time() - start)

        return run

    return compare(
        photos_a_second(ours(bundle)),
        photos_a_second(original()),
        names=("Counter", "ResNet34"),
        unit="photos/s",
        num_runs=num_runs,
    )


def parse() -> argparse.Namespace:
    parser = bench_arguments(__doc__, num_runs=10)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of photos (default: drawn ones)")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="bundle (default: the shipped one)")
    parser.add_argument("--photos", type=int, default=20, help="how many photos a run counts (default 20)")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if arguments.folder:
        paths = sorted(arguments.folder.rglob("*.jpg"))[: arguments.photos]
        jpegs = [path.read_bytes() for path in paths]
    else:
        jpegs = [drawn_photo(seed % 9, seed=seed) for seed in range(arguments.photos)]
    report(measure(jpegs, arguments.bundle, arguments.runs), at_least=FLOOR, aim=AIM, as_json=arguments.json)
