"""Wrong variables: one sentence at the command line that names them, and no traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from binsight.cli import cli
from binsight.errors import BadInput
from binsight.settings import Settings, settings

MEND = "; change it, or unset it for the default"
WRONG = [
    ("MAX_PHOTO_BYTES", "abc", "a whole number above 0"),
    ("MAX_PHOTO_BYTES", "0", "a whole number above 0"),
    ("QUEUE_WAIT_S", "-1", "a number above 0"),
    ("CAPTURE_SHARE", "2", "a number of at least 0 and at most 1"),
    ("CAPTURE_SHARE", "nan", "a number of at least 0 and at most 1"),
    ("CAPTURE_KEEP_DAYS", "inf", "a number above 0 and at most 36500"),  # no calendar has the day before those
    ("ACCESS", "x", "keys or open"),
    ("OPEN_METRICS", "perhaps", "true or false"),
    ("CAPTURE_VARIANT", "a_b", "a text of at most 63 characters and that matches ^[a-zA-Z0-9](-?[a-zA-Z0-9])*$"),
    ("ALLOWED_LINKS", "s3://a/", 'a JSON list of texts, such as ["one", "two"]'),
    ("ALLOWED_LINKS", '{"a": 1}', 'a JSON list of texts, such as ["one", "two"]'),
    ("TRUSTED_PROXIES", '["proxy"]', 'a JSON list of addresses or networks, such as ["10.0.0.0/8"]'),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A process reads its settings once; these tests and those after them are to read them anew."""
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(("name", "value", "law"), WRONG)
def test_a_wrong_setting_is_named_with_its_law_value_and_mend(
    name: str, value: str, law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"BINSIGHT_{name}", value)
    with pytest.raises(BadInput) as raised:
        settings()
    assert str(raised.value) == f"BINSIGHT_{name} must be {law}, but is {value!r}{MEND}"


def test_every_setting_at_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINSIGHT_PROVIDER", "tpu")
    monkeypatch.setenv("BINSIGHT_DRIFT_PHOTOS", "5")
    with pytest.raises(
        BadInput, match=r"^BINSIGHT_PROVIDER must .*'tpu'; BINSIGHT_DRIFT_PHOTOS must .*'5'; change it"
    ):
        settings()


def test_the_address_of_a_webhook_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINSIGHT_ALERT_URLS", "https://hooks.example/T0KEN")
    with pytest.raises(BadInput, match=r"^BINSIGHT_ALERT_URLS must be a JSON list .*, but is not; ") as raised:
        settings()
    assert "T0KEN" not in str(raised.value)


def test_a_right_list_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINSIGHT_ALLOWED_LINKS", '["s3://a/", "https://b/c/"]')
    assert settings().allowed_links == ("s3://a/", "https://b/c/")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_whatever_stands_in_a_variable_ends_in_one_of_our_errors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "\x01", "[", "[1]", "-1", "nan", "1e999", "9" * 40, "x" * 70, "~", "null", "{}"):
        monkeypatch.setenv(f"BINSIGHT_{name.upper()}", value)
        settings.cache_clear()
        try:
            settings()
        except BadInput as error:
            assert str(error).startswith(f"BINSIGHT_{name.upper()} must be ")


@pytest.mark.parametrize(
    "command",
    [
        ("serve",),
        ("count", "README.md"),
        ("keys", "list"),
        ("models", "list"),
        ("captures", "list"),
        ("data", "fetch", "s3://bucket", "folder"),
    ],
    ids=" ".join,
)
def test_every_command_that_reads_settings_ends_with_the_sentence(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BINSIGHT_MAX_PHOTO_BYTES", "abc")
    error = CliRunner().invoke(cli, command).exception
    assert isinstance(error, BadInput)
    assert str(error).startswith("BINSIGHT_MAX_PHOTO_BYTES must be")


def test_the_process_ends_as_by_other_bad_input() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "binsight", "serve", "--port", "0"],
        env=os.environ | {"BINSIGHT_MAX_PHOTO_BYTES": "abc"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr == f"error: BINSIGHT_MAX_PHOTO_BYTES must be a whole number above 0, but is 'abc'{MEND}\n"
