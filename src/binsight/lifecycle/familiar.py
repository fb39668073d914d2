"""Find out what a run or bundle has seen of the photos that judge it.

```
what it says it has learned from ─▶ this very dataset: its split says all
                                 ─▶ another, which is here: the same file, nearly the same picture, the same chain?
                                 ─▶ another, or one that nobody knows: not known
```
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from binsight.counting.bundle import SPEC_NAME, UNKNOWN, Bundle, seen_by
from binsight.dataset.manifest import Dataset, LabelledPhoto, Split
from binsight.errors import BadDataset, BinsightError
from binsight.lifecycle.leaks import Pictures, find_leaks
from binsight.lifecycle.seen import fingerprints
from binsight.model.familiar import Familiar


def familiar(
    model: Path, dataset: Dataset, split: Split, training: Sequence[Dataset], photos: Sequence[LabelledPhoto]
) -> Familiar:
    """What the model in a folder has seen of `photos`, which are of a split of `dataset`.

    `training` are datasets that it was trained on, for a bundle, which does not say where these lie, and for a run whose
    dataset has moved.
    """
    places = _learned_from(model)
    own = dataset.digest in places
    if own and split != "test":
        return Familiar(
            datasets=tuple(places),
            own_split=split,
            num_photos=len(photos),
            num_seen=len(photos),
            first=f"they are its own dataset's {split} photos",
        )
    given = {one.digest: one for one in training if one.digest != dataset.digest}
    others, not_known = dict(given), []
    for digest, place in places.items():
        if digest == UNKNOWN:
            not_known.append("nobody can say all that it, its first weights or its teachers were trained on")
        elif digest not in (dataset.digest, *given):
            if (found := _opened(place, digest)) is not None:
                others[digest] = found
            else:
                not_known.append(f"it was trained on the dataset {digest[:12]}…; name its folder with --training")
    seen: dict[str, str] = {}
    try:
        for other in others.values():
            seen |= dict(_seen(other, dataset, photos))
    except BadDataset as error:  # what has been found so far holds all the same
        not_known.append(f"not all photos could be looked at ({error})")
    return Familiar(
        datasets=tuple(places),
        own_split=split if own else None,
        num_photos=len(photos),
        num_seen=len(seen),
        first=f"first {next(iter(seen.values()))}" if seen else "",
        not_known="; and ".join(not_known),
    )


def _learned_from(model: Path) -> dict[str, Path | None]:
    """The hash of every dataset that the model has learned from, with where it lies as far as a recipe says so."""
    if (model / SPEC_NAME).is_file():
        return dict.fromkeys(seen_by(Bundle.open(model).spec.lineage))
    from binsight.model.learned import datasets_of  # which loads what trains, as the run does itself

    return datasets_of(model)


def _opened(place: Path | None, digest: str) -> Dataset | None:
    """The dataset of a recipe, if it is still where that says."""
    try:
        found = None if place is None else Dataset.open(place)
    except BinsightError:  # gone, or damaged since
        return None
    return found if found is not None and found.digest == digest else None


def _seen(training: Dataset, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> Iterator[tuple[str, str]]:
    """Each of the photos that the model knows from that dataset, and how. Raises `BadDataset` for one that is damaged."""
    # The val photos chose the epoch and the temperature, and certified: the model has seen them too.
    learned = training.select(where=lambda photo: photo.split != "test")
    known, judging = Pictures(), Pictures()
    known.add(training, learned, fingerprints(training, learned, doing=f"reading {training.folder.name}"))
    judging.add(dataset, photos, fingerprints(dataset, photos, doing="reading what judges"))
    # Turned around, so that there is one for every photo that judges, and not for every one of the training.
    for leak in find_leaks(judging, known):
        yield leak.training, f"{leak.training}, {leak.kind} as {leak.promotion} of {training.folder.name}"
