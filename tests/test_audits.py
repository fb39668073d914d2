"""Audits in the ledger, and the journal that proves them: one contract for SQLite and PostgreSQL."""

import json
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa
from tests.ledger_support import Opener

from binsight.errors import MissingObject, StorageFailure
from binsight.storage.ledger import Audit, AuditLineRow, Audits, Journal, Ledger, prove
from binsight.storage.ledger.journal import append
from binsight.storage.ledger.tables import audit_lines, audits, journal

A_LINE = AuditLineRow(
    place=1,
    bin_id="A-01",
    expected=3,
    record='{"row": 2}',
    photo="a.jpg",
    photo_sha256=None,
    estimate='{"probs": [0.1, 0.9]}',
    count=1,
    verdict="suspect",
    reason="the photo shows 1 to 1 items",
    exception=None,
    p_record=0.1 + 0.2,  # floats come back to the last bit, or their digests would differ
    p_right=1 / 3,
    units_off=1.5,
)


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


def some_lines(first: int, last: int) -> list[AuditLineRow]:
    return [replace(A_LINE, place=place, bin_id=f"A-{place:04}") for place in range(first, last + 1)]


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    kept = Audits(ledger)
    audit = kept.begin(model="default:0123456789ab", certificate_sha256=None, terms={"alpha": 0.05}, by="ann")
    for first in (1, 501, 1001):
        kept.add(audit, some_lines(first, first + 499))
    kept.end(audit, {"num_suspect": 1500})
    return audit


def test_an_audit_is_read_back_as_it_was_written(ledger: Ledger, audit: Audit) -> None:
    kept = Audits(ledger)
    assert kept.read(audit.id) == audit
    assert list(kept.lines(audit.id)) == some_lines(1, 1500)
    assert list(kept.lines(audit.id, first=999, last=1001)) == some_lines(999, 1001)
    with pytest.raises(MissingObject, match="there is no audit nothing"):
        kept.read("nothing")


def test_every_act_stands_in_the_journal(ledger: Ledger, audit: Audit) -> None:
    entries = list(Journal(ledger).read())
    assert [entry.kind for entry in entries] == ["audit.begun", *["audit.lines"] * 3, "audit.ended"]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert {entry.by for entry in entries} == {"ann"}
    assert entries[-1].body == {"num_suspect": 1500}
    assert [entry.body["first"] for entry in Journal(ledger).read(kind="audit.lines", subject=audit.id)] == [
        1,
        501,
        1001,
    ]


def test_what_nobody_touched_is_proven(ledger: Ledger, audit: Audit) -> None:
    proof = prove(ledger)
    assert (proof.broken, proof.num_entries) == (None, 5)
    assert proof.head == list(Journal(ledger).read())[-1].hash
    assert prove(ledger, head=proof.head).broken is None
    Audits(ledger).end(audit, {})
    assert prove(ledger, head=proof.head).broken is None, "an older hash still stands in a chain that grew"


