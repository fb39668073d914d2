"""Faults of the real kind while it retrains, a disk that fills up, a database and a store that go away: a sentence, nothing
is promoted, and when the fault is gone the same command goes on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.postgres_server import postgres_that_stops
from tests.retrain_fakes import tell, times_begun
from tests.retrain_world import FIRST, Retrained, a_world
from tests.s3_server import CREDENTIALS, PUBLIC_BUCKET, running_s3_server
from tests.small_disk import mounted
from tests.tcp_switch import running_switch

from binsight.counting import default_bundle
from binsight.counting.registry import Registry
from binsight.errors import StorageFailure
from binsight.records import CHAMPION
from binsight.settings import settings
from binsight.storage import objects

STEPS = ("gather", "train", "export", "compare")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes: room for a challenger, and not for two."""
    with mounted(tmp_path / "disk", megabytes=6) as folder:
        yield folder


@pytest.mark.parametrize("full_in", STEPS)
def test_a_disk_that_fills_up_is_a_sentence_and_with_room_it_goes_on(
    retrained: Retrained, small_disk: Path, full_in: str
) -> None:
    ballast = small_disk / "ballast"

    def fill(_: object = None) -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                return

    tell(**{full_in: fill})
    if full_in == "gather":
        fill()
    work = str(small_disk / "work")
    with pytest.raises(StorageFailure, match="space"):
        retrained.run(work=work)
    assert retrained.champion == FIRST
    with pytest.raises(StorageFailure, match="space"):  # and as long as it is full
        retrained.run(work=work)
    ballast.unlink()
    tell()
    assert retrained.run(work=work).state == "promoted"
    assert retrained.champion != FIRST
    begun = times_begun(small_disk / "work")
    assert all(begun[name] == 1 for name in STEPS[: STEPS.index(full_in)])


def a_registry() -> Registry:
    """As the settings have it, with the default bundle as the champion."""
    settings.cache_clear()
    registry = Registry.open()
    registry.register(default_bundle(), by="ann")
    registry.point(CHAMPION, FIRST, by="ann", reason="", seen=None)
    return registry


def test_a_database_that_stops_while_it_trains_or_compares_is_gone_on_from(
    abid: Path, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_that_stops() as server:
        monkeypatch.setenv("BINSIGHT_LEDGER", server.url)
        with a_world(abid, a_registry(), server.url, tmp_path, monkeypatch) as world:
            for step in ("train", "compare"):
                tell(**{step: lambda _: server.stop()})
                with pytest.raises(
                    StorageFailure, match=r"the ledger at .* failed \(.*check the address, or start"
                ):
                    world.run()
                server.start()
                assert world.champion == FIRST
            tell()
            assert world.run().state == "promoted"
            assert world.champion != FIRST
            begun = times_begun(world.site.work)
            assert (begun["train"], begun["export"]) == (1, 1), (
                "what was made before the database went is not made again"
            )
            world.registry.close()


def test_a_store_that_answers_503_from_training_on_is_gone_on_from(
    abid: Path, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(objects._RETRY, "max_retries", 2)
    monkeypatch.setitem(objects._RETRY, "backoff", {"init_backoff": timedelta(milliseconds=1)})
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BINSIGHT_BUNDLES", f"s3://{PUBLIC_BUCKET}/retrained")
    with running_s3_server(tmp_path / "s3") as server, running_switch(server.endpoint_url) as switch:
        monkeypatch.setenv("BINSIGHT_ENDPOINT_URL", switch.endpoint_url)
        with a_world(abid, a_registry(), places["BINSIGHT_LEDGER"], tmp_path, monkeypatch) as world:
            tell(train=lambda _: switch.busy(True))
            with pytest.raises(StorageFailure, match="answered 503, also when asked again; try again later"):
                world.run()
            assert switch.num_refused and world.champion == FIRST
            switch.busy(False)
            tell()
            assert world.run().state == "promoted"
            assert world.champion != FIRST
            assert times_begun(world.site.work)["train"] == 1
            world.registry.close()
