"""Bundles that pass every check before they serve, and turn out bad in service: one fails on bright photos, one is slow.

Both are the default one with some operators more, whose result is multiplied by zero and added to the network's: what they
answer is what it answers.
"""

import io
import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import ImageEnhance

from binsight.counting import Counter, default_bundle
from binsight.imaging import decode_photo, images_BCHW, pixels_HWC
from binsight.imaging.drawn import drawn_photo

SIDE = 1200
"""Of the matrices that the slow one multiplies: a tenth of a second of one core for each product."""
PRODUCTS = 3


def bright_photo() -> bytes:
    """A photo that is brighter than every golden one."""
    image = ImageEnhance.Brightness(decode_photo(drawn_photo(3, seed=99))).enhance(2.5)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def failing_bundle(folder: Path) -> Path:
    """Fails in its network on photos as bright as `bright_photo`."""
    bundle = Counter.load(default_bundle()).bundle
    golden = [path.read_bytes() for path in (bundle.folder / "golden").glob("*.jpg")]

    def mean(photo: bytes) -> float:
        preprocessing = bundle.spec.preprocessing
        return float(images_BCHW(np.stack([pixels_HWC(photo, preprocessing)]), preprocessing).mean())

    brightest, bright = max(map(mean, golden)), mean(bright_photo())
    assert bright > brightest
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["bad_mean"], keepdims=0),
        helper.make_node("Greater", ["bad_mean", "bad_most"], ["bad_is_bright"]),
        helper.make_node("Cast", ["bad_is_bright"], ["bad_place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["bad_one", "bad_place"], ["bad_value"]),  # of a single value: place 1 is none
    ]
    constants = {"bad_most": np.float32((brightest + bright) / 2), "bad_one": np.ones(1, np.float32)}
    return _with(folder, "failing", nodes, constants)


def slow_bundle(folder: Path) -> Path:
    """Multiplies large matrices beside its network."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["bad_mean"], keepdims=0),
        helper.make_node("Mul", ["bad_matrix", "bad_mean"], ["bad_0"]),
        *(
            helper.make_node("MatMul", [f"bad_{number}", "bad_matrix"], [f"bad_{number + 1}"])
            for number in range(PRODUCTS)
        ),
        helper.make_node("ReduceMean", [f"bad_{PRODUCTS}"], ["bad_value"], keepdims=0),
    ]
    return _with(folder, "slow", nodes, {"bad_matrix": np.full((SIDE, SIDE), 1 / SIDE, np.float32)})


def _with(folder: Path, name: str, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Path:
    shutil.copytree(default_bundle(), folder)
    path = folder / "model.onnx"
    model = onnx.load(path)
    (output,) = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    last.output[list(last.output).index(output.name)] = "bad_before"
    model.graph.node.extend(
        [
            *nodes,
            helper.make_node("Mul", ["bad_value", "bad_zero"], ["bad_nothing"]),
            helper.make_node("Add", ["bad_before", "bad_nothing"], [output.name]),
        ]
    )
    for key, value in {**constants, "bad_zero": np.float32(0)}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), key))
    onnx.save(model, path)
    spec = json.loads((folder / "bundle.json").read_text())
    spec["name"], spec["files"]["model.onnx"] = name, sha256(path.read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(spec))
    return folder
