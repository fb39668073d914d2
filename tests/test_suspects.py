"""`binsight data suspects`: records that are probably wrong, judged by networks that never saw their bins."""

import csv
import io
import json
import re
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from binsight.cli import cli
from binsight.dataset.folds import VAL_SHARE, deal, fold_photos
from binsight.dataset.manifest import Dataset, LabelledPhoto, Split, write_manifest
from binsight.decision.suspects import record_doubts, record_probs
from binsight.errors import BadDataset, BadInput, BadRecipe, MissingObject, Stopped
from binsight.model import suspects as module
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.suspects import Suspect, SuspectSearch, check_recipe, find_suspects, rows
from binsight.model.suspects_page import caption, suspects_page
from binsight.model.trainer import Trainer
from binsight.settings import settings

NUM_FOLDS = 3
WRONG = ("012", "035", "050", "071")
"""Photos whose record says the other count. Each shares its chain with a photo whose record is right."""

RECIPE = """
name = "toy"
seed = 1
[data]
dataset = "elsewhere"
[data.preprocessing]
size = 48
fit = "squash"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[model]
backbone = "timm:tf_efficientnet_lite0"
weights = "package:efficientnet-lite0"
frozen = true
flip_average = false
max_count = 5
[augment]
rotate_degrees = 0
blur = 0
[training]
epochs = 8
batch_size = 8
lr = 3e-2
precision = "fp32"
ema_decay = 0
"""


def toy_dataset(folder: Path) -> Dataset:
    """100 pictures, two a chain: grey for an empty bin, striped for one that holds four, some with the other's record."""
    rng, photos = np.random.default_rng(0), []
    for number in range(100):
        name, chain = f"{number:03d}", number // 2
        split: Split = "train" if number < 72 else "val" if number < 84 else "test"
        is_full = chain % 2 == 1
        pixels = rng.integers(90, 130, (48, 48, 3))
        if is_full:
            pixels[np.indices((48, 48)).sum(axis=0) // 8 % 2 == 1] = rng.integers(0, 255, 3)
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / f"{name}.png").write_bytes(file.getvalue())
        photos.append(
            LabelledPhoto(
                photo=name,
                file=f"{split}/{name}.png",
                count=4 * (is_full != (name in WRONG)),
                split=split,
                group=f"chain {chain}",
                sha256=sha256(file.getvalue()).hexdigest(),
                width=48,
                height=48,
                extras={"site": "north" if chain % 4 else "south"},
            )
        )
    digest = write_manifest(folder / "manifest.parquet", tuple(photos))
    (folder / "dataset.json").write_text(json.dumps({"sha256": digest}))
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return toy_dataset(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "toy.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def search(dataset: Dataset, file: Path) -> SuspectSearch:
    return SuspectSearch(dataset=dataset, recipe=load_recipe(file), num_folds=NUM_FOLDS)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search") / "out"


@pytest.fixture(scope="module")
def found(search: SuspectSearch, out: Path) -> tuple[Suspect, ...]:
    return find_suspects(search, out)


def run_suspects(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["data", "suspects", *map(str, arguments)])


# The score


def test_doubt_is_the_margin_turned_round() -> None:
    probs = [[1, 0, 0], [0, 1, 0], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.1, 0.2, 0.7]]
    assert record_doubts(probs, [0, 0, 0, 2, 9]).tolist() == pytest.approx([0, 1, 0.5, 0.25, 0.25])
    assert record_probs(probs, [0, 0, 0, 2, 9]).tolist() == pytest.approx([1, 0, 0.4, 0.7, 0.7])


