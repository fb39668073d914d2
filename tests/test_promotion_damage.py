"""Comparing bundles and sets that are not whole, too new, or not what they should be: a sentence each."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.promotion_world import World, compare

from binsight.errors import (
    BadBundle,
    BadDataset,
    BinsightError,
    MissingObject,
)


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
