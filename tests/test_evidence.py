"""Evidence of an audit's findings: whole, checked by hash, and found out where it was changed."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.stock_support import stock_csv

from binsight.audit.evidence import evidence_faults, make_evidence
from binsight.audit.evidence_files import read_evidence
from binsight.cli import cli
from binsight.counting.sources import photo_reader
from binsight.errors import BadInput, GateFailed, MissingObject
from binsight.imaging.drawn import drawn_photo
from binsight.storage.ledger import Journal, Ledger, prove

Run = Callable[..., Result]
PAGE = {"index.html", "lines.csv", "photos.csv", "terms.csv", "journal.csv"}
PHOTOS = {name: drawn_photo(count, seed=count) for name, count in (("A", 1), ("B", 3))}


@pytest.fixture
def run(places: dict[str, str]) -> Run:
    return lambda *arguments: CliRunner().invoke(cli, ["audit", *map(str, arguments)])


@pytest.fixture
def audit(tmp_path: Path, run: Run) -> str:
    """An audit of bins A and B with photos, and C without."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in PHOTOS.items():
        (folder / f"{name}.jpg").write_bytes(data)
    file = stock_csv(tmp_path / "records.csv", "bin_id,expected_qty\nA,1\nB,9\nC,2\n")
    run(file, folder, "--out", tmp_path / "audit")
    return str(json.loads((tmp_path / "audit" / "audit.json").read_text())["audit"])


def test_it_has_the_finding_the_photo_and_where_they_stand_in_the_journal(
    tmp_path: Path, run: Run, audit: str, places: dict[str, str]
) -> None:
    out = tmp_path / "evidence"
    assert run("evidence", audit, "B", "--out", out).exit_code == 0
    files = read_evidence(out)
    assert set(files) == {*PAGE, "evidence.json", "manifest.json", "photos/2.jpg"}
    assert files["photos/2.jpg"] == PHOTOS["B"]
    facts = json.loads(files["evidence.json"])
    (line,) = facts["lines"]
    assert (line["bin_id"], line["expected"], line["photo_sha256"]) == ("B", 9, sha256(PHOTOS["B"]).hexdigest())
    assert sum(line["estimate"]["probs"]) == pytest.approx(1, abs=1e-4)
    assert facts["audit"]["model"].startswith("default:")
    assert len(facts["audit"]["certificate_sha256"]) == 64
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    entries = {entry.seq: entry for entry in Journal(ledger).read()}
    assert [entry["kind"] for entry in facts["journal"]] == ["audit.begun", "audit.lines", "audit.ended"]
    assert all(entries[entry["seq"]].hash == entry["hash"] for entry in facts["journal"])
    (made,) = (entry for entry in entries.values() if entry.kind == "evidence.made")
    assert made.body["manifest_sha256"] == sha256(files["manifest.json"]).hexdigest()
    assert prove(ledger).broken is None
    ledger.close()
    page = files["index.html"].decode()
    for said in (line["reason"], facts["audit"]["certificate_sha256"], facts["journal"][1]["hash"]):
        assert said in page
    assert "data:image/jpeg;base64," in page
    assert set(re.findall(r'href="([^"#]+)"', page)) <= set(files), "no link leads nowhere"


def test_a_zip_is_the_same_and_is_checked_as_well(tmp_path: Path, run: Run, audit: str) -> None:
    out = tmp_path / "evidence.zip"
    assert run("evidence", audit, "A", "B", "--out", out).exit_code == 0
    assert run("verify-evidence", out).exit_code == 0
    assert {"photos/1.jpg", "photos/2.jpg"} <= set(zipfile.ZipFile(out).namelist())


def test_a_photo_that_was_named_by_its_way_from_there_is_found_from_elsewhere(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "A.jpg").write_bytes(PHOTOS["A"])
    stock_csv(tmp_path / "records.csv", "bin_id,expected_qty\nA,1\n")
    monkeypatch.chdir(tmp_path)
    run("records.csv", "A.jpg")
    audit = json.loads((tmp_path / "audit" / "audit.json").read_text())["audit"]
    monkeypatch.chdir("/")
    assert run("evidence", audit, "A", "--out", tmp_path / "evidence").exit_code == 0
    assert read_evidence(tmp_path / "evidence")["photos/1.jpg"] == PHOTOS["A"]


CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "a photo": (lambda f: f.update({"photos/2.jpg": f["photos/2.jpg"] + b" "}), "photos/2.jpg was changed"),
    "the page": (lambda f: f.update({"index.html": b"<p>fine</p>"}), "index.html was changed"),
    "a fact": (lambda f: f.update({"evidence.json": f["evidence.json"].replace(b"9", b"3")}), "evidence.json was"),
    "a file gone": (lambda f: f.pop("index.html"), "index.html is missing"),
    "a file put in": (lambda f: f.update({"more.txt": b""}), "more.txt was put in"),
    "no manifest": (lambda f: f.pop("manifest.json"), "manifest.json or evidence.json is missing"),
    "a manifest that is none": (lambda f: f.update({"manifest.json": b"[]"}), "manifest.json or evidence.json is"),
}


@pytest.fixture
def made(audit: str, places: dict[str, str]) -> tuple[dict[str, bytes], str]:
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    bundle = make_evidence(ledger, audit, ["B"], photo_reader(), by="ann")
    ledger.close()
    with zipfile.ZipFile(io.BytesIO(bundle.as_zip())) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files == bundle.files
    return files, places["BINSIGHT_LEDGER"]


def test_what_was_changed_is_named(made: tuple[dict[str, bytes], str]) -> None:
    files, _ = made
    assert evidence_faults(files) == []
    for change, found in CHANGES.values():
        changed = dict(files)
        change(changed)
        faults = evidence_faults(changed)
        assert any(found in fault for fault in faults), (found, faults)


def test_evidence_that_is_written_anew_is_found_by_the_journal(made: tuple[dict[str, bytes], str]) -> None:
    files, url = made
    files["index.html"] = b"<p>fine</p>"
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["index.html"] = sha256(files["index.html"]).hexdigest()
    files["manifest.json"] = json.dumps(manifest).encode()
    ledger = Ledger.open(url)
    assert evidence_faults(files) == [], "by itself it is whole"
    assert evidence_faults(files, ledger) == ["manifest.json is none that the ledger's journal knows of"]
    ledger.close()


def test_a_photo_that_is_another_by_now_stays_out(tmp_path: Path, run: Run, audit: str) -> None:
    (tmp_path / "photos" / "B.jpg").write_bytes(PHOTOS["A"])
    (tmp_path / "photos" / "A.jpg").unlink()
    result = run("evidence", audit, "A", "B", "--out", tmp_path / "evidence")
    assert result.exit_code == 1
    assert "what is there now is another photo" in result.stderr
    assert "A.jpg cannot be read" in result.stderr
    assert set(read_evidence(tmp_path / "evidence")) == {*PAGE, "evidence.json", "manifest.json"}
    assert run("verify-evidence", tmp_path / "evidence").exit_code == 0, "and says so itself"


def test_a_bin_without_a_photo_has_its_record_and_reason(tmp_path: Path, run: Run, audit: str) -> None:
    assert run("evidence", audit, "C", "--out", tmp_path / "evidence").exit_code == 0
    (line,) = json.loads((tmp_path / "evidence" / "evidence.json").read_text())["lines"]
    assert (line["photo"], line["photo_file"], line["reason"]) == (None, None, "there is no photo of it")


def test_what_is_asked_wrongly_is_explained(tmp_path: Path, run: Run, audit: str) -> None:
    assert isinstance(run("evidence", "nothing", "B").exception, MissingObject)
    assert "has no line of bin Z" in str(run("evidence", audit, "B", "Z").exception)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert isinstance(run("evidence", audit, "B", "--out", tmp_path / "full").exception, BadInput)
    assert isinstance(run("verify-evidence", tmp_path / "full").exception, GateFailed)
    assert isinstance(run("verify-evidence", tmp_path / "nowhere").exception, MissingObject)
    assert isinstance(run("verify-evidence", tmp_path / "full" / "file").exception, BadInput)
