"""One budget of looks at a promotion set, kept in two places: the ledger here, and the bucket that jobs can reach.

```
ledger ─▶ bucket    before a pipeline starts: its job finds every number taken that was spent here
ledger ◀─ bucket    when a retraining begins and when its outcome is seen: what jobs have spent is spent here
```
Both only ever add, and the same two versions are one look in both, so that a kill between any two of them loses nothing
and repeating adds nothing.
"""

from binsight.engines.container.looks import spend, spent
from binsight.engines.sagemaker.deployment import Deployment
from binsight.storage.ledger import Promotions
from binsight.storage.objects import Objects, open_store

ANY = 1_000_000
"""More looks than anybody spends: what was spent is told, however many a set may have."""


def give_looks(d: Deployment, set_sha256: str, promotions: Promotions) -> None:
    """Have the bucket know every look that the ledger has. Raises as the object store and the ledger do."""
    store = _store(d, set_sha256)
    known = set(spent(store))
    for champion, challenger in promotions.looks(set_sha256):
        if (champion, challenger) not in known:
            spend(store, champion, challenger, most=ANY)


def take_looks(d: Deployment, promotions: Promotions, *, by: str) -> None:
    """Have the ledger know every look that jobs have spent, at any set that it has frozen. Raises as they do."""
    for set_sha256 in sorted({one.sha256 for one in promotions.sets()}):
        known = set(promotions.looks(set_sha256))
        for champion, challenger in spent(_store(d, set_sha256)):
            if (champion, challenger) not in known:
                promotions.look(set_sha256, champion, challenger, most=ANY, by=by)


def _store(d: Deployment, set_sha256: str) -> Objects:
    return open_store(d.s3("looks", set_sha256), region=d.region)
