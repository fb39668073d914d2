"""Looks at a promotion set, counted where no ledger is: one object for each, that only one job can make.

```
PLACE/SHA256/01.json    {"champion": "…", "challenger": "…"}
```
"""

import json
from collections.abc import Callable

from binsight.errors import BadInput
from binsight.storage.objects import Objects, open_store

Look = Callable[[str, str], int | None]


def look_of(place: str, set_sha256: str, *, most: int) -> Look:
    """Spends one of at most so many looks: its number, or None where all are spent.

    To look again at the same two versions tells nothing new and costs nothing: a job that begins again goes on.
    """

    def look(champion: str, challenger: str) -> int | None:
        store = open_store(f"{place.rstrip('/')}/{set_sha256}", create=True)
        return spend(store, champion, challenger, most=most)

    return look


def spend(store: Objects, champion: str, challenger: str, *, most: int) -> int | None:
    """The number of a look at one set, whose objects are in `store`: the one that these two have, or the first free one.

    Numbers fill without gaps, so that whoever looks for a free one meets the two on the way, if they are there.
    """
    pair = {"champion": champion, "challenger": challenger}
    for number in range(1, most + 1):
        name = f"{number:02}.json"
        if store.add(name, json.dumps(pair).encode()) or json.loads(store.read(name)) == pair:
            return number
    return None


def spent(store: Objects) -> list[tuple[str, str]]:
    """All looks at one set. Raises `BadInput` for an object that is none."""
    found: list[tuple[str, str]] = []
    for one in sorted(store.list(), key=lambda one: one.name):
        try:
            pair = json.loads(store.read(one.name))
            found.append((str(pair["champion"]), str(pair["challenger"])))
        except (ValueError, KeyError, TypeError):
            raise BadInput(
                f"{store.url}/{one.name} is no look at a promotion set; see who wrote it, and remove it"
            ) from None
    return found
