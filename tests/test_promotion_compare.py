"""Comparing two real bundles on a frozen set of real files, from the command: promoted, kept, refused, and raced."""

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageEnhance
from tests.promotion_support import Sample, reading_bundle, samples, write_samples

from binsight.cli import cli
from binsight.counting.registry import Registry
from binsight.errors import (
    BadBundle,
    BadDataset,
    BadInput,
    BinsightError,
    ChangedMeanwhile,
    GateFailed,
    MissingObject,
)
from binsight.lifecycle import judge as judging
from binsight.lifecycle.judge import judge
from binsight.lifecycle.policy import PromotionPolicy
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.records import CHAMPION
from binsight.report import Page
from binsight.storage.ledger import Journal, Promotions

NUM = 120
TERMS = ("min_photos=100", "latency_ratio=1000", "ece_margin=1")
"""A small set, and networks so small that what they take is noise; nor are they calibrated."""
SMALL = PromotionPolicy.of(dict(term.split("=") for term in TERMS))


@dataclass(frozen=True)
class World:
    """A folder with the promotion set (120 test photos), the training photos, and four bundles."""

    folder: Path
    training: str

    def __getattr__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("promotions")
    write_samples(folder / "held", samples("test", NUM, seed=1, prefix="h"))
    trained = write_samples(folder / "seen", samples("train", 60, seed=2, prefix="t"))
    lineage = {"dataset_sha256": trained.digest, "learned_from": [], "recipe_sha256": "e" * 64, "binsight": "0.1.0"}
    reading_bundle(folder / "rough", red=0.0, width=1.6, lineage=lineage)
    reading_bundle(folder / "fine", red=0.6, width=0.9, lineage=lineage)
    reading_bundle(folder / "finer", red=0.7, width=0.8, lineage=lineage)
    reading_bundle(folder / "same", red=0.0, width=1.6, lineage=lineage, note="the same network")
    return World(folder, trained.digest)


@pytest.fixture(scope="session")
def with_champion(made: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger and its bundles, in which `rough` is the champion."""
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry.open(f"sqlite:///{folder}/ledger.db", str(folder / "bundles"))
    version = registry.register(made.rough, by="ann").version
    registry.models.move(CHAMPION, version, seen=None, by="ann", reason="")
    registry.close()
    return folder


@pytest.fixture
def world(
    made: World, with_champion: Path, tmp_path: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> World:
    """A copy of it and of the registry. Plots are left out: tests of the decision draw them."""
    shutil.copytree(made.folder, tmp_path / "world")
    shutil.copytree(with_champion, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(
        Page, "plot", lambda self, name, figure, rows, caption: self.data(name, rows, caption=caption)
    )
    return World(tmp_path / "world", made.training)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit | BinsightError):
        raise result.exception
    return result


def compare(world: World, challenger: Path | str, *more: object) -> tuple[dict[str, Any], Result]:
    out = world.folder / "out"
    where = ("--on", world.held, "--training", world.seen, "--out", out)
    result = run("models", "compare", challenger, *TERMS, *where, "--json", *more)
    lines = [line for line in result.output.splitlines() if line.startswith("{")]
    return (json.loads(lines[-1]) if lines else {}), result


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


@pytest.fixture
def registry_of_test(world: World) -> Iterator[Registry]:
    registry = Registry.open()
    yield registry
    registry.close()


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


def cut(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:200])


def edited(folder: Path, **changed: Any) -> None:
    spec = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(spec | changed))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "model.onnx must have the checksum"),
        (lambda folder: (folder / "card.md").unlink(), "card.md cannot be read"),
        (
            lambda folder: edited(folder, format=2),
            "must have the format 1, but has 2 and was made by 0.9; install a newer",
        ),
        (
            lambda folder: edited(
                folder,
                preprocessing=json.loads((folder / "bundle.json").read_text())["preprocessing"] | {"gamma": 2.2},
            ),
            "was made by 0.9, whose preprocessing has gamma, which .* does not know; install a newer Binsight",
        ),
        (lambda folder: (folder / "bundle.json").write_text('{"format": 1'), "the file: invalid json"),
    ],
    ids=["truncated", "a file is gone", "newer format", "newer preprocessing", "half a file"],
)
def test_a_bundle_that_is_not_whole_or_too_new_is_refused_in_a_sentence(
    world: World, damage: Any, message: str
) -> None:
    edited(world.fine, lineage={"binsight": "0.9"})
    damage(world.fine)
    _, result = compare(world, world.fine)
    with pytest.raises(BadBundle, match=message):
        raise result.exception  # type: ignore[misc]


def test_a_bundle_that_answers_its_golden_photos_wrongly_is_not_compared(world: World) -> None:
    golden = json.dumps([{"photo": "three.jpg", "probs": [1.0] + [0.0] * 11}]).encode()
    (world.fine / "golden" / "golden.json").write_bytes(golden)
    files = json.loads((world.fine / "bundle.json").read_text())["files"]
    edited(world.fine, files=files | {"golden/golden.json": sha256(golden).hexdigest()})
    _, result = compare(world, world.fine)
    assert "must get its recorded answer" in str(result.exception)


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda folder: (folder / "manifest.parquet").unlink(), MissingObject, "holds no manifest.parquet"),
        (
            lambda folder: (folder / "test" / "h0000.jpg").unlink(),
            BadDataset,
            "is in the manifest but cannot be read",
        ),
        (lambda folder: (folder / "test" / "h0000.jpg").write_bytes(b"x"), BadDataset, "h0000"),
    ],
)
def test_a_damaged_set_is_named(world: World, break_it: Any, error: type[BinsightError], message: str) -> None:
    break_it(world.held)
    _, result = compare(world, world.fine)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_a_set_without_counts_is_refused(world: World) -> None:
    import pyarrow as pa

    table = pq.read_table(world.held / "manifest.parquet")
    without = table.set_column(
        table.schema.get_field_index("count"), "count", pa.array([None] * table.num_rows, pa.int64())
    )
    pq.write_table(without, world.held / "manifest.parquet")
    _, result = compare(world, world.fine)
    assert isinstance(result.exception, BadDataset)
    assert "count of photo h0000 must be a whole number of 0 or more, but is None" in str(result.exception)
    pq.write_table(table.drop_columns(["count"]), world.held / "manifest.parquet")
    _, result = compare(world, world.fine)
    assert "but lacks count" in str(result.exception)


def test_a_set_of_another_split_or_chosen_by_count_is_refused(world: World) -> None:
    _, result = compare(world, world.fine, "--split", "val")
    assert "has no photos in its split val" in str(result.exception)
    _, result = compare(world, world.fine, "--where", "count=3")
    assert "must have all counts, but is chosen by count" in str(result.exception)


def test_a_folder_with_other_files_is_not_written_over(world: World) -> None:
    world.out.mkdir()
    (world.out / "thesis.txt").write_text("years of work")
    _, result = compare(world, world.fine)
    assert "holds other files than a comparison's" in str(result.exception)


def test_without_a_champion_it_says_so(made: World, places: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "world")
    _, result = compare(World(tmp_path / "world", made.training), made.fine)
    assert "champion points at no model" in str(result.exception)


def test_photos_of_the_training_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(world, world.fine)
    shutil.rmtree(world.seen / "train")
    line, result = compare(world, world.finer)
    assert line["word"] == "promote", result.exception
    kept = next((world.folder.parent / "cache" / "fingerprints").glob("*.npz"))
    kept.write_bytes(b"damaged")
    _, result = compare(world, world.same)
    assert isinstance(result.exception, BadDataset), "a damaged copy is made again, and the photos are gone"
