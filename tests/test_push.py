"""`binsight data prepare --push`: a dataset in a store is whole, or it is none."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.prepare_support import CHAINS, drawn_source, run, tree

from binsight.cli.data_prepare import prepare as command
from binsight.dataset.push import push_dataset
from binsight.errors import BadInput, StorageFailure
from binsight.storage.objects import Objects, open_store

from .s3_server import CREDENTIALS, running_s3_server


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_source(tmp_path_factory.mktemp("source"), CHAINS)


def test_a_pushed_dataset_is_complete_immutable_and_found_there_again(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "bins")
    run(source, tmp_path / "other", seed=1)
    url = (tmp_path / "store").as_uri()
    assert push_dataset(tmp_path / "bins", url) == len(tree(tmp_path / "bins"))
    assert tree(tmp_path / "store") == tree(tmp_path / "bins")
    assert push_dataset(tmp_path / "bins", url) == 0
    with pytest.raises(BadInput, match="another dataset"):
        push_dataset(tmp_path / "other", url)


def test_a_dataset_is_pushed_to_a_real_s3_server(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with running_s3_server(tmp_path / "server") as server:
        server.put("datasets", {"readme.txt": b"the bucket is made with its first object"})
        url = "s3://datasets/bins/one"
        push = ["--push", url, "--endpoint-url", server.endpoint_url]
        done = CliRunner().invoke(command, [str(source), str(tmp_path / "bins"), "--jobs", "1", *push])
        assert done.exit_code == 0, done.output
        store = open_store(url, endpoint_url=server.endpoint_url)
        assert {found.name: store.read(found.name) for found in store.list()} == tree(tmp_path / "bins")
        assert push_dataset(tmp_path / "bins", url, endpoint_url=server.endpoint_url) == 0


def test_a_push_that_fails_leaves_nothing_that_is_a_dataset(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path / "bins")
    whole_write = Objects.write

    def write(self: Objects, name: str, data: bytes | Path) -> None:
        if name == "rejects.csv":
            raise StorageFailure("the store is full")
        whole_write(self, name, data)

    with monkeypatch.context() as broken:
        broken.setattr(Objects, "write", write)
        with pytest.raises(StorageFailure):
            push_dataset(tmp_path / "bins", (tmp_path / "store").as_uri())
    assert not (tmp_path / "store" / "dataset.json").exists()
    push_dataset(tmp_path / "bins", (tmp_path / "store").as_uri())
    assert tree(tmp_path / "store") == tree(tmp_path / "bins")
