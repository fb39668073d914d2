"""A world in which one model is better: a frozen set of real files, what was trained on, four bundles, and a champion."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.promotion_support import reading_bundle, samples, write_samples

from binsight.cli import cli
from binsight.counting.registry import Registry
from binsight.errors import (
    BinsightError,
)
from binsight.lifecycle.policy import PromotionPolicy
from binsight.records import CHAMPION
from binsight.report import Page

NUM = 120
TERMS = ("min_photos=100", "latency_ratio=1000", "ece_margin=1")
"""A small set, and networks so small that what they take is noise; nor are they calibrated."""
SMALL = PromotionPolicy.of(dict(term.split("=") for term in TERMS))


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


@pytest.fixture
def registry_of_test(world: World) -> Iterator[Registry]:
    registry = Registry.open()
    yield registry
    registry.close()
