"""The ledger: what must not be lost or changed, in SQLite or PostgreSQL. All SQL of Binsight is in here."""

from binsight.storage.ledger.api_keys import ApiKeys
from binsight.storage.ledger.captures import CaptureRow, CaptureRows
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.models import AliasMove, Models, ModelVersion, Pointed

__all__ = [
    "AliasMove",
    "ApiKeys",
    "CaptureRow",
    "CaptureRows",
    "Ledger",
    "ModelVersion",
    "Models",
    "Pointed",
]
