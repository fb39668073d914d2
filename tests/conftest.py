"""Fixtures that more than one file of tests uses."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Two test workers share two cores: each numeric library with two threads of its own would only wait for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from tests.s3_server import PUBLIC_BUCKET, S3Server, abid_objects, running_s3_server

from binsight.counting import default_bundle
from binsight.records import CHAMPION
from binsight.settings import settings as binsight_settings

if TYPE_CHECKING:
    from tests.files_together import FilesTogether
    from tests.sagemaker_runtime import Runtime

    from binsight.counting.registry import Registry

# A shell that runs the tests in the background has its children ignore Ctrl-C, and theirs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.ledger_support",
    "tests.console_fixtures",
    "tests.labelled_support",
    "tests.retrain_fixtures",
    "tests.promotion_world",
]

FIRST = (
    "test_retrain_real.py",
    "test_train.py",
    "test_tune.py",
    "test_quantise.py",
    "test_export.py",
    "test_suspects.py",
)
"""Tests that train networks come first: begun at the end, the last one keeps one worker busy for minutes by itself."""

NUM_PHOTOS = 2000
"""Photos, with their records, in the bucket that fetches read."""

ABID = Path(__file__).resolve().parents[2] / "shared" / "abid"

settings.register_profile("binsight", deadline=None)  # a busy machine is not a fault of the code
settings.load_profile("binsight")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> "FilesTogether":
    from tests.files_together import FilesTogether  # needs pytest-xdist

    config.option.loadscopereorder = False  # by number of tests, which says nothing of how long they take
    return FilesTogether(config, log)


@pytest.fixture(scope="session", autouse=True)
def not_my_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests do lands in no ledger and among no bundles of whoever runs them, nor does it depend on those."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("BINSIGHT_LEDGER", f"sqlite:///{home}/ledger.db")
        patch.setenv("BINSIGHT_BUNDLES", str(home / "bundles"))
        binsight_settings.cache_clear()
        yield


@pytest.fixture(scope="session")
def abid() -> Path:
    """The folder of real bin photos; tests that need it are skipped where it is not there."""
    if not (ABID / "labels.csv").is_file():
        pytest.skip("the real photos (../shared/abid) are not here")
    return ABID


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded pixels are kept for the tests alone."""
    monkeypatch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    binsight_settings.cache_clear()


@pytest.fixture(scope="session")
def objects(abid: Path) -> dict[str, bytes]:
    """What the bucket holds: ABID's names → bytes. The first ids have gaps, as the shared photos do."""
    return abid_objects(abid, NUM_PHOTOS)


@pytest.fixture(scope="session")
def s3(objects: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.put(PUBLIC_BUCKET, objects)
        yield server


@pytest.fixture(scope="session")
def sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Runtime"]:
    from tests.sagemaker_runtime import running_runtime  # needs the extra `serve`

    with running_runtime(tmp_path_factory.mktemp("runtime")) as running:
        yield running


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Ledger, bundles and cache of one test, as the environment names them."""
    values = {
        "BINSIGHT_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
        "BINSIGHT_BUNDLES": str(tmp_path / "bundles"),
        "BINSIGHT_CACHE_DIR": str(tmp_path / "cache"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    binsight_settings.cache_clear()
    yield values
    binsight_settings.cache_clear()


@pytest.fixture
def registry(places: dict[str, str]) -> Iterator["Registry"]:
    """With the default bundle as the champion."""
    from binsight.counting.registry import Registry  # needs the extra `ledger`

    registry = Registry.open()
    version = registry.register(default_bundle(), by="ann").version
    registry.point(CHAMPION, version, by="ann", reason="", seen=None)
    yield registry
    registry.close()
