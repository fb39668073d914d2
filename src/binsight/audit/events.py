"""What other systems are told of audits and consignments: the numbers, and where the rest stands in the ledger."""

from binsight.audit.consignments import JudgedConsignment
from binsight.audit.outcome import Done
from binsight.storage.ledger import Entry
from binsight.webhooks import EventMessage


def audit_ended(done: Done) -> EventMessage:
    """An audit is through."""
    tally = done.tally.as_json()
    data = tally | {
        "audit": None if done.audit is None else done.audit.id,
        "model": None if done.audit is None else done.audit.model,
        "num_tasks": len(done.plan.tasks),
        "num_problems": done.num_problems,
    }
    return EventMessage(event="audit.ended", sentence=next(done.sentences()), data=data)


def consignment_judged(one: JudgedConsignment) -> EventMessage:
    """A consignment was judged: by which entry of the journal, where it is kept there."""
    data = {
        "consignment": one.id,
        "decision": one.decision,
        "num_totes": len(one.totes),
        "entry": one.entry,
        "entry_hash": one.entry_hash,
    }
    return EventMessage(event="consignment.judged", sentence=f"consignment {one.id}: {one.decision}", data=data)


def consignment_released(entry: Entry) -> EventMessage:
    """A person has let a consignment go."""
    data = {
        "consignment": entry.subject,
        "by": entry.by,
        "entry": entry.seq,
        "entry_hash": entry.hash,
        **entry.body,
    }
    sentence = f"consignment {entry.subject} is released by {entry.by}"
    return EventMessage(event="consignment.released", sentence=sentence, data=data)
