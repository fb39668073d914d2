"""Keys in the ledger and their commands: one contract for SQLite and PostgreSQL, both real."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.ledger_support import Opener, ledger_at

from binsight.cli import cli
from binsight.errors import BadInput, BinsightError, ChangedMeanwhile, MissingObject
from binsight.settings import settings
from binsight.storage.api_key import Rate, parsed_token
from binsight.storage.ledger import ApiKeys

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def keys(ledger_url: str, opened: Opener) -> ApiKeys:
    return ApiKeys(opened(ledger_url))


def secret_of(token: str) -> str:
    parsed = parsed_token(token)
    assert parsed is not None
    return parsed[1]


def test_a_key_is_kept_and_its_secret_is_not(keys: ApiKeys, ledger_url: str, opened: Opener) -> None:
    rate = Rate(photos_per_second=2.5, burst_photos=20)
    key, token = keys.add("dock 3", scopes=["read", "count", "read"], by="ann", rate=rate, expires_at=NOW + HOUR)
    again = ApiKeys(opened(ledger_url))
    assert again.all() == [key]
    assert again.not_revoked() == {key.id: key}
    assert (key.name, key.scopes, key.rate, key.created_by) == ("dock 3", ("count", "read"), rate, "ann")
    assert parsed_token(token) == (key.id, secret_of(token))
    with opened(ledger_url).reading() as connection:
        (row,) = connection.exec_driver_sql("SELECT * FROM api_keys")
    for kept in (str(row), repr(key), json.dumps(key.shown())):
        assert secret_of(token) not in kept
    assert key.secret_hash not in repr(key) + json.dumps(key.shown())


def test_a_key_opens_with_its_secret_alone(keys: ApiKeys) -> None:
    key, token = keys.add("a", scopes=["count"], by="ann", expires_at=NOW + HOUR)
    other, other_token = keys.add("b", scopes=["count"], by="ann")
    assert key.is_opened_by(secret_of(token), NOW)
    assert not key.is_opened_by(secret_of(other_token), NOW)
    assert not key.is_opened_by(key.secret_hash, NOW)
    assert not key.is_opened_by("", NOW)
    assert (key.state(NOW), key.state(NOW + HOUR), other.state(NOW + 10_000 * HOUR)) == (
        "active",
        "expired",
        "active",
    )


def test_scopes_are_what_a_key_is_for_and_admin_is_all(keys: ApiKeys) -> None:
    reader, _ = keys.add("a", scopes=["read"], by="ann")
    admin, _ = keys.add("b", scopes=["admin"], by="ann")
    assert [reader.has(scope) for scope in ("count", "read", "admin")] == [False, True, False]
    assert all(admin.has(scope) for scope in ("count", "read", "admin"))


def test_the_old_secret_opens_for_the_time_of_grace(keys: ApiKeys) -> None:
    key, first = keys.add("a", scopes=["count"], by="ann")
    renewed, second = keys.rotate(key.id, by="bob", old_until=NOW + HOUR)
    assert keys.all() == [renewed]
    assert (renewed.id, renewed.name, renewed.rotated_by) == (key.id, "a", "bob")
    opens = [renewed.is_opened_by(secret_of(t), at) for t in (first, second) for at in (NOW, NOW + HOUR)]
    assert opens == [True, False, True, True]
    newest, third = keys.rotate(key.id, by="bob", old_until=NOW + HOUR)
    assert [newest.is_opened_by(secret_of(token), NOW) for token in (first, second, third)] == [False, True, True]


def test_a_revoked_key_stays_revoked_and_says_by_whom(keys: ApiKeys) -> None:
    key, _ = keys.add("a", scopes=["count"], by="ann")
    revoked = keys.revoke(key.id, by="bob")
    assert (revoked.state(NOW), revoked.revoked_by) == ("revoked", "bob")
    assert keys.revoke(key.id, by="eve") == revoked
    assert keys.not_revoked() == {}
    with pytest.raises(BadInput, match="is revoked; add a new one"):
        keys.rotate(key.id, by="eve", old_until=NOW)


def test_of_many_who_rotate_at_once_all_learn_how_it_went(keys: ApiKeys) -> None:
    """A secret that was given out opens, now or through the grace of the next; who came too late is told."""
    key, _ = keys.add("a", scopes=["count"], by="ann")
    given, late = [], []

    def rotate() -> None:
        try:
            given.append(keys.rotate(key.id, by="x", old_until=NOW + HOUR)[1])
        except ChangedMeanwhile:
            late.append(1)

    threads = [threading.Thread(target=rotate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) + len(late) == 6
    (kept,) = keys.all()
    assert sum(kept.is_opened_by(secret_of(token), NOW) for token in given) == min(2, len(given))


def test_the_last_use_never_goes_back(keys: ApiKeys) -> None:
    key, _ = keys.add("a", scopes=["count"], by="ann")
    for moment in (NOW, NOW - HOUR):
        keys.note_uses({key.id: moment, "0" * 12: moment})
    (kept,) = keys.all()
    assert kept.last_used_at == NOW.isoformat(timespec="microseconds")


@pytest.mark.parametrize("text", ["", "bsk_", "bsk_0123456789ab", "bsk_0123456789ab_" + "g" * 64, "x" * 10_000])
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    assert parsed_token(text) is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": " "}, "name must be"),
        ({"name": "a\nb"}, "name must be"),
        ({"scopes": []}, "but are none"),
        ({"scopes": ["count", "root"]}, "scopes must be among"),
        ({"expires_at": NOW - HOUR}, "must expire in the future"),
    ],
)
def test_a_key_that_cannot_be_is_explained(
    values: dict[str, Any], says: str, tmp_path: Path, opened: Opener
) -> None:
    keys = ApiKeys(opened(f"sqlite:///{tmp_path}/ledger.db"))
    with pytest.raises(BadInput, match=says):
        keys.add(**{"name": "a", "scopes": ["count"], "by": "ann"} | values)
    assert keys.all() == []


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_a_rate_that_cannot_be_is_explained(per_second: float, burst: int) -> None:
    with pytest.raises(BadInput, match="rate must be"):
        Rate(photos_per_second=per_second, burst_photos=burst)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("BINSIGHT_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    settings.cache_clear()
    yield tmp_path / "ledger.db"
    settings.cache_clear()


def run_keys(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["keys", *arguments])


def test_the_commands_add_list_rotate_and_revoke(ledger: Path) -> None:
    added = run_keys("add", "robot 7", "--rate", "5", "--days", "30")
    token = added.stdout.strip()
    assert parsed_token(token), "the key alone, for KEY=$(binsight keys add …)"
    assert "not shown again" in added.stderr
    (line,) = [json.loads(line) for line in run_keys("list", "--json").stdout.splitlines()]
    assert (line["name"], line["state"], line["rate"]["burst_photos"], line["scopes"]) == (
        "robot 7",
        "active",
        50,
        ["count"],
    )
    assert token.split("_")[1] == line["id"]
    rotated = json.loads(run_keys("rotate", line["id"], "--grace-hours", "0", "--json").stdout)
    assert rotated["id"] == line["id"]
    assert rotated["key"] not in (token, "")
    everything = run_keys("list").stdout + run_keys("list", "--json").stdout
    assert not any(secret_of(one) in everything for one in (token, rotated["key"]))
    assert "is revoked" in run_keys("revoke", line["id"]).stdout
    assert "revoked  count" in run_keys("list").stdout
    assert secret_of(token).encode() not in ledger.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "a", "--burst", "3"), "--burst needs a rate"),
        (("add", "a", "--rate", "nan"), "rate must be"),
        (("add", "a", "--scope", "root"), "scopes must be among count, read, tasks, admin, but are root"),
        (("rotate", "0123"), "there is no key '0123'"),
        (("revoke", "0123"), "there is no key '0123'"),
    ],
)
def test_the_commands_errors_name_the_mend(ledger: Path, arguments: tuple[str, ...], says: str) -> None:
    result = run_keys(*arguments)
    assert isinstance(result.exception, BinsightError), result.output
    assert says in str(result.exception)


def test_a_ledger_of_before_gets_the_table(tmp_path: Path, opened: Opener) -> None:
    """Models that were registered under the first tables are still there."""
    file = tmp_path / "ledger.db"
    ledger_at(f"sqlite:///{file}", "0001")
    with sqlite3.connect(file) as old:
        old.execute("INSERT INTO model_versions VALUES ('a', 'bins', '2026', 'ann', '{}')")
    old.close()
    keys = ApiKeys(opened(f"sqlite:///{file}"))
    keys.add("a", scopes=["count"], by="ann")
    with sqlite3.connect(file) as new:
        assert new.execute("SELECT count(*) FROM model_versions").fetchone() == (1,)
    new.close()
    with pytest.raises(MissingObject):
        keys.revoke("none", by="ann")
