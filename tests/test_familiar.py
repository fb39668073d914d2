"""`binsight evaluate` notices that a model has learned from the photos that judge it, and says where nobody knows."""

import json
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.prepare_support import drawn_source, run, write_photo

from binsight.cli.evaluate import evaluate as command
from binsight.counting import default_bundle
from binsight.dataset.manifest import Dataset, Split
from binsight.lifecycle.familiar import familiar
from binsight.model.evaluate import evaluate, select
from binsight.model.familiar import OF_ITS_OWN, Familiar
from binsight.model.verification_page import summary

from .evaluate_support import everyday, seeing


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 60 photos split in two ways, `one` and `two`, and other photos alone: `other`."""
    folder = tmp_path_factory.mktemp("worlds")
    source = drawn_source(folder / "source", {f"{n:05}": (f"item{n // 2}",) for n in range(2, 62)})
    run(source, folder / "one", seed=1)
    run(source, folder / "two", seed=2)
    run(drawn_source(folder / "elsewhere", {f"{n:05}": (f"x{n}",) for n in range(500, 560)}), folder / "other")
    return folder


def bundle(folder: Path, *datasets: Dataset | str, first_weights: str = "none") -> Path:
    """The default bundle with another lineage: trained on the first of these, and begun with what learned the others."""
    shutil.copytree(default_bundle(), folder)
    own, *earlier = (one if isinstance(one, str) else one.digest for one in datasets)
    spec = json.loads((folder / "bundle.json").read_text())
    spec["lineage"] |= {"dataset_sha256": own, "learned_from": earlier, "first_weights": first_weights}
    (folder / "bundle.json").write_text(json.dumps(spec))
    return folder


def run_on(folder: Path, dataset: Dataset, *, lies_at: Path | None = None, **model: Any) -> Path:
    """A run folder that says what it was trained on, and where that lay."""
    pytest.importorskip("torch")
    from binsight.model.recipe import Recipe, checked, dump_recipe, load_recipe

    fields = load_recipe(Path(__file__).parents[1] / "recipes" / "default.toml").model_dump()
    fields["data"]["dataset"] = str(lies_at or dataset.folder)
    fields["model"] |= {"weights": "none"} | model
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_recipe(checked(Recipe, fields, source="a test")))
    (folder / "environment.json").write_text(json.dumps({"dataset": {"sha256": dataset.digest}}))
    return folder


def found_of(model: Path, dataset: Dataset, *training: Dataset, split: Split = "test") -> Familiar:
    return familiar(model, dataset, split, training, dataset.select(split))


def opened(worlds: Path) -> tuple[Dataset, Dataset, Dataset]:
    one, two, other = (Dataset.open(worlds / name) for name in ("one", "two", "other"))
    return one, two, other


def shared(one: Dataset, two: Dataset) -> set[str]:
    """The test photos of `two` that train or tune in `one`."""
    return {photo.photo for photo in two.select("test")} - {photo.photo for photo in one.select("test")}


def test_another_split_of_the_same_photos_is_noticed(worlds: Path, tmp_path: Path) -> None:
    """By a run, whose recipe says where its dataset lies, and by a bundle, to which somebody has to say it."""
    one, two, _ = opened(worlds)
    num_seen = len(shared(one, two))
    assert num_seen
    for found in (
        found_of(run_on(tmp_path / "run", one), two),
        found_of(bundle(tmp_path / "bundle", one), two, one),
        found_of(bundle(tmp_path / "begun", "b" * 64, one), two, one),
    ):
        assert (found.num_seen, found.num_photos) == (num_seen, len(two.select("test")))
        assert found.warns and f"learned from {num_seen} of these {found.num_photos} photos" in found.sentence
        assert "the same file as" in found.first
    assert found.not_known.startswith("it was trained on the dataset bbbb")


def test_its_own_test_photos_are_new_to_it_and_the_others_are_not(worlds: Path, tmp_path: Path) -> None:
    one, _, _ = opened(worlds)
    for model in (run_on(tmp_path / "run", one), bundle(tmp_path / "bundle", one)):
        for split in ("train", "val", "test"):
            found = found_of(model, one, split=split)  # type: ignore[arg-type]
            assert found.sentence == OF_ITS_OWN[split]  # type: ignore[index]
            assert found.num_seen == (0 if split == "test" else len(one.select(split)))  # type: ignore[arg-type]


def test_photos_that_chose_the_epoch_are_seen_too(worlds: Path, tmp_path: Path) -> None:
    one, two, _ = opened(worlds)
    chose = {photo.photo for photo in one.select("val")}
    photos = two.select(where=lambda photo: photo.photo in chose)
    assert photos
    assert familiar(run_on(tmp_path / "run", one), two, "test", (), photos).num_seen == len(photos)


def test_a_dataset_that_is_not_here_is_not_known(worlds: Path, tmp_path: Path) -> None:
    one, two, other = opened(worlds)
    moved = run_on(tmp_path / "moved", one, lies_at=tmp_path / "gone")
    replaced = run_on(tmp_path / "replaced", one, lies_at=other.folder)
    for model in (moved, replaced, bundle(tmp_path / "bundle", one)):
        found = found_of(model, two)
        assert found.warns and not found.num_seen
        assert f"is not known: it was trained on the dataset {one.digest[:12]}…; name its folder" in found.sentence
    assert found_of(moved, two, one).num_seen


def test_what_nobody_can_know_is_said(worlds: Path) -> None:
    """The counter that ships with Binsight began with a run that it does not tell of: no dataset that is named helps."""
    one, _, other = opened(worlds)
    for found in (found_of(default_bundle(), one), found_of(default_bundle(), one, other)):
        assert "nobody can say all that it, its first weights or its teachers were trained on" in found.sentence


def test_other_photos_are_known_to_be_new(worlds: Path, tmp_path: Path) -> None:
    one, _, other = opened(worlds)
    for found in (
        found_of(run_on(tmp_path / "run", other), one),
        found_of(bundle(tmp_path / "b", other), one, other),
    ):
        assert not found.warns
        assert found.sentence.startswith("The model has learned from none of these photos")


def site(folder: Path, *, seed: int, of: dict[str, str], labels: dict[str, str] | None = None) -> Dataset:
    """A dataset of photos with simple ids, two of them of each item in `of`; `labels` name a photo's group."""
    ids = [f"{n:05}" for n in range(1, 13)]
    source = drawn_source(folder / "source", {one: (of.get(one, f"item{int(one) // 2}"),) for one in ids})
    for one in ids:
        write_photo(source / "bin-images" / f"{one}.jpg", seed=seed + int(one))
    named = folder / "labels.csv"
    named.write_text("photo,count,group\n" + "".join(f"{one},1,{(labels or {}).get(one, '')}\n" for one in ids))
    run(source, folder / "dataset", named if labels else None)
    return Dataset.open(folder / "dataset")


