"""Datasets in shards, on a disk and in an object store: the same dataset, read otherwise."""

import json
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from tests.prepare_support import CHAINS, drawn_source, run, tree
from tests.train_support import RECIPE

from binsight.cli.data_pack import pack as command
from binsight.cli.evaluate import evaluate
from binsight.dataset.manifest import Dataset
from binsight.dataset.pack import pack_dataset
from binsight.dataset.push import push_dataset
from binsight.dataset.shards import SHARDS_NAME
from binsight.errors import BadDataset, BadInput, BadRecipe, BinsightError, MissingObject, StorageFailure
from binsight.imaging import Preprocessing
from binsight.model.pixels import cached_pixels
from binsight.model.recipe import load_recipe
from binsight.model.suspects import SuspectSearch, find_suspects
from binsight.model.train import train
from binsight.settings import settings
from binsight.storage.objects import Objects

from .s3_server import CREDENTIALS, READER, S3Server, running_s3_server

SHARD_BYTES = 60_000
SMALL = Preprocessing(size=48, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("packing")
    run(drawn_source(folder / "source", CHAINS), folder / "bins")
    return Dataset.open(folder / "bins")


@pytest.fixture
def packed(dataset: Dataset, tmp_path: Path) -> Path:
    pack_dataset(dataset, str(tmp_path / "packed"), shard_bytes=SHARD_BYTES)
    return tmp_path / "packed"


def test_a_packed_dataset_is_the_same_dataset(dataset: Dataset, packed: Path) -> None:
    opened = Dataset.open(packed)
    assert (opened.digest, opened.photos) == (dataset.digest, dataset.photos)
    backwards = dataset.photos[::-1]
    assert opened.files.read(backwards) == dataset.files.read(backwards)
    opened.verify()
    assert sorted(index for part in opened.files.parts(backwards) for index in part) == list(range(len(backwards)))


def test_shards_are_tar_files_of_one_split_with_labels_beside_the_photos(dataset: Dataset, packed: Path) -> None:
    shards = sorted((packed / "shards").iterdir())
    assert len(shards) > 3
    found = {}
    for shard in shards:
        with tarfile.open(shard) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        labels = [json.loads(data) for name, data in files.items() if name.endswith(".json")]
        photos = [data for name, data in files.items() if not name.endswith(".json")]
        assert len({label["split"] for label in labels}) == 1
        assert len(photos) == 1 or sum(map(len, photos)) <= SHARD_BYTES
        for label, data in zip(labels, photos, strict=True):
            assert sha256(data).hexdigest() == label["sha256"]
            found[label["photo"]] = label["count"]
    assert found == {photo.photo: photo.count for photo in dataset.photos}


def test_a_dataset_is_packed_to_the_same_bytes(dataset: Dataset, packed: Path, tmp_path: Path) -> None:
    pack_dataset(dataset, str(tmp_path / "again"), shard_bytes=SHARD_BYTES)
    assert tree(tmp_path / "again") == tree(packed)


def test_pixels_come_out_as_from_a_folder(
    dataset: Dataset, packed: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    some = dataset.photos[::2]
    from_folder = np.array(cached_pixels(dataset, some, SMALL))
    monkeypatch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path / "another cache"))
    settings.cache_clear()
    np.testing.assert_array_equal(cached_pixels(Dataset.open(packed), some, SMALL), from_folder)


def test_packing_again_finds_it_done_and_another_dataset_is_refused(
    dataset: Dataset, packed: Path, tmp_path: Path
) -> None:
    before = tree(packed)
    done = CliRunner().invoke(command, [str(dataset.folder), str(packed)])
    assert "is there already, the same" in done.output and tree(packed) == before
    run(drawn_source(tmp_path / "source", CHAINS), tmp_path / "other", seed=1)
    for folder in (tmp_path / "other", dataset.folder):  # the latter lies there as it is, and is not packed over
        with pytest.raises(BadInput, match="never overwritten"):
            pack_dataset(dataset, str(folder), shard_bytes=SHARD_BYTES)


