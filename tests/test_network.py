"""Backbones, heads, labels and augmentation."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from binsight.errors import BadRecipe, MissingObject
from binsight.imaging.drawn import drawn_photo
from binsight.model.augment import augment
from binsight.model.backbones import build_backbone
from binsight.model.network import HEADS, FlipAverage, build_network
from binsight.model.objective import cross_entropy, targets_BK
from binsight.model.recipe import Augment, Model

SMALL = "timm:lcnet_035"
NUM_COUNTS = 21


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_a_distribution(name: str) -> None:
    torch.manual_seed(0)
    head = HEADS[name](16, NUM_COUNTS)
    probs_BK = head(torch.randn(50, 16) * 5).exp()
    assert probs_BK.shape == (50, NUM_COUNTS)
    assert torch.allclose(probs_BK.sum(dim=1), torch.ones(50), atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_can_learn_any_count(name: str) -> None:
    """From one-hot features of 0 … 20 each head must come to answer every count, the first and last included."""
    torch.manual_seed(0)
    counts = torch.arange(NUM_COUNTS)
    # The cumulative head has one direction: give it features that are ordered along one.
    features = torch.eye(NUM_COUNTS) * 4 if name != "cumulative" else torch.linspace(-2, 18, NUM_COUNTS)[:, None]
    head = HEADS[name](features.shape[1], NUM_COUNTS)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    targets = targets_BK(counts, num_counts=NUM_COUNTS, soft_sigma=0)
    for _ in range(600):
        optimizer.zero_grad()
        cross_entropy(head(features), targets).backward()
        optimizer.step()
    assert (head(features).argmax(dim=1) == counts).float().mean() > 0.95


def test_the_cumulative_head_orders_counts_along_one_direction() -> None:
    """A higher score can only move the whole distribution up (proportional odds)."""
    torch.manual_seed(0)
    head = HEADS["cumulative"](1, NUM_COUNTS)
    cumulative_BK = head(torch.linspace(-30, 30, 40)[:, None]).exp().cumsum(dim=1)
    slope = (cumulative_BK[1:] - cumulative_BK[:-1])[:, :-1]
    assert (slope <= 1e-5).all() or (slope >= -1e-5).all()


@given(st.integers(0, 60), st.floats(0.05, 3))
def test_a_soft_label_is_a_distribution_that_peaks_at_the_record(count: int, sigma: float) -> None:
    (row,) = targets_BK(torch.tensor([count]), num_counts=NUM_COUNTS, soft_sigma=sigma)
    assert float(row.sum()) == pytest.approx(1, abs=1e-5)
    assert int(row.argmax()) == min(count, NUM_COUNTS - 1)


def test_without_spread_the_label_is_plain_and_counts_beyond_the_last_are_the_last() -> None:
    rows = targets_BK(torch.tensor([0, 3, 20, 55]), num_counts=NUM_COUNTS, soft_sigma=0)
    assert rows.argmax(dim=1).tolist() == [0, 3, 20, 20]
    assert rows.max(dim=1).values.tolist() == [1, 1, 1, 1]


def test_the_soft_label_has_the_gaussian_shape() -> None:
    (row,) = targets_BK(torch.tensor([4]), num_counts=NUM_COUNTS, soft_sigma=0.6)
    assert float(row[5] / row[4]) == pytest.approx(2.718281828 ** (-1 / (2 * 0.36)), rel=1e-4)
    assert float(row[3]) == pytest.approx(float(row[5]))


@pytest.mark.parametrize("backbone", [SMALL, "timm:resnet10t", "torchvision:resnet18"])
def test_backbones_of_both_libraries_end_in_features(backbone: str) -> None:
    network, num_features = build_backbone(backbone, "none")
    assert network.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, num_features)


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "resnet18", "resnet34"])
def test_the_networks_of_the_original_exercise_can_be_built(name: str) -> None:
    network, num_features = build_backbone(f"torchvision:{name}", "none")
    assert network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, num_features)


@pytest.mark.parametrize(
    ("backbone", "weights", "says"),
    [
        ("timm:no_such_net", "none", "timm has no network 'no_such_net'"),
        ("torchvision:no_such_net", "none", "torchvision has no classification network"),
        (SMALL, "package:no-such", "no package 'no-such' is known"),
        ("timm:efficientnet_lite0", "package:efficientnet-lite0", "fits backbone timm:tf_efficientnet_lite0"),
    ],
)
def test_a_backbone_or_weights_that_do_not_exist_or_fit_are_named(backbone: str, weights: str, says: str) -> None:
    with pytest.raises(BadRecipe, match=says):
        build_backbone(backbone, weights)


def test_blocks_are_skipped_in_training_and_never_in_counting() -> None:
    network, _ = build_backbone("timm:tf_efficientnet_lite0", "none", drop_path=0.5)
    images = torch.randn(4, 3, 64, 64)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))
    with pytest.raises(BadRecipe, match=r"model\.drop_path must be 0 for timm:vgg11"):
        build_backbone("timm:vgg11", "none", drop_path=0.5)
    with pytest.raises(BadRecipe, match=r"model\.drop_path must be 0 for torchvision"):
        build_backbone("torchvision:resnet18", "none", drop_path=0.5)


def test_a_weights_file_gives_the_very_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first, _ = build_backbone(SMALL, "none")
    save_file(first.state_dict(), tmp_path / "w.safetensors")
    torch.save(first.state_dict(), tmp_path / "w.pth")
    images = torch.randn(2, 3, 64, 64)
    for name in ("w.safetensors", "w.pth"):
        again, _ = build_backbone(SMALL, f"file:{tmp_path / name}")
        assert torch.equal(again.eval()(images), first.eval()(images))


def test_a_weights_file_that_is_missing_foreign_or_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match=r"nothing\.pth"):
        build_backbone(SMALL, f"file:{tmp_path / 'nothing.pth'}")
    (tmp_path / "text.pth").write_text("these are not weights")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 32)
    torch.save(print, tmp_path / "code.pth")  # a pickle that names a function
    torch.save([1.0], tmp_path / "list.pth")
    (tmp_path / "photo.jpg").write_bytes(drawn_photo(3, seed=1))
    for name in ("text.pth", "cut.safetensors", "code.pth", "list.pth", "photo.jpg"):
        with pytest.raises(BadRecipe, match=f"{name} is neither a whole safetensors file nor a plain") as refused:
            build_backbone(SMALL, f"file:{tmp_path / name}")
        assert "weights_only" not in str(refused.value), "PyTorch's advice to load it with its code"
    other, _ = build_backbone("torchvision:resnet18", "none")
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(BadRecipe, match="do not fit the network"):
        build_backbone(SMALL, f"file:{tmp_path / 'other.safetensors'}")


def test_weights_from_a_package_are_the_pretrained_ones() -> None:
    """They are the same each time, and carry batch statistics, which fresh weights have not."""
    network, _ = build_backbone("timm:tf_efficientnet_lite0", "package:efficientnet-lite0")
    again, _ = build_backbone("timm:tf_efficientnet_lite0", "package:efficientnet-lite0")
    scratch, _ = build_backbone("timm:tf_efficientnet_lite0", "none")
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.eval()(images), again.eval()(images))
    assert not torch.allclose(network(images), scratch.eval()(images))
    assert float(network.state_dict()["bn1.running_var"].std()) > 0.01  # a fresh one is all ones


def test_a_frozen_backbone_neither_learns_nor_moves_its_statistics() -> None:
    network = build_network(Model(backbone=SMALL, frozen=True)).train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    cross_entropy(
        network(torch.randn(4, 3, 64, 64)), targets_BK(torch.ones(4).long(), num_counts=21, soft_sigma=0)
    ).backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in network.backbone.state_dict().items())


def test_flip_average_is_the_same_for_a_photo_and_its_mirror_image() -> None:
    torch.manual_seed(0)
    network = FlipAverage(build_network(Model(backbone=SMALL)).eval())
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(images), network(images.flip(3)), atol=1e-5)
        assert torch.allclose(network(images).exp().sum(dim=1), torch.ones(3), atol=1e-5)


def test_augmentation_switched_off_changes_nothing() -> None:
    off = Augment(
        flip=0, rotate_degrees=0, shift=0, zoom_out=0, brightness=0, contrast=0, colour=0, blur=0, noise=0
    )
    images = torch.randn(4, 3, 48, 48)
    assert torch.allclose(augment(images, off), images, atol=1e-4)


def test_augmentation_depends_on_the_seed_alone() -> None:
    images = torch.randn(4, 3, 48, 48)
    torch.manual_seed(5)
    first = augment(images, Augment())
    torch.manual_seed(5)
    assert torch.equal(augment(images, Augment()), first)
    assert not torch.equal(augment(images, Augment()), first)


def test_augmentation_never_cuts_off_what_stands_inside_the_rim() -> None:
    """A bright block inside the photo is still wholly there, whatever is drawn: the count cannot change."""
    images = torch.zeros(64, 3, 96, 96)
    images[:, :, 12:84, 12:84] = 1.0
    light = {"brightness": 0, "contrast": 0, "colour": 0, "noise": 0, "blur": 0}
    torch.manual_seed(0)
    moved = augment(images, Augment(**light))
    rim = torch.cat([moved[:, 0, 0], moved[:, 0, -1], moved[:, 0, :, 0], moved[:, 0, :, -1]], dim=1)
    assert float(rim.abs().max()) < 0.05
    shrunk = moved[:, 0].sum(dim=(1, 2)) / images[:, 0].sum(dim=(1, 2))
    assert float(shrunk.max()) <= 1.01  # never enlarged
    assert float(shrunk.min()) >= 0.85**2 - 0.02
