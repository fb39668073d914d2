"""What a bundle says of where it comes from, as the ledger's columns. Pure functions."""

from collections.abc import Mapping
from typing import Any

_LENGTHS = {"dataset_sha256": 64, "recipe_sha256": 64, "weights_sha256": 64, "git": 64, "code": 40}


def columns_of(lineage: Mapping[str, Any]) -> dict[str, str | None]:
    """The columns of a version: what the bundle's own lineage says, None where it says nothing.

    `code` is the version of Binsight that made the bundle, `git` the commit.
    """
    said = {**lineage, "code": lineage.get("binsight")}
    return {name: _text(said.get(name), length) for name, length in _LENGTHS.items()}


def parent_of(version: str, lineage: Mapping[str, Any], weights: Mapping[str, str | None]) -> str | None:
    """The registered version that this one was made from: the one of which it is a copy, or whose weights it began with.

    `weights` are the checksums of the weights of all registered versions.
    """
    copied = lineage.get("same_model_as")
    if copied in weights and copied != version:
        return str(copied)
    source, _, digest = str(lineage.get("first_weights") or "").partition(":")
    if source != "run" or not digest:
        return None
    found = sorted(one for one, theirs in weights.items() if theirs == digest and one != version)
    return found[0] if found else None


def _text(value: Any, length: int) -> str | None:
    return value[:length] if isinstance(value, str) and value else None
