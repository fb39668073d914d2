"""What webhooks are told of audits and consignments: signed, tried again, and never silently lost."""

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from standardwebhooks import Webhook
from tests.stock_support import stock_csv
from tests.webhook_server import webhook_server

from binsight.cli import cli
from binsight.errors import BadInput
from binsight.settings import settings
from binsight.storage.ledger import Journal, Ledger
from binsight.webhooks import EventMessage, Hooks

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture
def files(tmp_path: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records, lines of consignments and estimates; what is told is signed."""
    monkeypatch.setenv("BINSIGHT_EVENT_SECRET", SECRET)
    probs = [0.01, 0.97, *[0.02 / 19] * 19]
    estimates = "".join(json.dumps({"photo": f"{name}.jpg", "probs": probs}) + "\n" for name in "AB")
    (tmp_path / "counts.jsonl").write_text(estimates)
    stock_csv(tmp_path / "records.csv", "bin_id,expected_qty\nA,1\nB,2\n")
    stock_csv(tmp_path / "lines.csv", "consignment,tote,expected_qty\nC-1,A,1\nC-2,B,2\n")
    return tmp_path


def audit(monkeypatch: pytest.MonkeyPatch, urls: list[str], *arguments: object) -> Result:
    monkeypatch.setenv("BINSIGHT_EVENT_URLS", json.dumps(urls))
    settings.cache_clear()
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)])


def run(files: Path) -> tuple[object, ...]:
    return (files / "records.csv", "--estimates", files / "counts.jsonl", "--out", files / "out")


def test_the_end_of_an_audit_is_told_and_signed(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook_server() as server:
        assert audit(monkeypatch, [server.url], *run(files)).exit_code == 0
        (received,) = server.received
    told = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert told["type"] == "audit.ended"
    summary = json.loads((files / "out" / "audit.json").read_text())
    assert told["data"]["audit"] == summary["audit"]
    assert told["data"]["num_tasks"] == summary["num_tasks"]


def test_consignments_are_told_with_their_place_in_the_journal(
    files: Path, monkeypatch: pytest.MonkeyPatch, places: dict[str, str]
) -> None:
    lines = ("consignments", files / "lines.csv", "--estimates", files / "counts.jsonl", "--out", files / "out")
    with webhook_server() as server:
        audit(monkeypatch, [server.url], *lines)
        audit(monkeypatch, [server.url], "consignments", "release", "C-1", "--by", "Ann")
        told = [Webhook(SECRET).verify(one.body, dict(one.headers)) for one in server.received]
    assert [one["type"] for one in told] == ["consignment.judged", "consignment.judged", "consignment.released"]
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    hashes = [entry.hash for entry in Journal(ledger).read()]
    ledger.close()
    assert [one["data"]["entry_hash"] for one in told] == hashes
    assert [one["data"]["decision"] for one in told] == ["RELEASE", "HOLD", "RELEASE"]
    assert told[2]["data"]["by"] == "Ann"


def test_a_webhook_that_refuses_is_named_and_the_audit_stands(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook_server(404) as server, webhook_server() as other:
        result = audit(monkeypatch, [f"{server.url}/t0ken", other.url], *run(files))
        assert len(server.received) == len(other.received) == 1
    assert result.exit_code == 1
    assert "the webhook at 127.0.0.1 has refused audit.ended; 1 of 1 messages were not delivered" in result.stderr
    assert "t0ken" not in result.output
    assert (files / "out" / "index.html").exists()


def test_what_fails_is_tried_again_and_then_given_up(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [EventMessage(event="count.settled", sentence=str(number)) for number in range(3)]
    with webhook_server(500, 429, 204, 204, 503) as server:
        monkeypatch.setenv("BINSIGHT_EVENT_URLS", json.dumps([server.url]))
        settings.cache_clear()
        (fault,) = Hooks.from_settings().tell(messages, waits_s=(0.01, 0.01))
        assert [one.json["data"]["sentence"] for one in server.received] == ["0", "0", "0", "1", "2", "2", "2"]
    assert "1 of 3 messages were not delivered" in fault


def test_a_wrong_setting_ends_the_command_before_any_work(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = audit(monkeypatch, ["http://example.com/t0ken"], *run(files))
    assert isinstance(result.exception, BadInput)
    assert "BINSIGHT_EVENT_URLS must hold https:// addresses" in str(result.exception)
    assert "t0ken" not in str(result.exception)
    assert not (files / "out").exists()
    monkeypatch.setenv("BINSIGHT_EVENT_SECRET", "whsec_short")
    secret = audit(monkeypatch, ["https://example.com"], *run(files))
    assert "BINSIGHT_EVENT_SECRET must be whsec_" in str(secret.exception)


def test_without_addresses_nothing_is_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit(monkeypatch, [], *run(files)).exit_code == 0
