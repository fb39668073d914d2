"""Photos of a dataset that is extended and that its source holds no more: what was known of them still ties their bins.

They are not in the new dataset. Another photo of such a bin goes where the bin was, all the same: a bin that was judged
with never trains.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from binsight.dataset.chains import Link
from binsight.dataset.intake import Source, SourcePhoto
from binsight.dataset.manifest import Dataset
from binsight.dataset.problem import Problem
from binsight.errors import BadInput

GONE = "gone"
"""The reason of such a photo among the rejects."""


def gone_from(source: Source, previous: Dataset | None) -> tuple[SourcePhoto, ...]:
    """The photos of the dataset that is extended which the source lacks, each as it lies in that dataset.

    Their records are the source's, where it still has these, and their groups where the labels name them still.
    Raises `BadDataset` where the dataset is packed.
    """
    if previous is None:
        return ()
    there = {photo.photo for photo in source.photos}
    groups = {photo.group for photo in source.photos}
    return tuple(
        SourcePhoto(
            photo=photo.photo,
            path=previous.path_of(photo),
            record=source.records_alone.get(photo.photo),
            count=photo.count,
            group=photo.group if photo.group in groups else None,
            extras=photo.extras,
        )
        for photo in previous.photos
        if photo.photo not in there
    )


def check_none_gone(folder: Path, gone: Sequence[SourcePhoto], previous: Dataset) -> None:
    """Raises `BadInput` where the source lacks photos: nobody is to lose them without a word."""
    if gone:
        names = ", ".join(photo.photo for photo in gone[:3]) + (", …" if len(gone) > 3 else "")
        raise BadInput(
            f"{folder} must hold every photo of the dataset that is extended, but lacks {len(gone):,} of the "
            f"{len(previous.photos):,} of {previous.folder} ({names}); lay them and their records there too, under the "
            "names that they had, or leave them out: --on-gone reject"
        )


def rejects_of(gone: Sequence[SourcePhoto], previous: Dataset | None) -> list[Problem]:
    """Why each of them is not in the new dataset."""
    split_of = {photo.photo: photo.split for photo in previous.photos} if previous else {}
    return [
        Problem(
            photo.photo,
            GONE,
            f"it is in {split_of[photo.photo]} of the dataset that is extended, and not in the source",
        )
        for photo in gone
    ]


def told_apart(links: Iterable[Link], gone: Sequence[SourcePhoto], previous: Dataset) -> list[Link]:
    """The links without those of neighbours that the dataset which is extended had told apart.

    A photo that is gone with its record cannot be told apart from its neighbours; but what was told apart while the record
    was there stays so.
    """
    left, known = {photo.photo for photo in gone}, {photo.photo for photo in previous.photos}
    return [
        link
        for link in links
        if link.kind != "neighbour" or left.isdisjoint(link.photos) or not known.issuperset(link.photos)
    ]
