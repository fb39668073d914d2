"""A whole retraining, small and real: photos of bins that people counted, a network, a bundle, a decision."""

import json
from pathlib import Path

import pytest
from bench.retrain_kills import measure
from click.testing import CliRunner
from tests.retrain_support import a_site, counted, fresh_photos
from tests.train_support import RECIPE

from binsight.cli import cli
from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.dataset.manifest import Dataset
from binsight.records import CHAMPION
from binsight.storage.ledger import Ledger, Promotions, Retrainings


def test_counted_bins_make_a_challenger_that_is_judged_and_a_worse_one_is_not_promoted(
    abid: Path, registry: Registry, places: dict[str, str], tmp_path: Path
) -> None:
    recipe = RECIPE.replace("lcnet_035", "test_efficientnet")  # whose export takes a third of the time
    site = a_site(abid, tmp_path, {"train": 24, "val": 12, "test": 110}, recipe=recipe)
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    photos = fresh_photos(abid, 8, not_in=tmp_path / "base", folder=tmp_path / "photos")
    counted(ledger, photos, folder=tmp_path, drawn=[1, 2])

    command = ["retrain", str(site.terms), "--work", str(site.work), "--json"]
    ended = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    assert said["state"] == "kept", "a network that has seen 32 photos is worse than the default one"
    assert "points of exact answers" in said["sentence"]

    steps = site.work / "steps"
    (dataset,), (run,) = steps.glob("prepare-*/dataset"), steps.glob("train-*/run")
    (challenger,), (report,) = steps.glob("export-*/challenger"), steps.glob("compare-*/verdict/index.html")
    assert len(Dataset.open(dataset).select("train")) == 24 + 8
    assert 'weight = "weight"' in (run / "recipe.toml").read_text()
    assert Bundle.open(challenger).version == said["challenger"]
    assert Bundle.open(challenger).spec.lineage["dataset_sha256"] == Dataset.open(dataset).digest
    assert "keep" in report.read_text().lower()
    pointed = registry.pointed(CHAMPION)
    assert pointed is not None
    assert pointed.version == Bundle.open(default_bundle()).version
    (decision,) = Promotions(ledger).decisions(said["challenger"])
    assert decision.word == "keep"
    assert Retrainings(ledger).newest()[0].state == "kept"

    again = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert again.exit_code == 3
    assert "nothing is new" in json.loads(again.stdout)["sentence"]
    not_due = CliRunner().invoke(cli, [*command, "--when-due"], catch_exceptions=False)
    assert not_due.exit_code == 3
    assert json.loads(not_due.stdout)["sentence"].startswith("not due: no bin was counted since")
    ledger.close()


def test_killed_at_twenty_random_moments_the_same_bundle_and_decision_come_of_it(
    abid: Path, tmp_path: Path
) -> None:
    """2,000 real photos, real processes and SIGKILL; a small network, small pixels, and no import of it all after each."""
    found = measure(abid, tmp_path, num_photos=2000, num_kills=24, seed=1, lean=True)
    assert found["repeated"] == []
    assert found["same_bundle"]
    assert found["same_decision"]
    assert found["kills"] >= 20, (
        "of 24: in the end it may be faster than the undisturbed one, whose moments these are"
    )
    assert len(found["killed_in"]) >= 3, "in so many different steps"


@pytest.mark.slow
def test_as_the_command_line_starts_it_and_with_a_larger_network_too(abid: Path, tmp_path: Path) -> None:
    found = measure(abid, tmp_path, num_photos=2000, num_kills=20, seed=1)
    assert found["repeated"] == []
    assert found["same_bundle"]
    assert found["same_decision"]
    assert found["kills"] >= 15
