"""What the user should mind about a dataset whose split is sound, but perhaps not what was asked for."""

from collections.abc import Iterator, Mapping, Sequence

from binsight.dataset.chains import chain_sizes
from binsight.dataset.intake import Source, SourcePhoto
from binsight.dataset.manifest import SPLITS, Dataset, LabelledPhoto, Split

_FAR_FROM_SHARE = 0.05


def notes_on(
    source: Source,
    photos: Sequence[LabelledPhoto],
    chain_of: Mapping[str, str],
    *,
    shares: Mapping[Split, float],
    previous: Dataset | None,
    gone: Sequence[SourcePhoto],
) -> Iterator[str]:
    """A sentence for each: `photos` are those of the new dataset, `gone` those that the one it extends has alone."""
    if any(photo.split for photo in source.photos):  # then nobody asked for shares
        held = {photo.split for photo in photos}
        yield from (
            f"{split} is empty: the labels give it no usable photo" for split in SPLITS if split not in held
        )
    else:
        yield from _shares(photos, shares, previous)
    yield from _chains({photo.photo: chain_of[photo.photo] for photo in photos}, shares)
    if previous and gone:
        yield _gone(source, previous, gone)


def _shares(
    photos: Sequence[LabelledPhoto], shares: Mapping[Split, float], previous: Dataset | None
) -> Iterator[str]:
    for split in SPLITS:
        share = sum(photo.split == split for photo in photos) / len(photos)
        wanted = shares[split]
        off = abs(share - wanted) > _FAR_FROM_SHARE
        if share == 0 and wanted and previous is None:
            yield f"{split} is empty: too few chains for a share of {wanted:.0%}"
        elif off and previous is None:
            yield f"{split} has {share:.0%} of the photos, not {wanted:.0%}: whole chains stay together"
        elif off or (share == 0 and wanted):
            yield (
                f"{split} has {share:.0%} of the photos, not {wanted:.0%}: bins of the dataset that is extended stay where "
                "they are, and whole chains together"
            )


def _chains(chain_of: Mapping[str, str], shares: Mapping[Split, float]) -> Iterator[str]:
    largest = chain_sizes(chain_of)[0]
    if largest > 1 and largest > len(chain_of) * min(share for share in shares.values() if share):
        yield (
            f"the largest chain ties {largest} of {len(chain_of)} photos together; "
            "a lower --popular-item cuts chains that grew along common items"
        )


def _gone(source: Source, previous: Dataset, gone: Sequence[SourcePhoto]) -> str:
    names = {photo.photo for photo in gone}
    split_of = [photo.split for photo in previous.photos if photo.photo in names]
    by_split = ", ".join(f"{split_of.count(split):,} of {split}" for split in SPLITS if split in split_of)
    note = (
        f"{len(gone):,} photos of the dataset that is extended are not in the source and are left out ({by_split})"
    )
    unknown = sum(photo.record is None for photo in gone)
    if unknown and any(photo.record for photo in source.photos):
        note += (
            f"; the records of {unknown:,} are not there either, so that a new photo which shares an item with one of them "
            "may be in another split: lay their records there, and prepare again"
        )
    return note
