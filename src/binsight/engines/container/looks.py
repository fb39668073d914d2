"""Looks at a promotion set, counted where no ledger is: one object for each, that only one job can make.

```
PLACE/SHA256/01.json    {"champion": "…", "challenger": "…"}
```
"""

import json
from collections.abc import Callable

from binsight.storage.objects import open_store

Look = Callable[[str, str], int | None]


def look_of(place: str, set_sha256: str, *, most: int) -> Look:
    """Spends one of at most so many looks: its number, or None where all are spent.

    To look again at the same two versions tells nothing new and costs nothing: a job that begins again goes on.
    """

    def look(champion: str, challenger: str) -> int | None:
        store = open_store(f"{place.rstrip('/')}/{set_sha256}", create=True)
        pair = {"champion": champion, "challenger": challenger}
        for number in range(1, most + 1):
            name = f"{number:02}.json"
            if store.add(name, json.dumps(pair).encode()) or json.loads(store.read(name)) == pair:
                return number
        return None

    return look
