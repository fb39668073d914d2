"""Comparing two real bundles on a frozen set of real files, from the command: promoted, kept, refused, and raced."""

import io
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance
from tests.promotion_support import Sample, reading_bundle, samples, write_samples
from tests.promotion_world import NUM, SMALL, TERMS, World, compare, run

from binsight.counting.bundle import DEFAULT_FOLDER, Bundle
from binsight.counting.registry import Registry
from binsight.errors import (
    BadInput,
    ChangedMeanwhile,
    GateFailed,
)
from binsight.lifecycle import judge as judging
from binsight.lifecycle.judge import judge
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.records import CHAMPION
from binsight.storage.ledger import Journal, Promotions

SHIPPED = Bundle.open(DEFAULT_FOLDER).spec.lineage["weights_sha256"]


def test_a_better_challenger_is_promoted_with_its_record(world: World, registry_of_test: Registry) -> None:
    line, result = compare(world, world.fine, "--promote")
    assert result.exception is None, result.exception
    assert (line["word"], line["promoted"], line["num_photos"]) == ("promote", True, NUM)
    assert line["only_challenger"] > line["only_champion"]
    registry = registry_of_test
    assert registry.pointed(CHAMPION) is not None and registry.pointed(CHAMPION).version == line["challenger"]
    record = json.loads((world.out / "decision.json").read_text())
    facts = record["comparison"]
    assert facts["code"]["binsight"] and facts["promotion_set"]["look"] == 1
    assert facts["figures"]["exact"]["p"] == line["p"]
    assert {one["by"] for one in facts["figures"]["slices"]} == {"count", "brightness", "size"}
    assert facts["challenger"]["sha256"] == sha256((world.fine / "bundle.json").read_bytes()).hexdigest()
    table = pq.read_table(world.out / "predictions.parquet").to_pylist()
    wins = sum(row["challenger_count"] == row["count"] != row["champion_count"] for row in table)
    assert wins == line["only_challenger"], "photo by photo it is what the page says"
    assert "Promote fine" in (world.out / "index.html").read_text()
    (row,) = Promotions(registry.models.ledger).decisions()
    assert (row.id, row.word, row.record["comparison"]["figures"]["exact"]["p"]) == (
        line["id"],
        "promote",
        line["p"],
    )
    (entry,) = Journal(registry.models.ledger).read(kind="promotion.decided")
    assert (entry.subject, entry.body["id"]) == (line["challenger"], line["id"])
    assert Journal(registry.models.ledger).verify().broken is None
    assert registry.models.moves(CHAMPION)[0].reason == f"better on held/test by decision {line['id']}"


def test_no_difference_keeps_the_champion(world: World, registry_of_test: Registry) -> None:
    before = registry_of_test.pointed(CHAMPION)
    line, result = compare(world, world.same)
    assert (line["word"], line["p"], line["only_challenger"]) == ("keep", 1.0, 0)
    assert result.exit_code == 0
    line, result = compare(world, world.same, "--promote")
    assert isinstance(result.exception, GateFailed), "asked to promote, it says that it did not"
    assert registry_of_test.pointed(CHAMPION) == before


def test_a_worse_challenger_is_kept_out(world: World) -> None:
    compare(world, world.fine, "--promote")
    line, _ = compare(world, world.same, "rps_margin=0.02")
    assert line["word"] == "keep"
    assert any("ranked probability score" in reason for reason in line["reasons"])


def stored_again(data: bytes) -> bytes:
    """Another size, quality and light: the same picture in another file."""
    image = ImageEnhance.Brightness(Image.open(io.BytesIO(data))).enhance(1.15).resize((96, 96))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=60)
    return out.getvalue()


@pytest.mark.parametrize(
    ("how", "split", "kind"),
    [
        ("file", "val", "the same file"),
        ("picture", "train", "nearly the same picture"),
        ("chain", "train", "the same chain of bins"),
    ],
)
def test_one_photo_of_the_set_in_the_training_refuses(world: World, how: str, kind: str, split: str) -> None:
    """In the val split too: its photos chose the epoch."""
    held = samples("test", NUM, seed=1, prefix="h")[37]
    leak = {
        "file": replace(held, photo="leak", group="leak", split=split),
        "picture": Sample(photo="leak", data=stored_again(held.data), count=3, split=split, group="leak"),
        "chain": replace(samples("train", 61, seed=9, prefix="x")[60], photo="leak", group=held.group, split=split),
    }[how]
    trained = write_samples(world.folder / "leaking", [*samples("train", 60, seed=2, prefix="t"), leak])
    bundle = reading_bundle(
        world.folder / "cheat", red=0.9, lineage={"dataset_sha256": trained.digest, "learned_from": []}
    )
    line, result = compare(world, bundle, "--training", world.folder / "leaking", "--promote")
    assert line["word"] == "refuse"
    assert (
        f"1 training photos of the challenger are in the promotion set too (first leak, {kind}"
        in line["reasons"][0]
    )
    assert isinstance(result.exception, GateFailed)
    registry = Registry.open()
    assert Promotions(registry.models.ledger).num_looks(PromotionSet.open(world.held).sha256) == 0, (
        "no look was spent"
    )
    registry.close()