def test_a_place_that_holds_something_else_is_refused_and_left_as_it_is(dataset: Dataset, tmp_path: Path) -> None:
    strange = {
        "home": "letters/2026.txt",
        "unpacked": "train/00002.jpg",
        "another": "shards/0123456789ab-train-00000.tar",  # of another dataset, whose packing was cut off
    }
    for name, file in strange.items():
        place = tmp_path / name
        (place / file).parent.mkdir(parents=True)
        (place / file).write_text("mine")
        with pytest.raises(
            BadInput, match=f"must be empty, or hold this dataset packed, but holds {file}; pack to"
        ):
            pack_dataset(dataset, str(place), shard_bytes=SHARD_BYTES)
        assert tree(place) == {file: b"mine"}


def test_packing_that_was_cut_off_is_no_dataset_and_goes_on(
    dataset: Dataset, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    whole_write = Objects.write

    def write(self: Objects, name: str, data: bytes | Path) -> None:
        if len(written) == 3:
            raise StorageFailure("the store is full")
        written.append(name)
        whole_write(self, name, data)

    place = tmp_path / "cut off"
    with monkeypatch.context() as broken:
        broken.setattr(Objects, "write", write)
        with pytest.raises(StorageFailure):
            pack_dataset(dataset, str(place), shard_bytes=SHARD_BYTES)
    with pytest.raises(BinsightError):
        Dataset.open(place)
    first = written.copy()
    assert all(name.startswith("shards/") for name in first)

    def note(self: Objects, name: str, data: bytes | Path) -> None:
        written.append(name)
        whole_write(self, name, data)

    monkeypatch.setattr(Objects, "write", note)
    pack_dataset(dataset, str(place), shard_bytes=SHARD_BYTES)
    assert not set(first) & set(written[len(first) :]), "a shard that is there whole was written again"
    assert written[-1] == "dataset.json"
    assert tree(place) == tree(packed)


def test_a_photo_that_was_changed_is_not_packed(tmp_path: Path) -> None:
    run(drawn_source(tmp_path / "source", CHAINS), tmp_path / "bins")
    changed = Dataset.open(tmp_path / "bins")
    path = changed.path_of(changed.photos[3])
    path.unlink()  # a link to the source's file is not written through
    path.write_bytes(b"something else")
    with pytest.raises(BadDataset, match=f"{path.name} must have the checksum"):
        pack_dataset(changed, str(tmp_path / "packed"), shard_bytes=SHARD_BYTES)
    assert not (tmp_path / "packed" / "dataset.json").exists()


def test_a_damaged_shard_is_named(packed: Path) -> None:
    opened = Dataset.open(packed)
    photo = opened.select("train")[0]
    shard = sorted((packed / "shards").glob("*-train-00000.tar"))[0]
    data = bytearray(shard.read_bytes())
    data[tarfile.BLOCKSIZE + 100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(
        BadDataset, match=rf"{shard.name} at byte 512 must be photo {photo.photo} .*pack the dataset"
    ):
        opened.read_bytes(photo)
    shard.write_bytes(data[:1000])
    for cut_off in opened.select("train")[:2]:  # within the first photo, before the second
        with pytest.raises(BinsightError, match=shard.name):
            opened.read_bytes(cut_off)
    shard.unlink()
    with pytest.raises(BadDataset, match=f"{shard.name} is named by shards.parquet but is not there"):
        opened.read_bytes(photo)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard": "../../secrets.tar"}, "must lie in the dataset"),
        ({"shard": "/etc/passwd"}, "must lie in the dataset"),
        ({"offset": -1}, "names no place"),
        ({"photo": None}, "names no place"),
    ],
)
def test_a_list_of_shards_from_elsewhere_is_checked(packed: Path, change: dict[str, object], message: str) -> None:
    path = packed / SHARDS_NAME
    rows = pa.parquet.read_table(path).to_pylist()
    rows[0] |= change
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(BadDataset, match=message):
        Dataset.open(packed)


def test_a_list_of_shards_that_is_none_or_lacks_a_photo_is_named(packed: Path) -> None:
    path = packed / SHARDS_NAME
    rows = pa.parquet.read_table(path).to_pylist()
    pa.parquet.write_table(pa.Table.from_pylist(rows[1:]), path)
    opened = Dataset.open(packed)
    with pytest.raises(BadDataset, match=f"no place for photo {rows[0]['photo']}"):
        opened.verify()
    path.write_bytes(b"no parquet")
    with pytest.raises(BadDataset, match="no readable list of shards"):
        Dataset.open(packed)


