"""Weights stored in fewer bits: a smaller bundle, the same speed, nearly the same answers, or none."""

import json
import shutil
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from tests.dataset_support import real_dataset
from torch import nn

from binsight.cli import cli
from binsight.cli.export import export as export_command
from binsight.counting import Bundle, Counter
from binsight.counting.bundle import MODEL_NAME, SPEC_NAME
from binsight.counting.providers import open_session
from binsight.dataset.manifest import Dataset
from binsight.decision.calibrate import fit_temperature, temper
from binsight.decision.scores import score
from binsight.errors import GateFailed
from binsight.imaging import images_BCHW
from binsight.model import export as export_module
from binsight.model import quantise as quantise_module
from binsight.model.export import certify_val, export, export_onnx
from binsight.model.pixels import cached_pixels
from binsight.model.predictor import certificate_of, predictor
from binsight.model.quantise import (
    WEIGHTS,
    StorageLoss,
    check_storage_loss,
    quantise,
    storage_loss,
    store_weights,
)
from binsight.model.recipe import load_recipe
from binsight.model.run import Run
from binsight.model.train import train
from binsight.settings import settings

RECIPE = """
name = "tiny"
[data]
dataset = "{dataset}"
[data.preprocessing]
size = 64
fit = "letterbox"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[model]
backbone = "timm:tf_efficientnet_lite0"
weights = "package:efficientnet-lite0"
head = "classes"
flip_average = true
[training]
epochs = 1
batch_size = 16
precision = "fp32"
ema_decay = 0
"""


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 16, "val": 60})


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BINSIGHT_CACHE_DIR", str(folder / "cache"))
        settings.cache_clear()
        (folder / "tiny.toml").write_text(RECIPE.format(dataset=dataset.folder))
        trained = train(load_recipe(folder / "tiny.toml"), folder / "run")
        teach_head(trained, dataset)
        yield trained
    settings.cache_clear()


def teach_head(run: Run, dataset: Dataset) -> None:
    """Fit the head to the val photos by ridge regression: a single epoch learns nothing that storage could lose."""
    photos, preprocessing = dataset.select("val"), run.recipe.data.preprocessing
    network = run.load_network().network
    with torch.inference_mode():
        images = torch.from_numpy(images_BCHW(cached_pixels(dataset, photos, preprocessing), preprocessing))
        features_BF = network.backbone(images).double()
        wanted_BK = 20 * F.one_hot(torch.tensor([min(photo.count, 20) for photo in photos]), 21).double()
        centred_BF = features_BF - features_BF.mean(0)
        gram_BB = centred_BF @ centred_BF.T
        gram_BB += 0.3 * gram_BB.diagonal().mean() * torch.eye(len(photos))
        weight_KF = (wanted_BK - wanted_BK.mean(0)).T @ torch.linalg.solve(gram_BB, centred_BF)
        network.head.weight.copy_(weight_KF)
        network.head.bias.copy_(wanted_BK.mean(0) - weight_KF @ features_BF.mean(0))
    save_file(network.state_dict(), run.folder / "best.safetensors")


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(run, tmp_path_factory.mktemp("bundles") / "whole")


@pytest.fixture(scope="module")
def written(run: Run, whole: Bundle) -> Callable[..., None]:
    """Takes the place of `export_onnx`, which takes long, once the run's network was written for the whole bundle."""

    def copy_onnx(network: nn.Module, path: Path, *, size: int) -> None:
        images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            assert torch.equal(network(images), run.load_network()(images))
        shutil.copyfile(whole.model_path, path)

    return copy_onnx