def test_training_that_is_not_known_refuses_and_says_what_is_missing(world: World) -> None:
    result = run("models", "compare", world.fine, *TERMS, "--on", world.held, "--out", world.folder / "out")
    assert f"trained on the dataset {world.training[:12]}…; name its folder with --training" in str(
        result.exception
    )
    other = write_samples(world.folder / "other", samples("train", 10, seed=8, prefix="o"))
    where = ("--on", world.held, "--training", world.folder / "other", "--out", world.folder / "out")
    result = run("models", "compare", world.fine, *TERMS, *where)
    assert f"{world.training[:12]}…, which is not {other.digest[:12]}…" in str(result.exception)
    for lineage, missing in (
        ({}, "its bundle names no dataset"),
        (
            {"dataset_sha256": world.training, "first_weights": "run:abc"},
            "what the run that it began with was trained on",
        ),
        (
            {"dataset_sha256": world.training, "first_weights": "run:abc", "weights_sha256": SHIPPED},
            "nobody knows any more: it is the counter that ships with Binsight; compare one that you trained, or",
        ),
        ({"dataset_sha256": world.training, "learned_from": ["unknown"]}, "was not known when it was exported"),
        (
            {"dataset_sha256": world.training, "learned_from": ["f" * 64]},
            "or a teacher, was trained on the dataset ffff",
        ),
    ):
        shutil.rmtree(world.folder / "made", ignore_errors=True)
        _, result = compare(world, reading_bundle(world.folder / "made", red=0.8, lineage=lineage))
        assert isinstance(result.exception, GateFailed)
        assert missing in str(result.exception)


def test_a_parent_in_the_registry_brings_its_dataset_with_it(world: World) -> None:
    """The weights that a challenger began with have seen photos too."""
    older = write_samples(world.folder / "older", samples("train", 10, seed=5, prefix="p"))
    parent = {"dataset_sha256": older.digest, "weights_sha256": "1" * 64, "learned_from": []}
    run("models", "register", reading_bundle(world.folder / "parent", red=0.5, lineage=parent))
    child = {"dataset_sha256": world.training, "first_weights": "run:" + "1" * 64}
    bundle = reading_bundle(world.folder / "child", red=0.8, lineage=child)
    line, _ = compare(world, bundle)
    assert f"was trained on the dataset {older.digest[:12]}…" in line["reasons"][0]
    line, _ = compare(world, bundle, "--training", world.folder / "older")
    assert line["word"] == "promote"


def test_a_set_that_was_changed_after_it_was_frozen_refuses(world: World) -> None:
    assert compare(world, world.finer)[0]["word"] == "promote"
    photos = samples("test", NUM, seed=1, prefix="h")
    shutil.rmtree(world.held)
    write_samples(world.held, [replace(photos[0], count=photos[0].count + 1), *photos[1:]])
    line, _ = compare(world, world.fine)
    assert (line["word"], "was frozen as" in line["reasons"][0]) == ("refuse", True)
    result = run("models", "freeze", world.held)
    assert "restore it, or freeze these photos with another --name" in str(result.exception)
    line, _ = compare(world, world.fine, "--name", "again")
    assert "more than half of the photos of again are those of held/test" in line["reasons"][0]


def test_a_photo_file_that_was_changed_behind_the_manifest_refuses(world: World) -> None:
    photo = world.held / "test" / "h0007.jpg"
    photo.write_bytes(photo.read_bytes() + b"x")
    line, _ = compare(world, world.fine)
    assert (line["word"], "photo h0007" in line["reasons"][0]) == ("refuse", True)


def test_the_budget_of_looks_is_kept_in_the_ledger(world: World, registry_of_test: Registry) -> None:
    first, _ = compare(world, world.fine, "max_looks=2")
    again, _ = compare(world, world.fine, "max_looks=2")
    assert first["p"] == again["p"], "the same two once more tell nothing new, and cost nothing"
    second, _ = compare(world, world.same, "max_looks=2")
    third, _ = compare(world, world.finer, "max_looks=2")
    assert (first["word"], second["word"], third["word"]) == ("promote", "keep", "refuse")
    assert "has judged its 2 challengers" in third["reasons"][0]
    renamed, _ = compare(world, world.finer, "max_looks=2", "--name", "a new name for it")
    assert renamed["word"] == "refuse", "the looks are those of the photos, not of the name"
    assert Promotions(registry_of_test.models.ledger).num_looks(PromotionSet.open(world.held).sha256) == 2


def test_two_that_race_cannot_both_promote(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw the same champion; the second finds it moved."""
    registry = Registry.open()
    promotion_set = PromotionSet.open(world.held)
    compared = judging.compare

    def judged(folder: Path, name: str) -> str:
        version = registry.register(folder, by=name).version
        out = world.folder / name
        judge(registry, version, promotion_set, training=world.seen, out=out, by=name, promote=True, policy=SMALL)
        return version

    def while_another_is_faster(*arguments: Any, **options: Any) -> Any:
        found = compared(*arguments, **options)
        monkeypatch.setattr(judging, "compare", compared)
        faster.append(judged(world.finer, "bob"))
        return found

    faster: list[str] = []
    monkeypatch.setattr(judging, "compare", while_another_is_faster)
    with pytest.raises(ChangedMeanwhile, match="champion was moved by somebody else"):
        judged(world.fine, "ann")
    pointed = registry.pointed(CHAMPION)
    assert pointed is not None and [pointed.version] == faster
    assert len(registry.models.moves(CHAMPION)) == 2
    registry.close()


def test_only_a_comparison_with_the_champion_promotes(world: World) -> None:
    registry = Registry.open()
    other = registry.register(world.finer, by="ann").version
    registry.close()
    _, result = compare(world, world.fine, "--champion", other, "--promote")
    assert isinstance(result.exception, BadInput)
    assert f"{other} is not the champion" in str(result.exception)
    line, _ = compare(world, world.fine, "--champion", other)
    assert (line["word"], line["champion"]) == ("keep", other)
