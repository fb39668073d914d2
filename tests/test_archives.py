"""Old audits out of the ledger and back, with nothing lost and all of it proven: on SQLite and PostgreSQL."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from fastapi import FastAPI
from tests.console_support import signed_in, what_it_says
from tests.ledger_support import Opener
from tests.small_disk import mounted
from tests.tasks_support import a_line, a_user, claim, count, decide, state, task_of_line

from binsight.audit.archive import archive, archive_faults, old_audits, restore
from binsight.audit.evidence import make_evidence
from binsight.audit.lines import WORDS
from binsight.cli import cli
from binsight.errors import BinsightError, ChangedMeanwhile, GateFailed, MissingObject, StorageFailure
from binsight.storage.api_key import stamp
from binsight.storage.ledger import (
    Archives,
    Audit,
    AuditLineRow,
    Audits,
    FoundBy,
    Journal,
    Ledger,
    Outcomes,
    TaskRows,
    prove,
)
from binsight.storage.ledger.tables import audit_lines, tasks
from binsight.storage.objects import Objects, open_store

LINES = [a_line(place, verdict="suspect" if place in (5, 20) else "verified") for place in range(1, 31)]
TASKED = [line for line in LINES if line.verdict == "suspect"]
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


@pytest.fixture
def store(tmp_path: Path) -> Objects:
    return open_store(str(tmp_path / "archive"), create=True)


def an_audit(ledger: Ledger, *, tasked: list[AuditLineRow] = TASKED) -> Audit:
    """Thirty lines in three groups; the last has no tasks."""
    kept = Audits(ledger)
    audit = kept.begin(model="default:0123456789ab", certificate_sha256=None, terms={"folder": "."}, by="ann")
    for first in (0, 10, 20):
        found_by = [FoundBy(site="DC1", aisle="A", value_off=line.place / 7) for line in LINES[first : first + 10]]
        kept.add(audit, LINES[first : first + 10], found_by)
    verdicts = {f"num_{word}": sum(line.verdict == word for line in LINES) for word in WORDS}
    kept.end(audit, verdicts | {"num_records": 30, "exceptions": {}, "units_off": 1.0, "units_expected": 9})
    TaskRows(ledger).create(audit.id, [task_of_line(line) for line in tasked], by="ann")
    return audit


def all_counted(ledger: Ledger) -> None:
    """Every task that waits gets the count that its record says, and nobody can take one back any more."""
    ben = a_user(ledger, "ben")
    while TaskRows(ledger).find(states=("count",)):
        count(ledger, claim(ledger, ben).token, 3, ben)
    for task in Outcomes(ledger).claim(now=TOMORROW):
        Outcomes(ledger).settled(task)


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    """One that may be archived: counted, and not the newest."""
    audit = an_audit(ledger)
    all_counted(ledger)
    an_audit(ledger, tasked=[])
    return audit


def kept_places(ledger: Ledger, audit: Audit) -> list[int]:
    with ledger.reading() as connection:
        query = sa.select(audit_lines.c.place).where(audit_lines.c.audit == audit.id)
        return list(connection.execute(query.order_by(audit_lines.c.place)).scalars())


def rows(ledger: Ledger, audit: Audit) -> list[dict[str, object]]:
    with ledger.reading() as connection:
        query = sa.select(audit_lines).where(audit_lines.c.audit == audit.id).order_by(audit_lines.c.place)
        return [dict(row) for row in connection.execute(query).mappings()]


def test_what_was_taken_out_is_in_the_file_and_comes_back_as_it_was(
    ledger: Ledger, audit: Audit, store: Objects, tmp_path: Path
) -> None:
    before = rows(ledger, audit)
    assert old_audits(ledger, TOMORROW) == [audit.id]
    done = archive(ledger, audit.id, store, by="carl")
    assert (done.num_removed, done.num_kept) == (28, 2)
    assert kept_places(ledger, audit) == [5, 20]
    table = parquet.read_table(tmp_path / "archive" / f"{audit.id}.parquet")
    assert table.num_rows == 30
    assert table.column("bin_id").to_pylist() == [line.bin_id for line in LINES]
    assert prove(ledger).broken is None
    assert old_audits(ledger, TOMORROW) == []
    assert restore(ledger, audit.id, open_store, by="carl") == 28
    assert rows(ledger, audit) == before
    assert prove(ledger).broken is None
    acts = [(entry.kind, entry.by) for entry in Journal(ledger).read(subject=audit.id)][-2:]
    assert acts == [("audit.archived", "carl"), ("audit.restored", "carl")]
    archive(ledger, audit.id, store, by="carl")  # and again
    assert kept_places(ledger, audit) == [5, 20]


def test_what_waits_for_somebody_or_is_new_stays(ledger: Ledger) -> None:
    an_audit(ledger)
    an_audit(ledger, tasked=[])
    assert old_audits(ledger, TOMORROW) == []
    all_counted(ledger)
    assert len(old_audits(ledger, TOMORROW)) == 1
    assert old_audits(ledger, datetime.now(UTC) - timedelta(hours=1)) == []


def test_an_audit_that_was_cut_off_goes_once_it_has_been_silent_for_a_day(
    ledger: Ledger, audit: Audit, store: Objects
) -> None:
    kept, archives = Audits(ledger), Archives(ledger)
    archive(ledger, audit.id, store, by="carl")
    cut_off = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    kept.add(cut_off, LINES[:10])
    # This one was killed before its first lines: there is nothing to take out.
    kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    now, day = datetime.now(UTC), timedelta(days=1)
    assert archives.old(stamp(now + day)) == [], "it may still run"
    assert archives.old(stamp(now), now=now + day) == [cut_off.id]
    assert archives.old(stamp(now - day), now=now + day) == []
    archive(ledger, cut_off.id, store, by="carl")
    assert kept_places(ledger, cut_off) == []
    with pytest.raises(MissingObject, match="lie in"):
        kept.add(cut_off, LINES[10:20])
    assert prove(ledger).broken is None
    assert restore(ledger, cut_off.id, open_store, by="carl") == 10
    assert prove(ledger).broken is None


def test_an_audit_that_goes_on_while_it_is_archived_is_left_as_it_is(
    ledger: Ledger, audit: Audit, store: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, write = Audits(ledger), Objects.write
    going = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    kept.add(going, LINES[:10])

    def meanwhile(self: Objects, name: str, data: bytes) -> None:
        write(self, name, data)
        kept.add(going, LINES[10:20])

    monkeypatch.setattr(Objects, "write", meanwhile)
    with pytest.raises(ChangedMeanwhile, match="was not cut off: it kept lines meanwhile"):
        archive(ledger, going.id, store, by="carl")
    assert len(kept_places(ledger, going)) == 20


def test_a_count_that_can_be_taken_back_keeps_its_audit(ledger: Ledger) -> None:
    an_audit(ledger, tasked=TASKED[:1])
    an_audit(ledger, tasked=[])
    ben = a_user(ledger, "ben")
    count(ledger, claim(ledger, ben).token, 3, ben)
    assert old_audits(ledger, TOMORROW) == []
    Outcomes(ledger).settled(Outcomes(ledger).claim(now=TOMORROW)[0])
    assert len(old_audits(ledger, TOMORROW)) == 1


def test_what_was_rejected_waits_for_nobody(ledger: Ledger) -> None:
    an_audit(ledger, tasked=TASKED[:1])
    an_audit(ledger, tasked=[])
    ben, cat, dan = (a_user(ledger, name) for name in ("ben", "cat", "dan"))
    for user, found in ((ben, 5), (cat, 7)):
        lease = claim(ledger, user)
        count(ledger, lease.token, found, user)
    assert state(ledger, lease) == ("approve", None)
    assert old_audits(ledger, TOMORROW) == []
    decide(ledger, lease, "rejected", dan)
    assert len(old_audits(ledger, TOMORROW)) == 1


@pytest.mark.parametrize("groups", [0, 1, 2, 3])
def test_cut_off_anywhere_it_is_proven_and_goes_on(
    ledger: Ledger, audit: Audit, store: Objects, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Archives.groups
    kept: list[int] = []

    def some(self: Archives, audit_id: str) -> list[object]:
        found = whole(self, audit_id)
        return found[:groups] if self.of(audit_id) else found  # type: ignore[return-value]

    with monkeypatch.context() as patched:
        patched.setattr(Archives, "groups", some)
        archive(ledger, audit.id, store, by="carl")
        kept = kept_places(ledger, audit)
    removed = (0, 9, 18, 28)[groups]
    assert len(kept) == 30 - removed
    assert prove(ledger).broken is None
    assert old_audits(ledger, TOMORROW) == ([] if groups == 3 else [audit.id])
    assert archive(ledger, audit.id, store, by="carl").num_removed == 28 - removed
    assert prove(ledger).broken is None
    assert len(list(Journal(ledger).read(kind="audit.archived"))) == 1


def _change_a_kept_line(ledger: Ledger, audit: Audit) -> None:
    with ledger.writing() as connection:
        of = (audit_lines.c.audit == audit.id) & (audit_lines.c.place == 5)
        connection.execute(sa.update(audit_lines).where(of).values(expected=99))


def _put_a_line_back_with_another_record(ledger: Ledger, audit: Audit) -> None:
    row = {name: getattr(LINES[0], name) for name in AuditLineRow.__slots__}
    with ledger.writing() as connection:
        connection.execute(sa.insert(audit_lines), [{"audit": audit.id, **row, "expected": 99}])


def _put_a_line_in(ledger: Ledger, audit: Audit) -> None:
    row = {name: getattr(LINES[0], name) for name in AuditLineRow.__slots__}
    with ledger.writing() as connection:
        connection.execute(sa.insert(audit_lines), [{"audit": audit.id, **row, "place": 31}])


@pytest.mark.parametrize(
    "tamper",
    [_change_a_kept_line, _put_a_line_back_with_another_record, _put_a_line_in],
    ids=lambda one: one.__name__,
)
def test_whatever_is_changed_of_what_is_left_is_found(
    ledger: Ledger, audit: Audit, store: Objects, tamper: Callable[[Ledger, Audit], None]
) -> None:
    archive(ledger, audit.id, store, by="carl")
    tamper(ledger, audit)
    assert audit.id in (prove(ledger).broken or "")


def test_lines_that_are_not_the_journals_are_not_archived(ledger: Ledger, audit: Audit, store: Objects) -> None:
    _change_a_kept_line(ledger, audit)
    with pytest.raises(
        GateFailed, match=r"lines 1 to 10 of audit .* are not those of entry .*nothing was archived"
    ):
        archive(ledger, audit.id, store, by="carl")
    assert len(kept_places(ledger, audit)) == 30


def test_a_file_that_was_changed_or_is_gone_is_named_and_not_restored(
    ledger: Ledger, audit: Audit, store: Objects, tmp_path: Path
) -> None:
    archive(ledger, audit.id, store, by="carl")
    assert archive_faults(ledger, open_store) == []
    file = tmp_path / "archive" / f"{audit.id}.parquet"
    good = file.read_bytes()
    file.write_bytes(good[:-9] + b"damaged!" + good[-1:])
    assert "is not the file of entry" in archive_faults(ledger, open_store)[0]
    with pytest.raises(StorageFailure, match="look for another copy"):
        restore(ledger, audit.id, open_store, by="carl")
    file.unlink()
    assert len(archive_faults(ledger, open_store)) == 1
    with pytest.raises(BinsightError, match=audit.id):
        restore(ledger, audit.id, open_store, by="carl")
    assert len(kept_places(ledger, audit)) == 2
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / file.name).write_bytes(good)
    assert restore(ledger, audit.id, open_store, by="carl", place=str(elsewhere)) == 28


def test_other_lines_than_the_journals_are_not_put_back(ledger: Ledger, audit: Audit, store: Objects) -> None:
    archive(ledger, audit.id, store, by="carl")
    archives = Archives(ledger)
    forged = [(replace(line, expected=99), FoundBy(site="DC1", aisle="A", value_off=None)) for line in LINES[:10]]
    with pytest.raises(ChangedMeanwhile, match=r"lines 1 to 10 of audit .* are others"):
        archives.restore(archives.groups(audit.id)[0], forged)


def test_what_asks_for_archived_lines_is_told_where_they_lie(
    ledger: Ledger, audit: Audit, store: Objects, tmp_path: Path
) -> None:
    archive(ledger, audit.id, store, by="carl")
    said = rf"lie in .*archive since .*; bring them back with binsight audit restore {audit.id}"
    with pytest.raises(MissingObject, match=said):
        list(Audits(ledger).lines(audit.id))
    with pytest.raises(MissingObject, match=said):
        make_evidence(ledger, audit.id, ["A-0001"], None, by="carl")
    assert make_evidence(ledger, audit.id, ["A-0005"], None, by="carl").files  # it became a task, and stayed
    with pytest.raises(MissingObject, match=said):
        TaskRows(ledger).create(audit.id, [task_of_line(LINES[0])], by="carl")
    with pytest.raises(MissingObject, match="is not archived; its lines are in the ledger"):
        restore(
            ledger,
            Audits(ledger).begin(model="m", certificate_sha256=None, terms={}, by="a").id,
            open_store,
            by="c",
        )


def test_tasks_that_somebody_makes_meanwhile_keep_the_lines(
    ledger: Ledger, audit: Audit, store: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Objects.write

    def meanwhile(self: Objects, name: str, data: bytes) -> None:
        write(self, name, data)
        TaskRows(ledger).create(audit.id, [task_of_line(LINES[0])], by="dan")

    monkeypatch.setattr(Objects, "write", meanwhile)
    with pytest.raises(ChangedMeanwhile, match="was given new tasks meanwhile"):
        archive(ledger, audit.id, store, by="carl")
    assert len(kept_places(ledger, audit)) == 30


def test_a_full_disk_takes_nothing_out(ledger: Ledger, audit: Audit, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", megabytes=1) as disk:
        (disk / "full").write_bytes(bytes(2**20 - 8192))
        with pytest.raises(StorageFailure):
            archive(ledger, audit.id, open_store(str(disk)), by="carl")
    assert len(kept_places(ledger, audit)) == 30
    assert Archives(ledger).of(audit.id) is None


@pytest.fixture
def run(places: dict[str, str], ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("BINSIGHT_LEDGER", ledger_url)
    return lambda *arguments: CliRunner().invoke(cli, ["audit", *map(str, arguments)])


def test_the_commands_do_the_same_and_the_log_is_proven(
    ledger: Ledger, run: Callable[..., Result], audit: Audit, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    assert run("archive", kept).stdout.startswith("no audit is to be archived: none ended more than 400")
    assert run("archive", kept, "--older-than", 0, "--dry-run").stdout == f"{audit.id}\n"
    assert not kept.exists()
    result = run("archive", kept, "--older-than", 0, "--json")
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout)
    assert (done["audit"], done["num_removed"], done["num_kept"]) == (audit.id, 28, 2)
    assert "1 archived audits were not looked at" in run("verify-log").stdout
    log = json.loads(run("verify-log", "--archives", "--json").stdout)
    assert (log["broken"], log["num_archived"], log["archive_faults"]) == (None, 1, [])
    (kept / done["name"]).write_bytes(b"other")
    failed = run("verify-log", "--archives")
    assert failed.exit_code != 0
    assert "is not the file of entry" in str(failed.exception)
    (kept / done["name"]).unlink()
    with ledger.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tasks)).scalar() == 2


def test_the_console_says_where_an_archived_audits_lines_are(
    console_ledger: Ledger, console_app: FastAPI, tmp_path: Path
) -> None:
    audit = an_audit(console_ledger, tasked=[])
    an_audit(console_ledger, tasked=[])
    visitor = signed_in(console_app, "ann")
    page = f"/exceptions?audit={audit.id}&kind=verified"
    assert "A-0030" in visitor.get(page).text
    archive(console_ledger, audit.id, open_store(str(tmp_path / "archive"), create=True), by="carl")
    said = what_it_says(visitor.get(page))
    assert f"binsight audit restore {audit.id} brings them back" in said
    assert "A-0030" not in said
