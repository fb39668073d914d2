"""The ledger: what must not be lost or changed, in SQLite or PostgreSQL. All SQL of Binsight is in here."""

from binsight.storage.ledger.api_keys import ApiKeys
from binsight.storage.ledger.archives import Archives
from binsight.storage.ledger.audits import AisleRow, Audit, AuditLineRow, Audits, FoundBy
from binsight.storage.ledger.captures import CaptureRow, CaptureRows
from binsight.storage.ledger.certificates import Certificates
from binsight.storage.ledger.consignments import ConsignmentHistory, Consignments
from binsight.storage.ledger.counts import Counted, Counts, Follows
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.drift_episodes import DriftEpisode, DriftEpisodes
from binsight.storage.ledger.evidence import Evidence
from binsight.storage.ledger.journal import Entry, Journal, Proof
from binsight.storage.ledger.leases import BIN, PHOTO, Lease, Leases
from binsight.storage.ledger.models import AliasMove, Models, ModelVersion, Pointed
from binsight.storage.ledger.outcomes import Outcomes
from binsight.storage.ledger.people import ADMIN, APPROVER, COUNTER, ROLES, People, Sessions, User
from binsight.storage.ledger.policies import Policies, PolicyRow
from binsight.storage.ledger.promotions import DecisionRow, FrozenSet, Promotions
from binsight.storage.ledger.proof import prove
from binsight.storage.ledger.retrainings import Retraining, Retrainings
from binsight.storage.ledger.tasks import CountRow, Detail, NewTask, Task, TaskRows
from binsight.storage.ledger.trusted import TrustedCount, TrustedCounts
from binsight.storage.ledger.turns import Marks, Turn, Turns

__all__ = [
    "ADMIN",
    "APPROVER",
    "BIN",
    "COUNTER",
    "PHOTO",
    "ROLES",
    "AisleRow",
    "AliasMove",
    "ApiKeys",
    "Archives",
    "Audit",
    "AuditLineRow",
    "Audits",
    "CaptureRow",
    "CaptureRows",
    "Certificates",
    "ConsignmentHistory",
    "Consignments",
    "CountRow",
    "Counted",
    "Counts",
    "DecisionRow",
    "Detail",
    "DriftEpisode",
    "DriftEpisodes",
    "Entry",
    "Evidence",
    "Follows",
    "FoundBy",
    "FrozenSet",
    "Journal",
    "Lease",
    "Leases",
    "Ledger",
    "Marks",
    "ModelVersion",
    "Models",
    "NewTask",
    "Outcomes",
    "People",
    "Pointed",
    "Policies",
    "PolicyRow",
    "Promotions",
    "Proof",
    "Retraining",
    "Retrainings",
    "Sessions",
    "Task",
    "TaskRows",
    "TrustedCount",
    "TrustedCounts",
    "Turn",
    "Turns",
    "User",
    "prove",
]
