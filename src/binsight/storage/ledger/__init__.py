"""The ledger: what must not be lost or changed, in SQLite or PostgreSQL. All SQL of Binsight is in here."""

from binsight.storage.ledger.api_keys import ApiKeys
from binsight.storage.ledger.audits import Audit, AuditLineRow, Audits
from binsight.storage.ledger.captures import CaptureRow, CaptureRows
from binsight.storage.ledger.consignments import ConsignmentHistory, Consignments
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.evidence import Evidence
from binsight.storage.ledger.journal import Entry, Journal, Proof
from binsight.storage.ledger.models import AliasMove, Models, ModelVersion, Pointed

__all__ = [
    "AliasMove",
    "ApiKeys",
    "Audit",
    "AuditLineRow",
    "Audits",
    "CaptureRow",
    "CaptureRows",
    "ConsignmentHistory",
    "Consignments",
    "Entry",
    "Evidence",
    "Journal",
    "Ledger",
    "ModelVersion",
    "Models",
    "Pointed",
    "Proof",
]
