"""A small world in which one model is better than another: photos that show their count in their colours.

Red tells the count nearly, green roughly; blue is a pattern of each photo's own. A bundle is a network of five nodes that
reads the mean of its share of red and green.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from binsight.counting import Counter
from binsight.counting.bundle import GOLDEN_NAME, MODEL_NAME, BundleSpec, seal
from binsight.dataset.manifest import MANIFEST_NAME, SUMMARY_NAME, Dataset, LabelledPhoto, Split, write_manifest
from binsight.imaging import Preprocessing

NUM_COUNTS = 12
STEP, BASE = 12.0, 50.0
"""Grey values: of one item more, and of an empty bin."""


def photo_bytes(rng: np.random.Generator, count: int, *, side: int = 64) -> bytes:
    """A JPEG that shows its count in its colours."""
    pixels = np.empty((side, side, 3))
    pixels[..., 0] = BASE + STEP * count + rng.normal(0, 0.35 * STEP)
    pixels[..., 1] = BASE + STEP * count + rng.normal(0, 1.6 * STEP)
    pixels[..., 2] = np.kron(rng.integers(0, 2, (8, 8)) * 200, np.ones((side // 8, side // 8)))
    data = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=95)
    return data.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One photo to be written into a dataset."""

    photo: str
    data: bytes
    count: int
    split: Split
    group: str


def samples(split: Split, number: int, *, seed: int, prefix: str) -> list[Sample]:
    """So many photos of a split, two to a chain."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(number):
        count = int(rng.integers(0, 9))
        data = photo_bytes(rng, count)
        found.append(
            Sample(photo=f"{prefix}{i:04}", data=data, count=count, split=split, group=f"{prefix}{i // 2:04}")
        )
    return found


def write_samples(folder: Path, chosen: Sequence[Sample]) -> Dataset:
    """A dataset of them."""
    photos = []
    for one in chosen:
        (folder / one.split).mkdir(parents=True, exist_ok=True)
        (folder / one.split / f"{one.photo}.jpg").write_bytes(one.data)
        photos.append(
            LabelledPhoto(
                photo=one.photo,
                file=f"{one.split}/{one.photo}.jpg",
                count=one.count,
                split=one.split,
                group=one.group,
                sha256=sha256(one.data).hexdigest(),
                width=64,
                height=64,
            )
        )
    digest = write_manifest(folder / MANIFEST_NAME, tuple(photos))
    (folder / SUMMARY_NAME).write_text(json.dumps({"sha256": digest}))
    return Dataset.open(folder)


def reading_bundle(
    folder: Path, *, red: float, width: float = 1.0, lineage: Mapping[str, Any], note: str = ""
) -> Path:
    """A bundle that reads so much of the red and the rest of the green, and is unsure by `width` items."""
    (folder / "golden").mkdir(parents=True)
    scale = 255 * 0.5 / STEP  # the input is (grey / 255 - 0.5) / 0.5
    offset = (255 * 0.5 - BASE) / STEP
    constants = {
        "share": np.array([red, 1 - red, 0], np.float32).reshape(1, 3, 1, 1) * 3 * np.float32(scale),
        "axes": np.array([1, 2, 3]),
        "offset": np.array(offset, np.float32),
        "counts": np.arange(NUM_COUNTS, dtype=np.float32).reshape(1, -1),
        "last": np.array([1]),
        "sharp": np.array(-0.5 / width**2, np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["images", "share"], ["shares"]),
        helper.make_node("ReduceMean", ["shares", "axes"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "offset"], ["seen"]),
        helper.make_node("Unsqueeze", ["seen", "last"], ["seen_B1"]),
        helper.make_node("Sub", ["seen_B1", "counts"], ["off"]),
        helper.make_node("Mul", ["off", "off"], ["squares"]),
        helper.make_node("Mul", ["squares", "sharp"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "reading",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["B", 3, 32, 32])],
        [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["B", NUM_COUNTS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save_model(model, folder / MODEL_NAME)
    (folder / "card.md").write_text(f"# a test's bundle {note}\n")
    spec = BundleSpec(
        name=folder.name,
        num_counts=NUM_COUNTS,
        preprocessing=Preprocessing(size=32, fit="squash", mean=(0.5,) * 3, std=(0.5,) * 3),
        temperature=1,
        lineage=dict(lineage),
        figures={},
        files={},
    )
    golden = photo_bytes(np.random.default_rng(0), 3)
    (folder / "golden" / "three.jpg").write_bytes(golden)
    (folder / GOLDEN_NAME).write_text("[]")
    seal(folder, spec)
    probs = Counter.load(folder).probs([golden])[0].round(7).tolist()
    (folder / GOLDEN_NAME).write_text(json.dumps([{"photo": "three.jpg", "probs": probs}]))
    seal(folder, spec)
    return folder
