"""A certificate that audits or counts put out of force verifies nothing over HTTP either."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.service_support import client_of, some_settings, until

from binsight.counting import Bundle, default_bundle
from binsight.errors import StorageFailure
from binsight.service import suspensions
from binsight.service.app import make_app
from binsight.service.suspensions import NOT_KNOWN, Suspensions
from binsight.storage.ledger import Certificates, Ledger
from binsight.storage.ledger.certificates import REINSTATED, SUSPENDED

WHY = {"reasons": [{"why": "breached", "sentence": "too many were wrong"}], "audit": None}
PHOTO = next(data for name, data, _ in Bundle.open(default_bundle()).golden() if name == "drawn-04.jpg")
"""A photo whose record of 3 the default bundle's certificate verifies."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def certificates(url: str) -> Iterator[Certificates]:
    certificates = Certificates(Ledger.open(url))
    yield certificates
    certificates.close()


def served(sha256: str = "a" * 64) -> Any:
    return SimpleNamespace(certificate_sha256=sha256)


def verdict(client: TestClient) -> dict[str, Any]:
    response = client.post("/v1/verify?expected=3", content=PHOTO, headers={"Content-Type": "image/jpeg"})
    found: dict[str, Any] = response.json()["verdict"]
    return found


def test_what_is_suspended_verifies_nothing_until_it_is_reinstated(
    url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspensions, "LOOK_EVERY_S", 0.05)
    with client_of(make_app(chosen=some_settings(ledger=url))) as client:
        until(lambda: verdict(client)["verdict"] == "verified")
        (sha256,) = {one.certificate_sha256 for one in [client.app.state.lanes.served]}  # type: ignore[attr-defined]
        certificates.add(SUSPENDED, sha256, WHY, by="ada")
        until(lambda: verdict(client)["verdict"] == "not_assessable")
        assert verdict(client)["reason"] == "the certificate is suspended (breached)"
        assert client.get("/v1/models").json()["models"][0]["certificate"] is None
        certificates.add(REINSTATED, sha256, {"reason": "counted again"}, by="ada")
        until(lambda: verdict(client)["verdict"] == "verified")
        assert client.get("/v1/models").json()["models"][0]["certificate"] is not None


def test_a_service_that_starts_with_a_suspended_certificate_never_verifies(
    url: str, certificates: Certificates
) -> None:
    app = make_app(chosen=some_settings(ledger=url))
    with client_of(app) as client:
        sha256 = app.state.lanes.served.certificate_sha256
    certificates.add(SUSPENDED, sha256, WHY, by="ada")
    with client_of(make_app(chosen=some_settings(ledger=url))) as client:
        while (found := verdict(client))["reason"] == NOT_KNOWN:
            assert found["verdict"] == "not_assessable"
        assert (found["verdict"], found["reason"]) == ("not_assessable", "the certificate is suspended (breached)")


def test_a_certificate_that_was_not_looked_up_yet_speaks_for_nothing(url: str, certificates: Certificates) -> None:
    known: list[Any] = [served()]
    asked = Suspensions(url, lambda: known)
    assert asked.why(served()) == NOT_KNOWN
    asked.step()
    assert asked.why(served()) == ""
    known.append(served("b" * 64))
    assert asked.why(known[1]) == NOT_KNOWN
    asked.step()
    assert asked.why(known[1]) == ""
    asked.stop()


def test_without_a_ledger_nothing_is_suspended_and_none_is_made(tmp_path: Path, url: str) -> None:
    asked = Suspensions(url, lambda: [served()])
    asked.step()
    assert asked.why(served()) == ""
    assert not list(tmp_path.iterdir())
    with closing(Certificates(Ledger.open(url))) as certificates:  # which somebody makes later
        certificates.add(SUSPENDED, "a" * 64, WHY, by="ada")
    asked.step()
    assert "breached" in asked.why(served())
    asked.stop()


def test_before_a_ledger_could_be_asked_nothing_is_verified(caplog: pytest.LogCaptureFixture) -> None:
    asked = Suspensions("postgresql+psycopg://127.0.0.1:1/none", lambda: [served()])
    with caplog.at_level(logging.ERROR):
        asked.step()
        asked.step()
    assert asked.why(served()) == NOT_KNOWN
    assert len(caplog.records) == 1, "said once, not every few seconds"


def test_a_ledger_that_fails_leaves_what_it_said_last(
    url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.add(SUSPENDED, "a" * 64, WHY, by="ada")
    asked = Suspensions(url, lambda: [served()])
    asked.step()

    def failing(*_: Any) -> Any:
        raise StorageFailure("the database is gone")

    monkeypatch.setattr(Certificates, "suspended", failing)
    asked.step()
    assert "breached" in asked.why(served())
    asked.stop()
