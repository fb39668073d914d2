"""The registry and `binsight models`: bundles by version and by alias, in a folder and in a real bucket."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.bundle_support import changed_bundle
from tests.s3_server import CREDENTIALS, PUBLIC_BUCKET, running_s3_server

from binsight.cli import cli
from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.errors import BadBundle, BadInput, BinsightError, ChangedMeanwhile, MissingObject
from binsight.records import CANARY, CHAMPION
from binsight.settings import settings
from binsight.storage.ledger.tables import alias_moves, aliases

DEFAULT = Bundle.open(default_bundle()).version


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ledger, bundles and cache of this test alone."""
    monkeypatch.setenv("BINSIGHT_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv("BINSIGHT_BUNDLES", str(tmp_path / "bundles"))
    monkeypatch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path / "cache"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry.open()
    yield registry
    registry.close()


def another(folder: Path, note: str) -> Path:
    """The default bundle with another card."""
    return changed_bundle(folder, "card.md", note.encode())


def test_a_bundle_is_kept_whole_under_its_version(registry: Registry, tmp_path: Path) -> None:
    added = registry.register(default_bundle(), by="ann")
    assert (added.version, added.name, added.registered_by) == (DEFAULT, "default", "ann")
    assert Bundle.open(tmp_path / "bundles" / DEFAULT).version == DEFAULT
    assert registry.register(default_bundle(), by="bob") == added
    fetched = registry.fetch(DEFAULT)
    assert fetched == tmp_path / "cache" / "bundles" / DEFAULT
    assert Bundle.open(fetched).version == DEFAULT


def test_a_damaged_copy_is_fetched_again_and_a_damaged_original_refused(registry: Registry, tmp_path: Path) -> None:
    registry.register(default_bundle(), by="ann")
    fetched = registry.fetch(DEFAULT)
    (fetched / "model.onnx").write_bytes(b"x")
    assert Bundle.open(registry.fetch(DEFAULT)).version == DEFAULT
    shutil.rmtree(fetched)
    (tmp_path / "bundles" / DEFAULT / "model.onnx").write_bytes(b"x")
    with pytest.raises(BadBundle, match="checksum"):
        registry.fetch(DEFAULT)
    assert not fetched.exists()
    with pytest.raises(BadBundle):
        registry.point(CHAMPION, DEFAULT, by="ann", reason="", seen=None)
    assert registry.pointed(CHAMPION) is None, "nothing that is not whole is pointed at"


def test_a_bundle_under_another_ones_version_is_refused(registry: Registry, tmp_path: Path) -> None:
    registry.register(default_bundle(), by="ann")
    shutil.rmtree(tmp_path / "bundles" / DEFAULT)
    another(tmp_path / "bundles" / DEFAULT, "forged")
    with pytest.raises(BadBundle, match=f"must hold the bundle {DEFAULT}"):
        registry.fetch(DEFAULT)


def test_an_alias_goes_forward_back_and_forward_again(registry: Registry, tmp_path: Path) -> None:
    second = registry.register(another(tmp_path / "second", "second"), by="ann").version
    registry.register(default_bundle(), by="ann")
    with pytest.raises(BadInput, match="nothing to go back to"):
        registry.roll_back(CHAMPION, by="ann", reason="")
    first = registry.point(CHAMPION, DEFAULT, by="ann", reason="", seen=None)
    with pytest.raises(BadInput, match="nothing to go back to"):
        registry.roll_back(CHAMPION, by="ann", reason="")
    registry.point(CHAMPION, second, by="ann", reason="better", seen=first)
    assert registry.roll_back(CHAMPION, by="bob", reason="worse").version == DEFAULT
    assert registry.roll_back(CHAMPION, by="bob", reason="no").version == second
    assert [move.reason for move in registry.models.moves(CHAMPION)] == ["no", "worse", "better", ""]
    with pytest.raises(ChangedMeanwhile):
        registry.point(CHAMPION, DEFAULT, by="ann", reason="", seen=first)
    assert (registry.resolve(CHAMPION), registry.resolve(DEFAULT[:5])) == (second, DEFAULT)
    with pytest.raises(MissingObject):
        registry.resolve(DEFAULT[:3])
    with pytest.raises(BadInput, match="lower-case"):
        registry.point("Champion ", DEFAULT, by="ann", reason="", seen=None)


def test_promoting_what_is_promoted_leaves_the_way_back(registry: Registry, tmp_path: Path) -> None:
    second = registry.register(another(tmp_path / "second", "second"), by="ann").version
    registry.register(default_bundle(), by="ann")
    first = registry.point(CHAMPION, DEFAULT, by="ann", reason="", seen=None)
    there = registry.point(CHAMPION, second, by="ann", reason="", seen=first)
    assert registry.point(CHAMPION, second, by="bob", reason="to be sure", seen=there) == there
    said = run_models("promote", second)
    assert (said.exit_code, said.stdout) == (0, f"champion is {second} already (move 2)\n")
    assert registry.roll_back(CHAMPION, by="ann", reason="").version == DEFAULT


def test_a_ledger_that_has_a_version_promoted_twice_goes_back_and_keeps_what_it_goes_to(
    registry: Registry, tmp_path: Path
) -> None:
    """As ledgers of before have it: a row from a version to itself."""
    second = registry.register(another(tmp_path / "second", "second"), by="ann").version
    registry.register(default_bundle(), by="ann")
    first = registry.point(CHAMPION, DEFAULT, by="ann", reason="", seen=None)
    registry.point(CHAMPION, second, by="ann", reason="", seen=first)
    with registry.models.ledger.writing() as connection:
        for revision in (3, 4):
            row = {"alias": CHAMPION, "revision": revision, "from_version": second, "to_version": second}
            connection.execute(alias_moves.insert().values(row | {"moved_at": "t", "moved_by": "a", "reason": ""}))
        connection.execute(aliases.update().values(revision=4))
    late = "9999"
    assert registry.models.kept_for(DEFAULT, since=late) == "a rollback of champion would go to it"
    back = registry.roll_back(CHAMPION, by="ann", reason="")
    assert (back.version, back.revision) == (DEFAULT, 5)
    assert registry.models.kept_for(second, since=late) == "a rollback of champion would go to it"
    assert registry.roll_back(CHAMPION, by="ann", reason="").version == second


def test_an_alias_but_the_champion_may_be_retired_and_brought_back(registry: Registry) -> None:
    registry.register(default_bundle(), by="ann")
    for alias in (CHAMPION, CANARY):
        registry.point(alias, DEFAULT, by="ann", reason="", seen=None)
    with pytest.raises(BadInput, match="champion is in use and cannot be retired; promote another model"):
        registry.retire(CHAMPION, by="ann", reason="")
    assert registry.retire(CANARY, by="ann", reason="").version == DEFAULT
    assert registry.pointed(CANARY) is None
    with pytest.raises(MissingObject, match="canary points at no model"):
        registry.retire(CANARY, by="ann", reason="")
    assert registry.roll_back(CANARY, by="ann", reason="").revision == 3
    with pytest.raises(BadInput, match="nothing to go back to"):
        registry.roll_back(CANARY, by="ann", reason="")


def test_bundles_may_lie_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_s3_server(tmp_path / "s3") as server:
        server.put(PUBLIC_BUCKET, {"there": b"x"})
        monkeypatch.setenv("BINSIGHT_ENDPOINT_URL", server.endpoint_url)
        monkeypatch.setenv("BINSIGHT_BUNDLES", f"s3://{PUBLIC_BUCKET}/models/")
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        registry = Registry.open()
        assert registry.register(default_bundle(), by="ann") == registry.register(default_bundle(), by="bob")
        assert Bundle.open(registry.fetch(DEFAULT)).version == DEFAULT
        with pytest.raises(MissingObject, match="is not in s3://"):
            registry.fetch("0" * 12)
        registry.close()


def run_models(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["models", *map(str, arguments)])


def test_the_commands_register_promote_list_and_roll_back(tmp_path: Path) -> None:
    folder = another(tmp_path / "second", "second")
    second = json.loads(run_models("register", folder, "--json").stdout)["version"]
    assert DEFAULT in run_models("register", default_bundle()).stdout
    promoted = json.loads(run_models("promote", DEFAULT[:6], "--expect", "none", "--json").stdout)
    assert promoted == {"alias": "champion", "version": DEFAULT, "revision": 1}
    assert run_models("promote", second, "--reason", "better").exit_code == 0
    lines = [json.loads(line) for line in run_models("list", "--json").stdout.splitlines()]
    assert {line["version"]: line["aliases"] for line in lines} == {second: ["champion"], DEFAULT: []}
    assert "[champion]" in run_models("list").stdout
    assert DEFAULT in run_models("rollback").stdout
    assert run_models("promote", second, "--alias", "canary").exit_code == 0
    retired = json.loads(run_models("retire", "canary", "--json").stdout)
    assert retired == {"alias": "canary", "version": None, "revision": 2}
    assert "canary" not in run_models("list").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("register", "nowhere"), "nowhere is not a bundle"),
        (("promote", "0000"), "there is no model 0000"),
        (("promote", DEFAULT, "--expect", DEFAULT), "champion points nowhere, not at"),
        (("rollback",), "nothing to go back to"),
        (("retire", "shadow"), "shadow points at no model"),
    ],
)
def test_the_commands_errors_name_the_mend(arguments: tuple[str, ...], says: str) -> None:
    if arguments[0] == "promote" and "--expect" in arguments:
        run_models("register", default_bundle())
    result = run_models(*arguments)
    assert isinstance(result.exception, BinsightError)
    assert says in str(result.exception)
