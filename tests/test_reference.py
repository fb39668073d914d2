"""`binsight reference`: the same model, with the photos that drift is measured against."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.bundle_support import bundle_without_reference
from tests.dataset_support import real_dataset

from binsight.cli import cli
from binsight.counting import Bundle, Counter
from binsight.decision.reference import read_reference
from binsight.errors import BadInput


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, ["reference", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_bundle_gets_a_reference_and_keeps_its_model(abid: Path, tmp_path: Path) -> None:
    dataset = real_dataset(abid, tmp_path / "dataset", {"val": 100})
    before = Bundle.open(bundle_without_reference(tmp_path / "before"))
    told = json.loads(run(before.folder, dataset.folder, tmp_path / "after", "--json"))
    after = Bundle.open(tmp_path / "after")
    assert told == {"bundle": str(after.folder), "version": after.version, "photos": 100}
    assert after.version != before.version
    assert after.spec.files["model.onnx"] == before.spec.files["model.onnx"]
    assert after.spec.lineage["same_model_as"] == before.version
    Counter.load(after.folder).check_golden()
    data = after.reference()
    assert data is not None
    reference = read_reference(data, name="reference.json")
    assert (reference.num_photos, reference.split, reference.dataset_sha256) == (100, "val", dataset.digest)
    again = run(after.folder, dataset.folder, tmp_path / "again")
    assert "drift is measured against 100 val photos" in again
    assert (tmp_path / "again" / "card.md").read_text().count("## What drift is measured against") == 1
    assert (tmp_path / "again" / "reference.json").read_bytes() == data, "the same photos give the same reference"
    with pytest.raises(BadInput, match="bundles never change"):
        run(after.folder, dataset.folder, tmp_path / "again")


def test_too_few_photos_leave_nothing_behind(abid: Path, tmp_path: Path) -> None:
    dataset = real_dataset(abid, tmp_path / "dataset", {"val": 8})
    bundle = bundle_without_reference(tmp_path / "bundle")
    with pytest.raises(BadInput, match="at least 100 photos, but there are 8"):
        run(bundle, dataset.folder, tmp_path / "after")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "dataset"]