@pytest.fixture(scope="module")
def said(run: Run, written: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command says of the small bundle that it made."""
    args = [
        "export",
        str(run.folder),
        str(tmp_path_factory.mktemp("bundles") / "small"),
        "--weights",
        "int8",
        "--json",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise_module, "MAX_EXACT_LOST", 0.05)  # of sixty photos a single answer is 1.7 points
        patch.setattr(quantise_module, "MAX_NLL_LOST", 0.05)
        patch.setattr(export_module, "export_onnx", written)
        result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.output
    line: dict[str, Any] = json.loads(result.stdout)
    return line


@pytest.fixture(scope="module")
def small(said: dict[str, Any]) -> Bundle:
    return Bundle.open(Path(said["bundle"]))


def test_int8_weights_take_less_than_a_third_and_answer_nearly_alike(
    whole: Bundle, small: Bundle, dataset: Dataset
) -> None:
    assert small.model_path.stat().st_size < whole.model_path.stat().st_size / 3
    photos = [dataset.read_bytes(photo) for photo in dataset.select("val")]
    whole_BK, small_BK = (Counter.load(bundle.folder).probs(photos) for bundle in (whole, small))
    assert whole.spec.figures["val"]["exact"] > 0.5  # there is something to lose
    assert 0 < np.abs(whole_BK - small_BK).mean() < 0.005
    assert (whole_BK.argmax(axis=1) == small_BK.argmax(axis=1)).mean() > 0.9


def test_fp16_weights_take_little_more_than_half_and_answer_alike(whole: Bundle, tmp_path: Path) -> None:
    path = Path(shutil.copy(whole.model_path, tmp_path))
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    size, answers = path.stat().st_size, open_session(path, threads=1).run(None, {"images": images})[0]
    store_weights(path, "fp16")
    assert path.stat().st_size < 0.55 * size
    assert np.allclose(open_session(path, threads=1).run(None, {"images": images})[0], answers, atol=0.02)


def test_all_that_a_small_bundle_says_comes_from_its_weights_as_they_are_stored(
    small: Bundle, dataset: Dataset
) -> None:
    counter = Counter.load(small.folder)
    counter.check_golden()
    photos = dataset.select("val")
    counts = np.array([photo.count for photo in photos])
    probs_BK = counter.probs([dataset.read_bytes(photo) for photo in photos])
    temperature = small.spec.temperature
    assert fit_temperature(temper(probs_BK, 1 / temperature), counts) == pytest.approx(temperature, rel=1e-3)
    assert small.spec.figures["val"]["nll"] == pytest.approx(score(probs_BK, counts).nll, abs=1e-6)
    assert certificate_of(predictor(small.folder)) == certify_val(probs_BK, counts, photos, dataset)


def test_what_was_lost_stands_in_the_bundle_and_on_its_card(whole: Bundle, small: Bundle) -> None:
    loss = StorageLoss(**small.spec.figures["stored"])
    val, val_whole = small.spec.figures["val"], whole.spec.figures["val"]
    assert (loss.weights, loss.num_photos) == ("int8", 60)
    assert loss.nll_lost == pytest.approx(val["nll"] - val_whole["nll"])
    assert loss.exact_lost == pytest.approx(val_whole["exact"] - val["exact"])
    card = " ".join((small.folder / "card.md").read_text().split())
    assert "stored as int8 and computed with in fp32." in card
    assert f"on the 60 `val` photos: {loss}." in card
    assert "stored" not in whole.spec.figures
    assert "in fp32." in (whole.folder / "card.md").read_text()


def test_what_runs_is_the_graph_of_the_whole_weights(
    whole: Bundle, small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left of int8 once the network is open, so that it counts as fast."""

    def operators(bundle: Bundle) -> Tally[str]:
        path = tmp_path / f"{bundle.spec.name}.onnx"
        make = onnxruntime.SessionOptions

        def options() -> onnxruntime.SessionOptions:
            made = make()
            made.optimized_model_filepath = str(path)
            return made

        with monkeypatch.context() as patch:
            patch.setattr(onnxruntime, "SessionOptions", options)
            open_session(bundle.model_path, threads=1)
        return Tally(node.op_type for node in onnx.load(path).graph.node)

    assert "DequantizeLinear" in {node.op_type for node in onnx.load(small.model_path).graph.node}
    assert operators(small) == operators(whole)


def test_wrecked_weights_are_not_published(
    run: Run, written: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = quantise_module.quantise

    def with_wrong_scales(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        values, scales = honest(weight, axis)
        return values, np.roll(scales, 1)

    monkeypatch.setattr(quantise_module, "quantise", with_wrong_scales)
    monkeypatch.setattr(export_module, "export_onnx", written)
    with pytest.raises(GateFailed, match=r"stored as int8 must lose less .* take --weights fp16 or --weights fp32"):
        export(run, tmp_path / "bundle", weights="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("exact_lost", "nll_lost", "passes"),
    [(0.0029, 0.0049, True), (-0.1, -0.1, True), (0.003, 0, False), (0, 0.005, False), (0, float("nan"), False)],
)
def test_the_gate_lies_at_three_tenths_of_a_point_and_five_thousandths_of_a_nat(
    exact_lost: float, nll_lost: float, passes: bool
) -> None:
    loss = StorageLoss(
        weights="fp16", num_photos=1000, exact_lost=exact_lost, nll_lost=nll_lost, answers_changed=0.01
    )
    if passes:
        check_storage_loss(loss)
        return
    with pytest.raises(GateFailed, match="take --weights fp32"):
        check_storage_loss(loss)


def test_losses_are_counted_against_the_whole_weights() -> None:
    whole = np.array([[0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    stored = np.array([[0.4, 0.6], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]])
    loss = storage_loss("int8", whole, stored, np.array([0, 0, 1, 1]))
    assert (loss.exact_lost, loss.answers_changed) == (0.0, 0.5)  # one answer lost, another won
    assert loss.nll_lost == pytest.approx((np.log(0.6 / 0.4) + np.log(0.5 / 0.6)) / 4)
    assert str(loss) == "exact answers +0.00 points, log score +0.0558 nats, 50.0% of the answers changed"


def test_quantised_weights_are_within_half_a_step_by_channel() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 4, 3, 3)).astype(np.float32) * np.logspace(-3, 3, 8)[
        :, None, None, None
    ].astype(np.float32)
    weight[5] = 0
    values, scales = quantise(weight, 0)
    assert (values.dtype, scales.dtype, scales.shape) == (np.int8, np.float32, (8,))
    off = np.abs(values * scales[:, None, None, None] - weight).max(axis=(1, 2, 3))
    assert (off <= scales * 0.5001).all()
    assert not values[5].any()


class Mixed(nn.Module):
    """Every kind of weight: grouped and plain convolutions, linear layers over vectors and over sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.grouped = nn.Conv2d(3, 64, 3, stride=4), nn.Conv2d(64, 64, 3, groups=4)
        self.tokens, self.head = nn.Linear(64, 96), nn.Linear(96, 21)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.grouped(self.conv(images)).flatten(2).transpose(1, 2)
        return torch.log_softmax(self.head(torch.relu(self.tokens(features)).mean(1)), dim=1)


def test_the_weights_of_every_kind_of_layer_are_quantised_along_their_output_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / MODEL_NAME
    export_onnx(Mixed().eval(), path, size=32)
    images = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    expected = open_session(path, threads=1).run(None, {"images": images})[0]
    store_weights(path, "int8")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    scales = {tensor.dims[0] for tensor in model.graph.initializer if tensor.name.endswith(".scale")}
    assert scales == {64, 96, 21}
    assert sum(node.op_type == "DequantizeLinear" for node in model.graph.node) == 4
    assert np.allclose(open_session(path, threads=1).run(None, {"images": images})[0], expected, atol=0.01)


def test_a_tensor_that_is_no_weight_stays_whole(tmp_path: Path) -> None:
    """A table that is added, and one that two layers read along different axes."""
    table, both = (np.random.default_rng(seed).normal(size=(64, 64)).astype(np.float32) for seed in (0, 1))
    nodes = [
        helper.make_node("Add", ["images", "table"], ["sum"]),
        helper.make_node("Gemm", ["sum", "both"], ["straight"]),
        helper.make_node("Gemm", ["straight", "both"], ["log_probs"], transB=1),
    ]
    given, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, 64]) for name in ("images", "log_probs")
    )
    tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(both, "both")]
    model = helper.make_model(
        helper.make_graph(nodes, "tables", [given], [answer], tensors),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    path = tmp_path / MODEL_NAME
    onnx.save_model(model, path)
    store_weights(path, "int8")
    assert [tensor.name for tensor in onnx.load(path).graph.initializer] == ["table", "both"]


def test_bundles_keep_their_format(whole: Bundle, small: Bundle, tmp_path: Path) -> None:
    """Bundles whose figures say nothing of storage open, and a small one has no field that a whole one lacks."""
    folder = Path(shutil.copytree(whole.folder, tmp_path / "older"))
    spec = json.loads((folder / SPEC_NAME).read_text())
    assert set(spec) == set(json.loads((small.folder / SPEC_NAME).read_text()))
    (folder / SPEC_NAME).write_text(json.dumps(spec | {"figures": {}}))
    Counter.load(folder).check_golden()


def test_the_command_offers_what_can_be_stored_and_says_what_it_lost(said: dict[str, Any], small: Bundle) -> None:
    (option,) = (param for param in export_command.params if param.name == "weights")
    assert tuple(option.type.choices) == WEIGHTS  # type: ignore[attr-defined]
    assert said.items() >= small.spec.figures["stored"].items()
    assert (said["weights"], said["version"]) == ("int8", small.version)
