"""What the manifest calls a group: a whole chain, whatever ties it together, by a name of the labels where there is one.

Folds, intervals and certificates take photos of different groups for strangers. The labels' own groups may be finer than
that: two of them are one group here as soon as anything else links their photos.
"""

from collections.abc import Mapping, Sequence

from binsight.dataset.chains import Link, id_order, shared_links
from binsight.dataset.intake import SourcePhoto

LABEL_GROUP = "label_group"
"""Column of the name that the labels gave a photo's group, where the manifest's is another one. It links as a group does,
so that a photo which comes later under that name finds its bin, and a dataset's rows may be the labels of the next one."""


def name_groups(photos: Sequence[SourcePhoto], chain_of: Mapping[str, str]) -> dict[str, str]:
    """The group of every photo that has a chain; no two chains are called the same.

    A chain is called as the labels call the group of its first photo for which they name one; where they name none, or call
    another chain so, by its own name.
    """
    given = {photo.photo: photo.group for photo in photos if photo.group}
    if not given:
        return dict(chain_of)
    # "chain" keeps the name of a chain apart from the labels' own names of groups.
    own_names = {f"chain {chain}": chain for chain in chain_of.values()}
    chain_named: dict[str, str] = {}
    name_of: dict[str, str] = {}
    for photo in sorted(given.keys() & chain_of.keys(), key=id_order):
        name, chain = given[photo], chain_of[photo]
        if chain not in name_of and own_names.get(name, chain) == chain == chain_named.setdefault(name, chain):
            name_of[chain] = name
    return {photo: name_of.get(chain, f"chain {chain}") for photo, chain in chain_of.items()}


def label_group(group: str | None, extras: Mapping[str, str]) -> str | None:
    """The name that the labels gave a group once, if any."""
    return extras.get(LABEL_GROUP) or group


def named_extras(photo: SourcePhoto, group: str) -> Mapping[str, str]:
    """The photo's further columns, with the labels' name for its group where that is not the one that it got."""
    named = label_group(photo.group, photo.extras)
    return photo.extras if named in (None, group) else {**photo.extras, LABEL_GROUP: named}


def renamed_links(photos: Sequence[SourcePhoto]) -> list[Link]:
    """Links by the names that the labels once gave, where groups have got other ones since."""
    renamed = {photo.extras.get(LABEL_GROUP) for photo in photos} - {None, ""}
    named = {photo.photo: label_group(photo.group, photo.extras) for photo in photos}
    return list(shared_links("group", {photo: name for photo, name in named.items() if name in renamed and name}))
