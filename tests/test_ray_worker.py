"""What a worker of Ray holds from shard to shard; Ray itself is not needed for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from binsight.counting import Bundle, default_bundle
from binsight.counting.bundle import MODEL_NAME
from binsight.engines.ray import counting
from binsight.engines.ray.bundles import packed, unpacked
from binsight.settings import settings


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    counting._held.clear()
    yield
    counting._held.clear()


def test_a_worker_opens_a_bundle_once_whichever_run_its_shards_are_of() -> None:
    calls = list[Path]()

    def unpack() -> Path:  # each run sends the files anew
        calls.append(default_bundle())
        return default_bundle()

    assert counting.counter_of("a", unpack) is counting.counter_of("a", unpack)
    assert len(calls) == 1


def test_a_worker_lets_go_of_the_bundle_before() -> None:
    counting.counter_of("a", default_bundle)
    counter = counting.counter_of("b", default_bundle)
    assert counting._held == {"b": counter}


def test_a_bundle_that_is_damaged_in_a_machines_cache_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path))
    settings.cache_clear()
    bundle = Bundle.open(default_bundle())
    kept = unpacked(packed(bundle), bundle.version)
    before = kept.stat().st_ino
    assert unpacked(packed(bundle), bundle.version) == kept and kept.stat().st_ino == before
    for damage in (lambda file: file.write_bytes(file.read_bytes()[:-1]), Path.unlink):
        damage(kept / MODEL_NAME)
        assert Bundle.open(unpacked(packed(bundle), bundle.version)).version == bundle.version
    settings.cache_clear()
