"""A ledger is proven while people and audits work on it: one contract for SQLite and PostgreSQL."""

from collections.abc import Iterator

import pytest
from tests.ledger_support import Opener
from tests.tasks_support import a_line, a_user, an_audit, claim, count, decide

from binsight.storage.ledger import Audits, Entry, Journal, Ledger, prove

LINES = [a_line(place) for place in range(1, 4)]


def counts_go_on(ledger: Ledger) -> None:
    ben, cat, dan = (a_user(ledger, name, role) for name, role in PEOPLE)
    for user, number in ((ben, 4), (cat, 5)):
        lease = claim(ledger, user)
        count(ledger, lease.token, number, user)
    decide(ledger, lease, "approved", dan, quantity=5)


def an_audit_begins(ledger: Ledger) -> None:
    kept = Audits(ledger)
    kept.add(kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann"), LINES)


def an_audit_gives_tasks_out(ledger: Ledger) -> None:
    an_audit(ledger, [a_line(place) for place in range(2, 9)])


PEOPLE = (("ben", "counter"), ("cat", "counter"), ("dan", "approver"))
WORK = {None: counts_go_on, "audit.begun": an_audit_begins, "tasks.created": an_audit_gives_tasks_out}
"""What is done, by the entries that were read before it: their rows are read after it."""


@pytest.mark.parametrize("kind", WORK)
def test_what_is_done_while_a_ledger_is_proven_is_no_fault_of_it(
    ledger_url: str, opened: Opener, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    ledger, others = opened(ledger_url), opened(ledger_url)
    an_audit(ledger, LINES)
    before, to_do, read = len(list(Journal(ledger).read())), [WORK[kind]], Journal.read

    def read_then_work(journal: Journal, *, kind: str | None = None, subject: str | None = None) -> Iterator[Entry]:
        yield from read(journal, kind=kind, subject=subject)
        if WORK.get(kind) in to_do:
            to_do.pop()(others)  # who writes does not wait for who reads

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "read", read_then_work)
        proof = prove(ledger)
    assert (proof.broken, proof.num_entries, to_do) == (None, before, [])
    after = prove(ledger)
    assert after.broken is None
    assert after.num_entries > before, "what was done meanwhile is proven the next time"