def everything(dataset: Dataset, *training: Dataset, tmp_path: Path) -> Familiar:
    """What a bundle that was trained on others would know if all photos of the dataset judged it."""
    model = bundle(tmp_path / "bundle", *training)
    return familiar(model, dataset, "test", training, dataset.photos)


@pytest.mark.parametrize("labels", [None, {"00012": "bin 9"}], ids=["no labels", "labels that name some"])
def test_two_sites_with_simple_ids_share_no_bins(tmp_path: Path, labels: dict[str, str] | None) -> None:
    """Chains that the labels do not name are called after their first photos, as `00001` or `chain 00001`."""
    one = site(tmp_path / "one", seed=100, of={}, labels=labels)
    two = site(tmp_path / "two", seed=500, of={}, labels=labels and {"00012": "bin 8"})
    assert {photo.group for photo in one.photos} & {photo.group for photo in two.photos}
    assert not everything(two, one, tmp_path=tmp_path).warns


def test_a_chain_is_known_by_one_of_its_pictures_and_by_the_name_of_its_bin(tmp_path: Path) -> None:
    """Of the chain 00002 the first photo alone is the same, and does not judge; bin 9 has none that is."""
    one = site(tmp_path / "one", seed=100, of={}, labels={"00011": "bin 9", "00012": "bin 9"})
    source = drawn_source(tmp_path / "source", {"00002": ("a",), "00003": ("a",), "00007": ("b",)})
    (source / "bin-images" / "00002.jpg").write_bytes((tmp_path / "one/source/bin-images/00002.jpg").read_bytes())
    write_photo(source / "bin-images" / "00003.jpg", seed=903)
    write_photo(source / "bin-images" / "00007.jpg", seed=907)
    (tmp_path / "labels.csv").write_text("photo,count,group\n00002,1,\n00003,1,\n00007,1,bin 9\n")
    run(source, tmp_path / "two", tmp_path / "labels.csv")
    two = Dataset.open(tmp_path / "two")
    learned = replace(one, photos=tuple(replace(photo, split="train") for photo in one.photos))
    judging = [photo for photo in two.photos if photo.photo != "00002"]
    found = familiar(bundle(tmp_path / "bundle", learned), two, "test", (learned,), judging)
    assert found.num_seen == 2 and "the same chain of bins" in found.first


