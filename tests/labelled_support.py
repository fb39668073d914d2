"""Captures in either layout, and counts that people add to them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from binsight.settings import settings
from binsight.storage.captures import Capture, open_captures, open_truths


@pytest.fixture(params=["compact", "sagemaker"])
def captures_in(
    request: pytest.FixtureRequest, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Where captures lie, as the environment names it, in both layouts."""
    monkeypatch.setenv("BINSIGHT_CAPTURE", str(tmp_path / "captures"))
    monkeypatch.setenv("BINSIGHT_CAPTURE_LAYOUT", request.param)
    settings.cache_clear()
    yield tmp_path / "captures"


def keep(captures: Sequence[Capture]) -> None:
    store = open_captures(settings())
    store.write(captures)
    store.close()


def label(counts: Mapping[str, int], *, now: datetime | None = None) -> None:
    store = open_captures(settings())
    open_truths(settings()).add(store.read(), counts, now=now or datetime.now(UTC))
    store.close()
