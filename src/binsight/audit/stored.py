"""What is read again of an audit's lines, as the ledger keeps them."""

import json


def site_of(record: str) -> str:
    """The site of a kept record; empty where it has none."""
    return str(json.loads(record).get("site") or "") if '"site"' in record else ""
