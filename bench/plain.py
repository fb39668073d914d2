"""A plain fp32 export of a bundle's network: the weights as float32 in the file, asked about at the size of its training.

    python -m bench.plain FOLDER [--bundle BUNDLE] [--size 224]

The same network as the bundle's: what ONNX Runtime works out when it opens the stored weights stands in the file, and
nothing in it depends on the size, which the pooling at its end leaves free. FOLDER is a bundle without golden photos.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from binsight.counting import default_bundle
from binsight.counting.bundle import MODEL_NAME, Bundle, seal

TRAINED_SIZE = 224
STRIDE = 32
"""The network halves its input five times. At a size that it does not divide, padding would have to be another."""


def plain_bundle(source: Path, folder: Path, *, size: int = TRAINED_SIZE) -> Path:
    """Write the plain bundle at `folder`, unless it is there already."""
    if not folder.exists():
        assert size % STRIDE == 0, f"the size must be a multiple of {STRIDE}, but is {size}"
        bundle = Bundle.open(source)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".plain.", dir=folder.parent) as scratch:
            part = Path(scratch) / "bundle"
            part.mkdir()
            onnx.save_model(widened(onnx.load(bundle.model_path), size), part / MODEL_NAME)
            preprocessing = bundle.spec.preprocessing.model_copy(update={"size": size})
            seal(part, bundle.spec.model_copy(update={"name": "plain", "preprocessing": preprocessing}))
            part.replace(folder)
    return folder


def widened(model: ModelProto, size: int) -> ModelProto:
    """The model with its weights in float32 and its input at (B, 3, size, size)."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    narrow = [node for node in graph.node if is_of(node, stored)]
    others = [node for node in graph.node if not is_of(node, stored)]
    used = {name for node in narrow for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name not in used]
    wide = [whole(node, stored) for node in narrow]
    del graph.initializer[:], graph.node[:], graph.value_info[:]  # the last are shapes at the size before
    graph.initializer.extend([*kept, *wide])
    graph.node.extend(others)
    for place in (2, 3):
        graph.input[0].type.tensor_type.shape.dim[place].dim_value = size
    onnx.checker.check_model(model, full_check=True)
    return model


def is_of(node: NodeProto, stored: dict[str, TensorProto]) -> bool:
    """Whether a node does nothing but bring a stored weight to float32."""
    return node.op_type in ("DequantizeLinear", "Cast") and node.input[0] in stored


def whole(node: NodeProto, stored: dict[str, TensorProto]) -> TensorProto:
    """The float32 weight that such a node gives."""
    values = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
    if node.op_type == "DequantizeLinear":
        axis = next(helper.get_attribute_value(a) for a in node.attribute if a.name == "axis")
        scales_V = numpy_helper.to_array(stored[node.input[1]])
        values *= np.expand_dims(scales_V, [other for other in range(values.ndim) if other != axis])
    return numpy_helper.from_array(values, node.output[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the plain bundle goes")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    parser.add_argument("--size", type=int, default=TRAINED_SIZE, help=f"side in pixels (default {TRAINED_SIZE})")
    given = parser.parse_args()
    print(plain_bundle(given.bundle, given.folder, size=given.size))


if __name__ == "__main__":
    main()