def test_first_weights_of_another_split_are_noticed(worlds: Path, tmp_path: Path) -> None:
    one, two, _ = opened(worlds)
    first = run_on(tmp_path / "first", one)
    found = found_of(run_on(tmp_path / "second", two, weights=f"run:{first}"), two)
    assert found.num_seen == len(shared(one, two))
    assert "learned from" in found.sentence and found.sentence != OF_ITS_OWN["test"]


def test_a_damaged_training_photo_leaves_it_open_and_stops_nothing(worlds: Path, tmp_path: Path) -> None:
    one, _, _ = opened(worlds)
    run(drawn_source(tmp_path / "source", {f"{n:05}": (f"x{n}",) for n in range(700, 712)}), tmp_path / "damaged")
    damaged = Dataset.open(tmp_path / "damaged")
    (damaged.folder / damaged.select("train")[0].file).write_bytes(b"no photo")
    found = found_of(run_on(tmp_path / "run", damaged), one)
    assert (found.num_seen, found.warns) == (0, True)
    assert found.not_known.startswith("not all photos could be looked at (")


def evaluated(model: Path, dataset: Dataset, out: Path, *arguments: str) -> tuple[str, dict[str, Any], str]:
    """What the command said on standard error, the metrics file and the page."""
    done = CliRunner().invoke(command, [str(model), str(dataset.folder), "--out", str(out), *arguments])
    assert done.exit_code == 0, done.output
    return done.stderr, json.loads((out / "metrics.json").read_text()), unescape((out / "index.html").read_text())


def test_the_command_says_it_on_screen_in_the_metrics_and_on_the_page(worlds: Path, tmp_path: Path) -> None:
    one, two, _ = opened(worlds)
    model, num = bundle(tmp_path / "bundle", one), len(shared(one, two))
    said, metrics, page = evaluated(model, two, tmp_path / "seen", "--training", str(one.folder), "--json")
    sentence = f"The model has learned from {num} of these {len(two.select('test'))} photos"
    assert f"note: {sentence}" in said and sentence in page
    assert metrics["familiar"]["num_seen"] == num and metrics["familiar"]["datasets"] == [one.digest]
    assert metrics["verification"]["bundle_on_these_photos"] is None
    assert "The model has seen photos among these, which cannot confirm the bundle's certificate." in page
    said, metrics, page = evaluated(model, two, tmp_path / "unknown")
    assert "note: Whether the model has learned from these photos is not known" in said
    assert metrics["familiar"]["not_known"] and "is not known" in page
    said, metrics, page = evaluated(model, one, tmp_path / "own")
    assert "note:" not in said and not metrics["familiar"]["not_known"] and OF_ITS_OWN["test"] in page


def test_a_certificate_is_not_confirmed_while_it_is_not_known_what_was_seen(tmp_path: Path) -> None:
    dataset, model = everyday(tmp_path / "everyday"), seeing(0.3)
    certificate = evaluate("x", model, dataset, select(dataset, "train", {})).verification.here
    selection = select(dataset, "test", {})

    def last(found: Familiar) -> str:
        measured = evaluate("x", model, dataset, selection, certificate=certificate, look=lambda _: found)
        return list(summary(measured.verification))[-1]

    assert last(Familiar()).startswith("None of the") and last(Familiar()).endswith("beyond chance.")
    assert last(Familiar(not_known="nobody knows")).endswith("whether the model has learned from these photos.")
    assert last(Familiar(num_seen=1)).endswith("cannot confirm the bundle's certificate.")