def test_what_needs_files_says_so_of_a_packed_dataset(packed: Path, tmp_path: Path) -> None:
    opened = Dataset.open(packed)
    with pytest.raises(BadDataset, match="name the folder that it was made from"):
        opened.path_of(opened.photos[0])
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(dataset=packed))
    search = SuspectSearch(dataset=opened, recipe=load_recipe(recipe), num_folds=2)
    with pytest.raises(BadDataset, match="name the folder that it was made from"):
        find_suspects(search, tmp_path / "suspects")


@pytest.fixture(scope="module")
def bucket(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> "S3Server":
    """A real server whose bucket `datasets` holds the dataset packed and, beside it, pushed as it is."""
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        server.put("datasets", {"readme.txt": b"the bucket is made with its first object"})
        done = CliRunner().invoke(
            command,
            [
                *(str(dataset.folder), "s3://datasets/2026/packed"),
                *("--shard-mb", "0.06", "--endpoint-url", server.endpoint_url, "--json"),
            ],
        )
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["photos"] == len(dataset.photos)
        push_dataset(dataset.folder, "s3://datasets/pushed", endpoint_url=server.endpoint_url)
        yield server  # type: ignore[misc]


@pytest.fixture
def reader(bucket: S3Server, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Settings of somebody who may read the bucket and not write to it."""
    for name, value in (READER | {"BINSIGHT_ENDPOINT_URL": bucket.endpoint_url}).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    return bucket


@pytest.mark.parametrize("url", ["s3://datasets/2026/packed", "s3://datasets/pushed", "s3://datasets/pushed/"])
def test_a_dataset_in_a_bucket_is_the_same_dataset(dataset: Dataset, reader: S3Server, url: str) -> None:
    opened = Dataset.open(url)
    assert (opened.digest, opened.photos) == (dataset.digest, dataset.photos)
    assert opened.files.read(opened.photos) == dataset.files.read(dataset.photos)
    assert opened.folder.name == url.rstrip("/").rpartition("/")[2]


def test_a_network_learns_from_a_bucket_what_it_learns_from_a_folder(
    dataset: Dataset, reader: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(dataset=dataset.folder))
    train(load_recipe(recipe), tmp_path / "from folder", threads=1)
    monkeypatch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path / "another cache"))
    settings.cache_clear()
    url = "s3://datasets/2026/packed"
    there = train(load_recipe(recipe, [f"data.dataset={url}"]), tmp_path / "from bucket", threads=1)
    assert there.recipe.data.dataset == url
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("from folder", "from bucket")]
    assert weights[0] == weights[1]
    asked = [str(tmp_path / "from bucket"), url, "--split", "val", "--out", str(tmp_path / "report")]
    done = CliRunner().invoke(evaluate, asked)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report" / "index.html").is_file()


def test_a_bucket_without_a_dataset_says_how_to_put_one_there(reader: S3Server) -> None:
    with pytest.raises(
        MissingObject, match=r"s3://datasets/nothing holds no dataset\.json; put a dataset there with"
    ):
        Dataset.open("s3://datasets/nothing")


def test_a_changed_object_is_named(dataset: Dataset, bucket: S3Server, reader: S3Server) -> None:
    photo = dataset.photos[0]
    bucket.put("datasets", {f"changed/{name}": data for name, data in tree(dataset.folder).items()})
    opened = Dataset.open("s3://datasets/changed")
    bucket.put("datasets", {f"changed/{photo.file}": b"something else"})
    with pytest.raises(BadDataset, match=f"s3://datasets/changed/{photo.file} must be photo {photo.photo}"):
        opened.read_bytes(photo)


def test_a_recipe_names_a_folder_or_a_bucket(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(dataset="bins"))
    assert load_recipe(recipe).data.dataset == Path("bins")
    assert load_recipe(recipe, ["data.dataset=s3://bins/one"]).data.dataset == "s3://bins/one"
    with pytest.raises(BadRecipe, match="dataset"):
        load_recipe(recipe, ["data.dataset=3"])