def test_an_unsure_estimate_doubts_less_than_one_that_is_sure_of_another_count() -> None:
    unsure, sure = [0.12, 0.1, 0.12, 0.12, 0.12, 0.14, 0.14, 0.14], [0.0, 0.13, 0.87, 0, 0, 0, 0, 0]
    first, second = record_doubts([unsure, sure], [1, 1])
    assert record_probs([unsure], [1])[0] < record_probs([sure], [1])[0]  # p(record) alone would say otherwise
    assert first < 0.55 < 0.8 < second


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=21), st.integers(0, 30))
def test_doubt_is_above_a_half_only_where_another_count_is_more_likely(weights: list[float], record: int) -> None:
    probs = np.array(weights) / np.sum(weights)
    (doubt,) = record_doubts([probs], [record])
    p_record, best = probs[min(record, len(probs) - 1)], probs.max()
    assert 0 <= doubt <= 1
    assert (doubt > 0.5) == (best > p_record) or doubt == pytest.approx(0.5)


# Folds


def test_chains_are_dealt_evenly_and_whole_whatever_the_photos_order(dataset: Dataset) -> None:
    fold_of = deal(dataset.photos, num_folds=5, seed=0)
    sizes = np.bincount([fold_of[photo.group] for photo in dataset.photos])
    assert sizes.tolist() == [20] * 5
    assert deal(dataset.photos[::-1], num_folds=5, seed=0) == fold_of
    assert deal(dataset.photos, num_folds=5, seed=1) != fold_of


def test_what_chooses_the_best_epoch_is_neither_trained_on_nor_judged(dataset: Dataset) -> None:
    fold_of = deal(dataset.photos, num_folds=4, seed=0)
    photos = fold_photos(dataset.photos, fold_of, 2, seed=0)
    groups = {
        split: {photo.group for photo in photos if photo.split == split} for split in ("train", "val", "test")
    }
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 50
    assert groups["test"] == {chain for chain, fold in fold_of.items() if fold == 2}
    num_val = sum(photo.split == "val" for photo in photos)
    assert VAL_SHARE * 75 <= num_val <= VAL_SHARE * 75 + 2


@pytest.mark.parametrize("num_folds", [1, 51])
def test_an_impossible_number_of_folds_is_refused(dataset: Dataset, num_folds: int) -> None:
    with pytest.raises(BadInput, match=f"at least 2 and at most as many as the 50 chains.* but are {num_folds}"):
        deal(dataset.photos, num_folds=num_folds, seed=0)


# The search


