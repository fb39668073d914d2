"""Which photos train, tune and test: whole bin chains, by a keyed hash of the chain's name.

No photo's split depends on how many others there are, so adding photos moves none, unless they join a chain and
rename it or tie two chains together. Where that must not happen either (a dataset that is extended, labels that
bring their own split), the known splits are *pinned*, and a new photo that ties two of them together is rejected.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from binsight.dataset.bulk import no_garbage_collected
from binsight.dataset.chains import Link, chains, disjoint_sets, id_order, merge
from binsight.dataset.manifest import SPLITS, Split
from binsight.errors import BadInput, GateFailed

Shares = Mapping[Split, float]
"""Part of the chains that each split should get; they add up to 1."""

_LEAVES_FIRST: tuple[Split, ...] = ("train", "val", "test")
"""Which split gives way where a link crosses: what is measured on must stay as it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The split and chain of every photo that keeps its place, and why each of the others lost it."""

    split_of: Mapping[str, Split]
    chain_of: Mapping[str, str]
    rejected: Mapping[str, str] = field(default_factory=dict)


def parse_shares(text: str) -> dict[Split, float]:
    """Read `70/20/10` as shares of train, val and test. Raises `BadInput`."""
    numbers = [int(part) for part in text.split("/") if re.fullmatch(r"\d{1,3}", part)]
    if len(numbers) != len(SPLITS) or text.count("/") != len(SPLITS) - 1 or sum(numbers) != 100:
        raise BadInput(
            f"shares must be three whole numbers train/val/test that add up to 100, like 70/20/10, but are {text!r}"
        )
    return {split: number / 100 for split, number in zip(SPLITS, numbers, strict=True)}


@no_garbage_collected()
def assign(
    photos: Collection[str],
    links: Sequence[Link],
    *,
    shares: Shares,
    seed: int,
    pinned: Mapping[str, Split] | None = None,
) -> Assignment:
    """Give every chain one split.

    `pinned` photos keep their split; no link may cross between them (`crossing` says so beforehand). Chains
    without a pinned photo get theirs by `hashed_split`.
    """
    present = set(photos)
    pinned = {photo: split for photo, split in (pinned or {}).items() if photo in present}
    rejected = _ties_between_pinned(photos, links, pinned)
    kept = [photo for photo in photos if photo not in rejected]
    chain_of = chains(kept, links)
    pinned_chain = {chain_of[photo]: split for photo, split in pinned.items()}
    split_of = {
        photo: pinned_chain.get(chain_of[photo]) or hashed_split(chain_of[photo], shares=shares, seed=seed)
        for photo in kept
    }
    return Assignment(split_of=split_of, chain_of=chain_of, rejected=rejected)


def hashed_split(chain: str, *, shares: Shares, seed: int) -> Split:
    """The split of a chain: its keyed hash, as a number in [0, 1), laid against the shares."""
    position, upper = hashed_position(chain, key=str(seed)), 0.0
    for split in SPLITS:
        upper += shares[split]
        if position < upper:
            return split
    return next(split for split in reversed(SPLITS) if shares[split])  # shares add up to 1 but for rounding


def hashed_position(chain: str, *, key: str) -> float:
    """A number in [0, 1) that nothing but the chain's name and the key decide; other keys give unrelated numbers."""
    digest = blake2b(chain.encode(), key=key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def crossing(links: Iterable[Link], split_of: Mapping[str, Split]) -> list[Link]:
    """The links whose photos lie in more than one split. Photos without a split do not count.

    This looks at the links alone, not at chains, so that it also catches a chain that was built wrongly.
    """
    return [link for link in links if len({split_of[p] for p in link.photos if p in split_of}) > 1]


def check_no_link_crosses(links: Iterable[Link], split_of: Mapping[str, Split], *, mend: str) -> None:
    """The gate of every dataset. Raises `GateFailed`, naming some of the links that cross."""
    found = crossing(links, split_of)
    if found:
        some = "; ".join(_describe(link, split_of) for link in found[:3])
        raise GateFailed(
            f"no linked photos may lie in different splits, but {len(found)} links cross: {some}"
            f"{'; …' if len(found) > 3 else ''}. {mend}"
        )


def leaking(links: Iterable[Link], split_of: Mapping[str, Split]) -> dict[str, str]:
    """The photos to leave out of a given split so that no link crosses it, each with the reason.

    Of every crossing link the splits that are trained or tuned on give way; test photos always stay.
    """
    reasons: dict[str, str] = {}
    for link in crossing(links, split_of):
        present = [photo for photo in link.photos if photo in split_of]
        stays = max((split_of[photo] for photo in present), key=_LEAVES_FIRST.index)
        other = next(photo for photo in present if split_of[photo] == stays)
        for photo in present:
            if split_of[photo] != stays:
                reasons.setdefault(photo, f"linked to {other} ({stays}) by {link.why}")
    return reasons


def _ties_between_pinned(
    photos: Collection[str], links: Sequence[Link], pinned: Mapping[str, Split]
) -> dict[str, str]:
    """New photos, in id order, that would tie pinned photos of different splits together."""
    if not pinned:
        return {}
    links_of: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        for photo in link.photos:
            links_of[photo].append(link)
    sets = disjoint_sets(pinned)
    for link in links:
        merge(sets, link.photos)
    pinned_root = {sets[photo]: photo for photo in pinned}
    rejected: dict[str, str] = {}
    for photo in sorted((photo for photo in photos if photo not in pinned), key=id_order):
        friends = [p for link in links_of[photo] for p in link.photos if p in sets]
        roots = [sets[friend] for friend in friends]
        found = {pinned[pinned_root[root]]: pinned_root[root] for root in roots if root in pinned_root}
        if len(found) > 1:
            tied = " and ".join(f"{found[split]} ({split})" for split in SPLITS if split in found)
            rejected[photo] = f"ties chains of different splits together: {tied}"
            continue
        sets.add(photo)
        merge(sets, [photo, *friends])
        for pinned_photo in found.values():
            pinned_root[sets[photo]] = pinned_photo
    return rejected


def _describe(link: Link, split_of: Mapping[str, Split]) -> str:
    one_each = {split_of[photo]: photo for photo in reversed(link.photos) if photo in split_of}
    return f"{' – '.join(f'{photo} ({split})' for split, photo in sorted(one_each.items()))} by {link.why}"
