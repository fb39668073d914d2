"""Certificates watched by audits: draws, counts, suspension and what comes after it."""

import csv
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.ledger_support import Opener
from tests.test_audit_certify import a_world

from binsight.audit.standing import standing_of
from binsight.cli import cli
from binsight.decision.lots import lot
from binsight.errors import BadInput, GateFailed, MissingObject
from binsight.storage.ledger import Audits, Certificates, Entry, Journal, Ledger
from binsight.storage.ledger.certificates import AUDITED, COUNTED, REINSTATED, SUSPENDED, USED


def run_it(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)])


class Site:
    """400 bins whose photos are nearly always right, a certificate for them, and a ledger."""

    def __init__(self, folder: Path, made: Path, ledger_url: str) -> None:
        self.folder, self.ledger_url = folder, ledger_url
        self.counts, self.estimates = made / "counts.csv", made / "estimates.jsonl"
        self.certificate, self.records = folder / "certificate.json", folder / "records.csv"
        self.certificate.write_bytes((made / "certificate.json").read_bytes())
        self.records.write_text(self.counts.read_text().replace("counted_qty", "expected_qty"))

    def run(self, *arguments: object) -> Result:
        return run_it(*arguments)

    def audit(self, name: str, *options: object, estimates: Path | None = None) -> tuple[dict[str, object], Result]:
        """Its audit.json, and what was printed."""
        out = self.folder / name
        given = (
            "--estimates",
            estimates or self.estimates,
            "--certificate",
            self.certificate,
            "--out",
            out,
            *options,
        )
        result = self.run(self.records, *given)
        assert result.exit_code == 0, result.output
        return json.loads((out / "audit.json").read_text()), result

    def tasks(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name / "tasks.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def acts(self, kind: str) -> list[Entry]:
        ledger = Ledger.open(self.ledger_url)
        found = list(Journal(ledger).read(kind=kind))
        ledger.close()
        return found

    def people_count(self, audit: object, *, off: int = 0, only_drawn: bool = False) -> Result:
        """All bins, the drawn ones `off` by so much."""
        body = self.acts(AUDITED)[-1].body
        drawn = {place for place, _ in body["drawn"]}
        header, *rows = self.counts.read_text().splitlines()
        kept = [
            f"{row.split(',')[0]},{int(row.split(',')[1]) + (off if place in drawn else 0)}"
            for place, row in enumerate(rows, 1)
            if place in drawn or not only_drawn
        ]
        file = self.folder / "counted.csv"
        file.write_text("\n".join([header, *kept]) + "\n")
        return self.run("spot-check", file, "--audit", audit, "--json")

    def status(self) -> dict[str, object]:
        shown: dict[str, object] = json.loads(self.run("certificates", "--json").stdout)
        return shown


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counts, estimates, and a certificate from them."""
    folder = tmp_path_factory.mktemp("made")
    counts, estimates = a_world(folder, 400)
    done = run_it("certify", counts, "--estimates", estimates, "--out", folder / "certificate.json")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def site(places: dict[str, str], tmp_path: Path, made: Path) -> Site:
    return Site(tmp_path, made, places["BINSIGHT_LEDGER"])


def test_verified_bins_are_drawn_into_the_tasks_and_nothing_marks_them(site: Site) -> None:
    done, result = site.audit("a", "--random-share", "0.1", "--budget", "30")
    (watched,) = site.acts(AUDITED)
    drawn = [f"B{place - 1:04}" for place, _ in watched.body["drawn"]]
    tasks = site.tasks("a")
    assert 15 < len(drawn) < 70
    assert set(drawn) < {task["bin_id"] for task in tasks}, "and others beside them"
    assert list(tasks[0]) == ["site", "aisle", "bin_id"], (
        "no gain that is small, no seconds that tell what is expected"
    )
    assert [task["bin_id"] for task in tasks] == sorted(task["bin_id"] for task in tasks), "in walking order, mixed"
    with (site.folder / "a" / "verdicts.csv").open(newline="") as file:
        verdicts = {row["bin_id"]: row["verdict"] for row in csv.DictReader(file)}
    assert {verdicts[name] for name in drawn} == {"verified"}
    assert done["num_drawn"] == len(drawn)
    assert f"{len(drawn)} of them were drawn by lot" in result.stdout


def test_anybody_can_draw_again_once_the_key_is_told_and_its_hash_was_told_before(site: Site) -> None:
    done, _ = site.audit("a")
    (watched,) = site.acts(AUDITED)
    ledger = Ledger.open(site.ledger_url)
    audit = str(done["audit"])
    told = Audits(ledger).read(audit).terms["draw"]
    lots = {line.place: line.verdict for line in Audits(ledger).lines(audit)}
    ledger.close()
    key = bytes.fromhex(watched.body["key"])
    assert told == {"share": 0.01, "of": "verified", "key_sha256": sha256(key).hexdigest()}
    verified = [place for place, verdict in lots.items() if verdict == "verified"]
    below = [place for place in verified if lot(key, audit, place) < 0.01]
    again = below or [min(verified, key=lambda place: lot(key, audit, place))]
    assert [place for place, _ in watched.body["drawn"]] == again


def test_a_budget_never_cuts_the_draw_and_pays_for_it_first(site: Site) -> None:
    none, _ = site.audit("none", "--random-share", "0.05", "--budget", "0")
    assert none["num_drawn"] == none["num_tasks"] == len(site.acts(AUDITED)[-1].body["drawn"]) > 5
    site.audit("some", "--random-share", "0.05", "--budget", "40")
    with (site.folder / "some" / "plan.csv").open(newline="") as file:
        seconds = sum(float(row["seconds"]) + float(row["walk"]) for row in csv.DictReader(file))
    assert seconds <= 40 * 60


def test_the_draw_can_be_from_all_bins(site: Site) -> None:
    site.audit("a", "--random-share", "0.2", "--random-all", "--budget", "0")
    (watched,) = site.acts(AUDITED)
    assert {bool(band) for _, band in watched.body["drawn"]} == {True, False}, "verified ones and others"
    assert len(site.tasks("a")) == len(watched.body["drawn"])


def test_right_counts_keep_a_certificate_in_force_and_say_how_accurate_records_are(site: Site) -> None:
    done, _ = site.audit("a", "--random-share", "0.1")
    checked = json.loads(site.people_count(done["audit"]).stdout)
    assert (checked["suspended"], checked["num_open"], checked["num_unknown"]) == ([], 0, 0)
    assert checked["evidence"] == 1, "it never was above what it began with"
    (everything, *_) = checked["live"]
    assert (everything["wrong"], everything["counted"]) == (0, checked["num_new"])
    assert everything["high"] > 0.01
    assert checked["accuracy"]["share"] == 1
    assert checked["accuracy"]["low"] < 0.99, "of the verified only a tenth was counted"
    shown = site.status()
    assert (shown["state"], shown["num_audits"], shown["age_from"]) == ("in force", 1, "its date")
    again = json.loads(site.people_count(done["audit"]).stdout)
    assert again["num_new"] == 0, "a count is taken in once"


def test_counts_of_the_drawn_alone_do_not_speak_for_all_records(site: Site) -> None:
    done, _ = site.audit("a", "--random-share", "0.1")
    checked = json.loads(site.people_count(done["audit"], only_drawn=True).stdout)
    assert checked["accuracy"] is None
    assert "bins that are not verified are not in these counts" in checked["accuracy_unknown"]
    done, _ = site.audit("b", "--random-share", "0.3", "--random-all")
    checked = json.loads(site.people_count(done["audit"], only_drawn=True).stdout)
    assert checked["accuracy"]["share"] == 1


def test_wrong_counts_suspend_it_and_the_next_audit_verifies_nothing_and_says_so(site: Site) -> None:
    first, _ = site.audit("a", "--random-share", "0.1")
    assert first["num_verified"] > 250  # type: ignore[operator]
    breached = site.people_count(first["audit"], off=1)
    assert isinstance(breached.exception, GateFailed)
    assert "are wrong (100.0%), where it allows" in str(breached.exception)
    second, result = site.audit("b")
    assert (second["num_verified"], second["num_drawn"]) == (0, 0)
    assert "nothing is verified: certificate" in result.stdout
    assert "breached: of" in result.stdout
    assert second["certificate"]["in_force"] is False  # type: ignore[index]
    assert second["not_assessable"]["the certificate is suspended"] > 250  # type: ignore[index]
    page = (site.folder / "b" / "index.html").read_text()
    assert "Nothing is verified: certificate" in page
    line = json.loads((site.folder / "b" / "verdicts.jsonl").read_text().splitlines()[0])
    assert line["reason"] == "the certificate is suspended (breached)"
    ledger = Ledger.open(site.ledger_url)
    assert [one["why"] for one in Audits(ledger).read(str(second["audit"])).terms["withheld"]] == ["breached"]
    ledger.close()
    unkept, _ = site.audit("c", "--no-keep")
    assert unkept["num_verified"] == 0, "the ledger is asked even where it is not to keep the audit"
    assert site.run("verify-log").exit_code == 0

    sha = site.acts(SUSPENDED)[0].subject
    assert sha == sha256(site.certificate.read_bytes()).hexdigest()
    back = site.run("reinstate", sha[:12], "--reason", "the counters had the wrong list")
    assert back.exit_code == 0, back.output
    third, _ = site.audit("d")
    assert third["num_verified"] == first["num_verified"]
    shown = site.status()
    assert (shown["state"], shown["reinstated_because"]) == ("in force", "the counters had the wrong list")
    assert (shown["live"], shown["evidence"]) == ([], 1), "what was counted before speaks no more"
    for arguments in (("reinstate", sha, "--reason", "x"), ("reinstate", sha, "--reason", " ")):
        assert isinstance(site.run(*arguments).exception, BadInput)
    assert isinstance(site.run("reinstate", "0000", "--reason", "x").exception, MissingObject)


def test_a_new_certificate_is_in_force_though_the_old_one_is_not(site: Site) -> None:
    first, _ = site.audit("a", "--random-share", "0.1")
    site.people_count(first["audit"], off=1)
    old = json.loads(site.certificate.read_text())
    site.certificate.write_text(json.dumps(old | {"note": "made anew"}))
    renewed, _ = site.audit("b")
    assert renewed["num_verified"] == first["num_verified"]


def test_photos_that_drift_suspend_it_for_the_next_audit(site: Site) -> None:
    usual, _ = site.audit("a")
    assert usual["certificate"]["drift"]["state"] == "usual"  # type: ignore[index]
    lines = [json.loads(line) for line in site.estimates.read_text().splitlines()]
    for line in lines:
        line["probs"] = [0.7 * p + 0.3 / len(line["probs"]) for p in line["probs"]]
    unsure = site.folder / "unsure.jsonl"
    unsure.write_text("\n".join(map(json.dumps, lines)))
    unkept, _ = site.audit("unkept", "--no-keep", estimates=unsure)
    assert unkept["certificate"]["drift"]["state"] == "drifting"  # type: ignore[index]
    assert site.acts(SUSPENDED) == [], "an audit that is not kept changes nothing"
    _, result = site.audit("b", estimates=unsure)
    assert "is suspended for the next audits" in result.stdout
    assert "drifted: the last 400 photos differ" in result.stdout
    assert [one["why"] for one in site.acts(SUSPENDED)[0].body["reasons"]] == ["drifted"]
    after, _ = site.audit("c")
    assert after["num_verified"] == 0


def test_one_that_is_too_old_verifies_nothing(site: Site) -> None:
    made = json.loads(site.certificate.read_text())
    made["made_at"] = (datetime.now(UTC) - timedelta(days=91)).isoformat(timespec="seconds")
    site.certificate.write_text(json.dumps(made))
    unkept, _ = site.audit("unkept", "--no-keep")
    assert (unkept["num_verified"], site.acts(SUSPENDED)) == (0, []), "an audit that is not kept changes nothing"
    aged, result = site.audit("a")
    assert aged["num_verified"] == 0
    assert "aged: it is 91 days old, and holds for 90 days" in result.stdout
    assert site.status()["state"] == "suspended"
    site.certificate.write_text(json.dumps(made | {"note": "another"}))
    assert site.audit("b", "--max-age", "100")[0]["num_verified"] > 250  # type: ignore[operator]


def test_a_certificate_of_few_photos_is_compared_with_none(tmp_path: Path, site: Site) -> None:
    made = json.loads(site.certificate.read_text())
    del made["reference"]
    site.certificate.write_text(json.dumps(made))
    done, _ = site.audit("a")
    assert done["certificate"]["drift"]["state"] == "not told"  # type: ignore[index]
    assert "make it again" in done["certificate"]["drift"]["sentence"]  # type: ignore[index]


def test_counts_of_an_audit_that_drew_nothing_are_refused(site: Site) -> None:
    file = site.folder / "counts.csv"
    file.write_text("bin_id,counted_qty\nB0000,1\n")
    assert isinstance(site.run("spot-check", file, "--audit", "none").exception, MissingObject)
    done, _ = site.audit("a")
    file.write_text("bin_id,counted_qty\nB0000,-1\n")
    assert isinstance(site.run("spot-check", file, "--audit", done["audit"]).exception, BadInput)


def entry(kind: str, at: str, **body: object) -> Entry:
    return Entry(seq=1, at=at, by="ann", kind=kind, subject="c", body=body, hash="")


def test_where_a_certificate_has_no_date_its_time_runs_from_its_first_use() -> None:
    day = "2026-11-{:02}T12:00:00+00:00".format
    undated = standing_of(
        "c", [entry(USED, day(1), model="m:1", made_at=""), entry(USED, day(9), model="m:1", made_at="")]
    )
    assert (undated.began, undated.is_dated) == (datetime(2026, 11, 1, 12, tzinfo=UTC), False)
    dated = standing_of("c", [entry(USED, day(9), model="m:1", made_at=day(2))])
    assert dated.began == datetime(2026, 11, 2, 12, tzinfo=UTC)
    again = standing_of("c", [entry(USED, day(1), model="m:1", made_at=""), entry(REINSTATED, day(20), reason="x")])
    assert again.began == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_acts_on_a_certificate_come_back_in_their_order(ledger_url: str, opened: Opener) -> None:
    kept = Certificates(opened(ledger_url))
    for number, kind in enumerate((USED, AUDITED, COUNTED, SUSPENDED, REINSTATED, AUDITED, SUSPENDED)):
        kept.add(kind, "c" * 64, {"number": number, "audit": str(number)}, by="ann")
    kept.add(USED, "d" * 64, {}, by="bob")
    assert [act.body["number"] for act in kept.acts("c" * 64)] == list(range(7))
    assert kept.used() == ["c" * 64, "d" * 64]
    found = kept.of_audit("5")
    assert found is not None
    assert found.body["number"] == 5
    assert kept.of_audit("2") is None