def test_records_that_were_swapped_rank_first(found: Sequence[Suspect]) -> None:
    """All of them among the first tenth: by chance that happens less than once in ten thousand searches."""
    first = {suspect.photo.photo: suspect for suspect in found[: len(found) // 10]}
    assert set(WRONG) <= set(first)
    assert all(
        first[photo].score > 0.5 and first[photo].estimate.count != first[photo].photo.count for photo in WRONG
    )


def test_every_record_of_train_and_val_is_judged_once_and_no_test_photo_takes_part(
    found: Sequence[Suspect], dataset: Dataset, out: Path
) -> None:
    judged = {suspect.photo.photo for suspect in found}
    assert len(judged) == len(found)
    assert judged == {photo.photo for photo in dataset.photos if photo.split != "test"}
    for fold in range(NUM_FOLDS):
        assert {photo.photo for photo in Dataset.open(out / "folds" / str(fold) / "dataset").photos} == judged


def test_no_photo_is_judged_by_a_network_that_saw_its_chain(found: Sequence[Suspect], out: Path) -> None:
    """By what each run says that it trained on, not by how the folds were dealt."""
    for suspect in found:
        run = out / "folds" / str(suspect.fold)
        trained_on = Dataset.open(load_recipe(run / "recipe.toml").data.dataset)
        assert trained_on.digest == json.loads((run / "environment.json").read_text())["dataset"]["sha256"]
        seen = {photo.group for photo in trained_on.photos if photo.split in ("train", "val")}
        assert len(seen) > 20 and suspect.photo.group not in seen


def test_a_fold_holds_no_photo_but_reads_them_all(search: SuspectSearch, found: object, out: Path) -> None:
    fold = Dataset.open(out / "folds" / "0" / "dataset")
    assert sorted(path.name for path in fold.folder.iterdir()) == ["dataset.json", "manifest.parquet", "photos"]
    fold.verify()


@pytest.mark.slow
def test_only_what_is_missing_is_trained_and_the_result_is_that_of_a_search_never_stopped(
    search: SuspectSearch, found: Sequence[Suspect], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, trained, train = Trainer._pause, [], module.train

    def stop_in_the_second_fold(self: Trainer) -> None:
        in_it = self.folder.name == "1" and self.position.epoch == 2 and self.position.batch == 3
        self.stop_wanted = self.stop_wanted or in_it
        pause(self)

    def spy(recipe: Recipe, folder: Path, **options: Any) -> Any:
        trained.append(folder.name)
        return train(recipe, folder, **options)

    monkeypatch.setattr(module, "train", spy)
    monkeypatch.setattr(Trainer, "_pause", stop_in_the_second_fold)
    with pytest.raises(Stopped, match="run the same command again"):
        find_suspects(search, tmp_path / "out")
    assert trained == ["0", "1"]
    monkeypatch.setattr(Trainer, "_pause", pause)
    said: list[str] = []
    again = find_suspects(search, tmp_path / "out", say=said.append)
    assert trained == ["0", "1", "1", "2"]
    assert said[:2] == ["fold 2/3", "going on at epoch 3, batch 4"]
    assert rows(again) == rows(found)
    assert rows(find_suspects(search, tmp_path / "out")) == rows(found)
    assert trained == ["0", "1", "1", "2"]


def test_another_search_does_not_touch_what_is_there(
    search: SuspectSearch, found: object, dataset: Dataset, file: Path, out: Path
) -> None:
    other = SuspectSearch(
        dataset=dataset, recipe=load_recipe(file, ["training.epochs=9"]), num_folds=NUM_FOLDS, seed=4
    )
    with pytest.raises(BadInput, match="holds a search with another seed and another recipe; name another folder"):
        find_suspects(other, out)


def test_a_dataset_and_a_report_that_moved_are_the_same_search(
    search: SuspectSearch, found: Sequence[Suspect], out: Path, tmp_path: Path
) -> None:
    """And what a fold has learnt is not learnt again."""
    shutil.copytree(search.dataset.folder, tmp_path / "moved")
    shutil.copytree(out, tmp_path / "out", symlinks=True)
    (tmp_path / "out" / "folds" / "2" / "estimates.npy").unlink()
    moved = SuspectSearch(
        dataset=Dataset.open(tmp_path / "moved"),
        recipe=search.recipe.model_copy(
            update={"data": search.recipe.data.model_copy(update={"dataset": tmp_path / "moved"})}
        ),
        num_folds=NUM_FOLDS,
    )
    said: list[str] = []
    assert rows(find_suspects(moved, tmp_path / "out", say=said.append)) == rows(found)
    assert [line for line in said if "trained to its end already" in line]


@pytest.mark.parametrize(
    "override",
    ["model.weights=run:runs/default", "training.teachers=['runs/default']"],
    ids=["weights", "teachers"],
)
def test_a_network_that_knows_the_photos_already_is_refused(
    dataset: Dataset, file: Path, tmp_path: Path, override: str
) -> None:
    done = run_suspects(dataset.folder, file, override, "--out", tmp_path / "out")
    assert isinstance(done.exception, BadRecipe)
    assert "must not name earlier runs" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_weights_of_which_nobody_knows_what_they_have_seen_are_refused(file: Path) -> None:
    with pytest.raises(
        BadRecipe, match=r"nobody knows .* model\.weights=file:w\.pth; take package:NAME, hub or none"
    ):
        check_recipe(load_recipe(file, ["model.weights=file:w.pth"]))
    check_recipe(load_recipe(file))


# The page and the command


def test_the_page_shows_what_the_csv_says(search: SuspectSearch, found: Sequence[Suspect], tmp_path: Path) -> None:
    html = suspects_page(search, found, top=6).write(tmp_path).read_text()
    with (tmp_path / "suspects.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [row["photo"] for row in table] == [suspect.photo.photo for suspect in found]
    assert [int(row["rank"]) for row in table] == list(range(1, len(found) + 1))
    tiles = re.findall(r"<b>(record \d+, model \d+\+? \(\d+%\))</b><span>\d+: photo (\d+),", html)
    assert tiles == [(caption(suspect), suspect.photo.photo) for suspect in found[:6]]
    for (words, photo), row in zip(tiles, table, strict=False):
        assert row["photo"] == photo
        assert words.startswith(f"record {row['record']}, model {row['count']}")
        assert f"({float(row['p_count']):.0%})" in words
    assert html.count("data:image/jpeg;base64,") == 6
    assert "probably wrong, or right about what cannot be seen" in html


def test_the_command_goes_on_from_there_and_prints_what_the_page_shows(
    search: SuspectSearch, found: Sequence[Suspect], file: Path, out: Path
) -> None:
    arguments = [search.dataset.folder, file, "--folds", NUM_FOLDS, "--top", 5, "--out", out]
    done = run_suspects(*arguments, "--json")
    assert done.exit_code == 0, done.output
    assert [json.loads(line) for line in done.stdout.splitlines()] == rows(found)[:5]
    unlikely = sum(suspect.score > 0.5 for suspect in found)
    assert run_suspects(*arguments).stdout.splitlines() == [
        f"84 records judged; of {unlikely} another count is more likely",
        f"report: {out / 'index.html'}",
    ]


def test_test_photos_are_judged_only_where_asked_for_and_others_never_where_the_recipe_leaves_them_out(
    dataset: Dataset, file: Path
) -> None:
    recipe = load_recipe(file)
    south = load_recipe(file, ["data.where={site=['south']}"])
    assert {p.split for p in SuspectSearch(dataset=dataset, recipe=recipe).photos} == {"train", "val"}
    whole = SuspectSearch(dataset=dataset, recipe=south, splits=("train", "val", "test")).photos
    assert whole == dataset.select(where=lambda photo: photo.extras["site"] == "south")


def test_bad_inputs_are_one_sentence(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("years of work")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "1.txt").write_text("years of work")
    new = ("--out", tmp_path / "new")
    for arguments, kind, says in [
        ((tmp_path / "gone", file, *new), MissingObject, "binsight data prepare"),
        ((dataset.folder, tmp_path / "gone.toml", *new), MissingObject, "no file"),
        ((dataset.folder, file, "training.epoch=2", *new), BadRecipe, "unknown field training.epoch"),
        ((dataset.folder, file, "--out", tmp_path / "file"), BadInput, "is a file; name a folder"),
        ((dataset.folder, file, "--out", tmp_path / "thesis"), BadInput, "holds other files"),
        (
            (dataset.folder, file, "--folds", 90, *new),
            BadInput,
            "the 42 chains of bins of the 84 photos, but are 90",
        ),
        ((dataset.folder, file, "data.where={site=['east']}", *new), BadInput, "choose another --split"),
        (
            (dataset.folder, file, "data.where={sight=['north']}", *new),
            BadRecipe,
            "but names sight; mend the recipe",
        ),
    ]:
        done = run_suspects(*arguments)
        assert isinstance(done.exception, kind), (arguments, done.exception)
        assert says in str(done.exception)
    assert not (tmp_path / "new").exists()


def test_a_fold_whose_estimates_were_damaged_is_named(
    search: SuspectSearch, found: object, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out, tmp_path / "out", symlinks=True)
    (tmp_path / "out" / "folds" / "1" / "estimates.npy").write_bytes(b"")
    with pytest.raises(
        OSError, match=r"1/estimates\.npy cannot be read .*; delete it to have the fold judged again"
    ):
        find_suspects(search, tmp_path / "out")


def test_a_photo_that_vanished_is_named(file: Path, tmp_path: Path) -> None:
    made = toy_dataset(tmp_path / "toy")
    (made.folder / made.photos[3].file).unlink()
    with pytest.raises(BadDataset, match="003"):
        find_suspects(SuspectSearch(dataset=made, recipe=load_recipe(file), num_folds=2, seed=9), tmp_path / "out")