TAMPERED = {
    "a body": (
        sa.update(journal).where(journal.c.seq == 5).values(body='{"num_suspect":1}'),
        "entry 5 was changed",
    ),
    "blanks in a body": (
        sa.update(journal).where(journal.c.seq == 5).values(body='{"num_suspect": 1500}'),
        "entry 5 was changed",
    ),
    "who did it": (sa.update(journal).where(journal.c.seq == 2).values(by="bob"), "entry 2 was changed"),
    "when": (sa.update(journal).where(journal.c.seq == 1).values(at="2020"), "entry 1 was changed"),
    "an entry": (sa.delete(journal).where(journal.c.seq == 3), "entry 4 stands where entry 3 should"),
    "the first": (sa.delete(journal).where(journal.c.seq == 1), "entry 2 stands where entry 1 should"),
    "a hash": (sa.update(journal).where(journal.c.seq == 4).values(hash="0" * 64), "entry 4 was changed"),
    "a verdict": (
        sa.update(audit_lines).where(audit_lines.c.place == 700).values(verdict="verified"),
        "lines 501 to 1000 of audit",
    ),
    "a probability's last digit": (
        sa.update(audit_lines).where(audit_lines.c.place == 700).values(p_record=0.3),
        "lines 501 to 1000 of audit",
    ),
    "a line": (sa.delete(audit_lines).where(audit_lines.c.place == 1), "lines 1 to 500 of audit"),
    "a line put in": (
        sa.insert(audit_lines).from_select(
            [column.name for column in audit_lines.c],
            sa.select(
                audit_lines.c.audit,
                sa.literal(9999),
                *[column for column in audit_lines.c if column.name not in ("audit", "place")],
            ).where(audit_lines.c.place == 1),
        ),
        "has 1501 lines, of which entries prove 1500",
    ),
    "an audit put in": (
        sa.insert(audits).values(id="x", begun_at="2026", begun_by="bob", model="m", terms="{}"),
        "audit x stands in no entry",
    ),
    "an entry before the first": (
        sa.insert(journal).values(seq=-3, at="", by="", kind="", subject="", body="{}", hash=""),
        "entry -3 stands where entry 1 should",
    ),
    "all entries": (sa.delete(journal), "stands in no entry"),
    "the model": (sa.update(audits).values(model="another:0123456789ab"), "is not that of entry 1"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_whatever_is_changed_is_found(ledger: Ledger, audit: Audit, what: str) -> None:
    statement, found = TAMPERED[what]
    with ledger.writing() as connection:
        connection.execute(statement)
    broken = prove(ledger).broken
    assert broken is not None
    assert found in broken


def test_a_long_journal_is_proven_to_its_end(ledger: Ledger, audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binsight.storage.ledger.journal._PAGE", 2)
    assert prove(ledger).num_entries == 5
    with ledger.writing() as connection:
        connection.execute(sa.update(journal).where(journal.c.seq == 5).values(by="bob"))
    assert prove(ledger).broken == "entry 5 was changed"


def test_an_end_that_was_cut_off_is_found_by_the_hash_that_was_kept(ledger: Ledger, audit: Audit) -> None:
    head = prove(ledger).head
    with ledger.writing() as connection:
        connection.execute(sa.delete(journal).where(journal.c.seq == 5))
    assert prove(ledger).broken is None, "which the chain alone cannot show"
    broken = prove(ledger, head=head).broken
    assert broken is not None
    assert "cut off" in broken


def test_lines_are_kept_all_or_none_and_the_journal_with_them(ledger: Ledger, audit: Audit) -> None:
    twice = [*some_lines(1501, 1510), *some_lines(1, 1)]
    with pytest.raises(StorageFailure):
        Audits(ledger).add(audit, twice)
    assert len(list(Audits(ledger).lines(audit.id))) == 1500
    assert len(list(Journal(ledger).read())) == 5


def test_acts_at_the_same_moment_stand_in_one_row(ledger: Ledger) -> None:
    start = threading.Barrier(4)

    def act(name: str) -> None:
        start.wait()
        for number in range(10):
            with ledger.writing() as connection:
                append(connection, kind="test", subject=name, body={"number": number}, by=name)

    threads = [threading.Thread(target=act, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = list(Journal(ledger).read())
    assert [entry.seq for entry in entries] == list(range(1, 41))
    for name in "abcd":
        assert [entry.body["number"] for entry in entries if entry.by == name] == list(range(10))
    assert Journal(ledger).verify().broken is None


def test_an_empty_journal_is_whole(ledger: Ledger) -> None:
    assert Journal(ledger).verify().broken is None
    assert Journal(ledger).verify(head="0" * 64).broken is not None


def test_what_json_cannot_say_is_not_written(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"), ledger.writing() as connection:
        append(connection, kind="test", subject="", body={"p": float("nan")}, by="ann")
    assert json.dumps([entry.seq for entry in Journal(ledger).read()]) == "[]"
