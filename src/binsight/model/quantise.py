"""Weights stored with fewer bits than they are computed with: a smaller bundle that counts as fast as a whole one.

```
int8 (V, …) · scale (V)  ─▶ DequantizeLinear ─▶ fp32 ─▶ Conv, Gemm, MatMul     a quarter of the size
fp16 (V, …)              ─▶ Cast             ─▶ fp32 ─▶ Conv, Gemm, MatMul     half of it
```
Only the weights: what flows between the layers stays fp32. `counting.open_session` has ONNX Runtime work out the fp32
weights once, when it opens the network; what then runs is the graph that a whole bundle runs.

Axes: V output channels, B photos, K counts.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from binsight.decision.scores import Floats, Ints, photo_scores
from binsight.errors import GateFailed

Weights = Literal["fp32", "fp16", "int8"]
WEIGHTS: tuple[Weights, ...] = get_args(Weights)

MIN_VALUES = 1024
"""Smaller weights stay whole. They stand mostly in the first layers, whose errors all others inherit, and take next to no
room: narrowing them would spare an EfficientNet-Lite0 6 KB of 3.9 MB."""

MAX_EXACT_LOST = 0.003
"""Share of the `val` photos: exact answers must fall by less, each network at its own temperature."""

MAX_NLL_LOST = 0.005
"""Nats a photo; ten times what an EfficientNet-Lite0 was measured to lose in int8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLoss:
    """What the stored weights lose against the whole ones, on the same photos; below 0 where they happen to gain.

    `exact_lost` and `answers_changed` are shares of the photos, `nll_lost` is in nats a photo.
    """

    weights: Weights
    num_photos: int
    exact_lost: float
    nll_lost: float
    answers_changed: float

    def as_json(self) -> dict[str, Any]:
        """The fields as they stand in `bundle.json`, under `figures.stored`."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"exact answers {100 * (0 - self.exact_lost):+.2f} points, log score {self.nll_lost:+.4f} nats, "
            f"{self.answers_changed:.1%} of the answers changed"
        )


def storage_loss(weights: Weights, whole_BK: Floats, stored_BK: Floats, counts_B: Ints) -> StorageLoss:
    """Compare the tempered probabilities (B, K) of the whole network and of the stored one with the counts (B,)."""
    whole, stored = photo_scores(whole_BK, counts_B), photo_scores(stored_BK, counts_B)
    return StorageLoss(
        weights=weights,
        num_photos=len(whole),
        exact_lost=float(whole.exact.mean() - stored.exact.mean()),
        nll_lost=float(stored.nll.mean() - whole.nll.mean()),
        answers_changed=float((whole.answer != stored.answer).mean()),
    )


def check_storage_loss(loss: StorageLoss) -> None:
    """Raise `GateFailed` unless both losses stay below `MAX_EXACT_LOST` and `MAX_NLL_LOST`."""
    if loss.exact_lost < MAX_EXACT_LOST and loss.nll_lost < MAX_NLL_LOST:
        return
    wider = " or ".join(f"--weights {name}" for name in reversed(WEIGHTS[: WEIGHTS.index(loss.weights)]))
    raise GateFailed(
        f"weights stored as {loss.weights} must lose less than {100 * MAX_EXACT_LOST:g} points of exact answers and "
        f"{MAX_NLL_LOST:g} nats of the log score, but on {loss.num_photos} val photos they change: {loss}; nothing was "
        f"exported, take {wider}"
    )


def store_weights(path: Path, weights: Weights) -> None:
    """Rewrite the ONNX file at `path`, whose weights are fp32, so that it holds its larger weights as `weights`.

    Inputs and outputs stay what they are.
    """
    if weights == "fp32":
        return
    model = onnx.load(path)
    graph = model.graph
    axes = _channel_axes(list(graph.node))
    kept: list[TensorProto] = []
    widen: list[NodeProto] = []
    for tensor in graph.initializer:
        axis = axes.get(tensor.name)
        is_small = len(tensor.dims) < 2 or np.prod(tensor.dims) < MIN_VALUES
        if axis is None or is_small or tensor.data_type != TensorProto.FLOAT:
            kept.append(tensor)
        elif weights == "fp16":
            narrow = numpy_helper.to_array(tensor).astype(np.float16)
            kept.append(numpy_helper.from_array(narrow, f"{tensor.name}.fp16"))
            widen.append(helper.make_node("Cast", [kept[-1].name], [tensor.name], to=TensorProto.FLOAT))
        else:
            values, scales = quantise(numpy_helper.to_array(tensor), axis)
            kept += [
                numpy_helper.from_array(values, f"{tensor.name}.int8"),
                numpy_helper.from_array(scales, f"{tensor.name}.scale"),
            ]
            given = [kept[-2].name, kept[-1].name]
            widen.append(helper.make_node("DequantizeLinear", given, [tensor.name], axis=axis))
    nodes = [*widen, *graph.node]  # what a node takes must stand before it
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.save_model(model, path)


def quantise(weight: npt.NDArray[np.float32], axis: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """The nearest int8 values, shaped as `weight`, and the scale (V,) of each channel along `axis`.

    Symmetric, -127 … 127: zero stays zero, and a channel's largest weight stays itself.
    """
    others = tuple(other for other in range(weight.ndim) if other != axis)
    scales_V = np.abs(weight).max(axis=others) / np.float32(127)
    scales_V[scales_V == 0] = 1  # a channel of zeros, whatever its scale
    values = np.rint(weight / np.expand_dims(scales_V, others))
    return np.clip(values, -127, 127).astype(np.int8), scales_V


def _channel_axes(nodes: list[NodeProto]) -> dict[str, int]:
    """The axis of the output channels of every tensor that serves as a weight, and as nothing else."""
    axes: dict[str, int | None] = {}
    for node in nodes:
        for place, name in enumerate(node.input):
            axis = _channel_axis(node) if place == 1 else None
            axes[name] = axis if axes.get(name, axis) == axis else None
    return {name: axis for name, axis in axes.items() if axis is not None}


def _channel_axis(node: NodeProto) -> int | None:
    """Where the weight of a node, its second input, has the output channels; None for other operators."""
    if node.op_type == "Gemm":
        return 0 if any(given.name == "transB" and given.i for given in node.attribute) else 1
    return {"Conv": 0, "MatMul": 1}.get(node.op_type)
