"""What a worker of Ray holds from shard to shard; Ray itself is not needed for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from binsight.counting import default_bundle
from binsight.engines.ray import counting


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    counting._held.clear()
    yield
    counting._held.clear()


def test_a_worker_opens_a_bundle_once_whichever_run_its_shards_are_of() -> None:
    unpacked = list[Path]()

    def unpack() -> Path:  # each run sends the files anew
        unpacked.append(default_bundle())
        return default_bundle()

    assert counting.counter_of("a", unpack) is counting.counter_of("a", unpack)
    assert len(unpacked) == 1


def test_a_worker_lets_go_of_the_bundle_before() -> None:
    counting.counter_of("a", default_bundle)
    counter = counting.counter_of("b", default_bundle)
    assert counting._held == {"b": counter}
