"""From a source of photos and records to a dataset.

```
read the source ─▶ check every photo ─▶ link ─▶ split ─▶ gate ─▶ write ─▶ publish
        │                  │                      │
        └──────────────────┴──▶ rejects ◀─────────┘
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from binsight.dataset.chains import POPULAR_ITEM, Link, Sighting, find_links, shared_links
from binsight.dataset.check import Check, CheckedPhoto, by_processes
from binsight.dataset.gone import check_none_gone, gone_from, rejects_of, told_apart
from binsight.dataset.groups import name_groups, named_extras, renamed_links
from binsight.dataset.intake import Source, SourcePhoto, read_source
from binsight.dataset.known import CHECKS_NAME, Checks, KnownPhotos, check_source, write_checks
from binsight.dataset.manifest import MANIFEST_NAME, SPLITS, Dataset, LabelledPhoto, Split, read_table
from binsight.dataset.notes import notes_on
from binsight.dataset.problem import Problem
from binsight.dataset.publish import building, publish
from binsight.dataset.split import Assignment, Shares, assign, check_no_link_crosses, leaking
from binsight.dataset.write import DatasetParts, is_same_dataset, write_dataset
from binsight.errors import BadDataset, BadInput
from binsight.imaging.decode import DEFAULT_LIMITS, Limits

_WITHOUT_COUNT = frozenset({"photo_without_record", "broken_record", "malformed_label", "impossible_count"})
"""Problems that say already why a photo has no count."""

_OWN_NAMES = frozenset({"file", "file_name", "sha256", "width", "height"})
"""Names of a dataset's own columns, which a further column of the labels may not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """How to split and what to note.

    `extend` is a dataset whose photos keep their split, and are not opened again where they have not changed, unless
    `recheck` says so. `on_leak` says what becomes of a split that is given
    (by the labels or by `extend`) and that links cross: `fail`, or `reject` the photos that give way to the
    evaluation splits. `on_gone` says what becomes of photos of `extend` that the source lacks: `fail`, or `reject` them.
    `check` is who opens the photos.
    """

    shares: Shares
    seed: int = 0
    extend: Path | None = None
    recheck: bool = False
    on_leak: Literal["fail", "reject"] = "fail"
    on_gone: Literal["fail", "reject"] = "fail"
    popular_item: int = POPULAR_ITEM
    licence: str | None = None
    limits: Limits = DEFAULT_LIMITS
    check: Check = field(default_factory=lambda: by_processes(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `prepare` made: the summary that stands in `dataset.json`, and whether the dataset was there before."""

    folder: Path
    summary: Mapping[str, Any]
    was_there: bool


def prepare(folder: Path, dataset: Path, *, labels: Path | None, options: PrepareOptions) -> Prepared:
    """Make a dataset of the photos in `folder`; what is wrong with any of them stands in its `rejects.csv`.

    Raises `GateFailed` where linked photos lie in different splits, `BadDataset` where no photo is usable,
    `BadInput` where `dataset` is another dataset or the source lacks photos of the one that is extended,
    `StorageFailure` where it cannot be written. In all these cases nothing is left behind.
    """
    _check_places(folder, dataset)
    previous = Dataset.open(options.extend) if options.extend else None
    source = read_source(folder, labels)
    _check_columns(source)
    gone = gone_from(source, previous)
    if previous and options.on_gone == "fail":
        check_none_gone(folder, gone, previous)
    with building(dataset) as partial:
        staging = partial / "staged"
        staging.mkdir()
        checks = check_source(
            [*source.photos, *gone],
            staging,
            KnownPhotos.open(previous, options.limits) if previous and not options.recheck else KnownPhotos(),
            limits=options.limits,
            check=options.check,
        )
        checked = checks.found
        links = _links(source, gone, checks, previous, options)
        rejects = [*source.problems, *_rejects(source, checked), *rejects_of(gone, previous)]
        usable = {p.photo for p in source.photos if p.count is not None and not checked[p.photo].reason}
        pinned, leaks = _pinned(source, usable, links, previous, options)
        rejects += (Problem(photo, "leak", why) for photo, why in leaks.items() if photo in usable)
        assignment = assign(
            [p.photo for p in (*source.photos, *gone) if p.photo not in leaks],
            links,
            shares=options.shares,
            seed=options.seed,
            pinned=pinned,
        )
        rejects += (Problem(photo, "ties_splits", why) for photo, why in assignment.rejected.items())
        photos = _place(source, checks, usable, assignment, partial)
        _remove(staging)
        if not photos:
            raise BadDataset(f"{folder} has no usable photo ({_reasons(rejects)}); see binsight data inspect")
        summary = write_dataset(
            partial,
            DatasetParts(
                name=dataset.name,
                photos=photos,
                rejects=tuple(sorted(rejects)),
                links=links,
                notes=tuple(
                    notes_on(
                        source, photos, assignment.chain_of, shares=options.shares, previous=previous, gone=gone
                    )
                ),
                licence=options.licence,
                settings={
                    "seed": options.seed,
                    "shares": dict(options.shares),
                    "popular_item": options.popular_item,
                    "on_leak": options.on_leak,
                    "extends": previous.digest if previous else None,
                },
                source={"folder": str(folder), "labels": str(labels) if labels else None},
            ),
        )
        write_checks(partial / CHECKS_NAME, checks.of(p.photo for p in source.photos), links, options.limits)
        _gate(partial, links)
        if is_same_dataset(dataset, summary):
            return Prepared(folder=dataset, summary=summary, was_there=True)
        publish(partial, dataset)
    return Prepared(folder=dataset, summary=summary, was_there=False)


def _check_places(folder: Path, dataset: Path) -> None:
    if dataset.resolve().is_relative_to(folder.resolve()):
        raise BadInput(
            f"{dataset} must lie outside {folder}, or its photos would be read again; name another place"
        )
    if dataset.is_dir() and any(dataset.iterdir()) and not (dataset / MANIFEST_NAME).is_file():
        raise BadInput(f"{dataset} holds something that is not a dataset; choose another name")
    if dataset.exists() and not dataset.is_dir():
        raise BadInput(f"{dataset} is a file; choose another name")


def _check_columns(source: Source) -> None:
    taken = sorted({name for photo in source.photos for name in photo.extras} & _OWN_NAMES)
    if taken:
        raise BadInput(f"the labels may not have a column {taken[0]}, which every dataset has; rename that column")


def _links(
    source: Source,
    gone: Sequence[SourcePhoto],
    checks: Checks,
    previous: Dataset | None,
    options: PrepareOptions,
) -> list[Link]:
    """Links between all photos, also those that are rejected or gone: two photos may be linked through a third."""
    sightings = [
        Sighting(
            photo=p.photo,
            skus=p.record.skus if p.record else frozenset(),
            bin_label=p.extras.get("bin_label", ""),
            group=p.group or "",
        )
        for p in (*source.photos, *gone)
    ]
    links = find_links(sightings, checks.near_identical(), popular_item=options.popular_item)
    links += renamed_links([*source.photos, *gone])
    if previous is None:
        return links
    return [
        *told_apart(links, gone, previous),
        *shared_links("group", {photo.photo: photo.group for photo in previous.photos}),
    ]


def _rejects(source: Source, checked: Mapping[str, CheckedPhoto]) -> list[Problem]:
    explained = {problem.photo for problem in source.problems if problem.reason in _WITHOUT_COUNT}
    of_source = [checked[p.photo] for p in source.photos]
    bad = [Problem(found.photo, found.reason, found.detail) for found in of_source if found.reason]
    uncounted = [
        Problem(p.photo, "no_count", "neither the record nor the labels give a count; add one")
        for p in source.photos
        if p.count is None and p.photo not in explained
    ]
    return bad + uncounted


def _pinned(
    source: Source, usable: set[str], links: Sequence[Link], previous: Dataset | None, options: PrepareOptions
) -> tuple[dict[str, Split], dict[str, str]]:
    """The splits that are given, and the photos (with the reason) that lose theirs because links cross it.

    A photo of the dataset that is extended keeps its split even where it cannot be used any more, so that another photo of
    its bin goes where the bin was.
    """
    former = {photo.photo for photo in previous.photos} if previous else set()
    given = {
        photo: split
        for photo, split in _given_splits(source, previous).items()
        if photo in usable or photo in former
    }
    leaks = leaking(links, given) if options.on_leak == "reject" else {}
    pinned = {photo: split for photo, split in given.items() if photo not in leaks}
    check_no_link_crosses(
        links,
        pinned,
        mend="Mend the given split, or leave out the photos that train on what others test: --on-leak reject",
    )
    return pinned, leaks


def _given_splits(source: Source, previous: Dataset | None) -> dict[str, Split]:
    given: dict[str, Split] = {p.photo: split for p in source.photos for split in SPLITS if p.split == split}
    for photo in previous.photos if previous else ():
        if given.setdefault(photo.photo, photo.split) != photo.split:
            raise BadInput(
                f"photo {photo.photo} must stay in {photo.split} of the dataset that is extended, but the labels "
                f"put it in {given[photo.photo]}; drop the column split from the labels, or --extend"
            )
    return given


def _place(
    source: Source,
    checks: Checks,
    usable: set[str],
    assignment: Assignment,
    partial: Path,
) -> tuple[LabelledPhoto, ...]:
    """Put the photos that keep their place into the folders of their splits."""
    groups = name_groups(source.photos, assignment.chain_of)
    placed = {photo: split for photo, split in assignment.split_of.items() if photo in usable}
    for split in set(placed.values()):
        (partial / split).mkdir()
    photos = []
    for p in source.photos:
        if p.photo not in placed:
            continue
        split, found = placed[p.photo], checks.found[p.photo]
        file = f"{split}/{_file_name(p)}"
        checks.place(p.photo, partial / file)
        assert p.count is not None
        photos.append(
            LabelledPhoto(
                photo=p.photo,
                file=file,
                count=p.count,
                split=split,
                group=groups[p.photo],
                sha256=found.sha256,
                width=found.width,
                height=found.height,
                extras=named_extras(p, groups[p.photo]),
            )
        )
    return tuple(photos)


def _file_name(p: SourcePhoto) -> str:
    """A split is one flat folder; `%2F` for a slash keeps names unique."""
    return p.photo.replace("%", "%25").replace("/", "%2F") + p.path.suffix.lower()


def _remove(staging: Path) -> None:
    for path in staging.iterdir():
        path.unlink()
    staging.rmdir()


def _gate(partial: Path, links: Sequence[Link]) -> None:
    """The last check, of the manifest as it was written: no link and no group crosses the split."""
    rows = read_table(partial / MANIFEST_NAME).select(["photo", "split", "group"]).to_pylist()
    groups = shared_links("group", {row["photo"]: row["group"] for row in rows})
    split_of = {row["photo"]: row["split"] for row in rows}
    check_no_link_crosses([*links, *groups], split_of, mend="Please report this fault")


def _reasons(rejects: Sequence[Problem]) -> str:
    return ", ".join(sorted({reject.reason for reject in rejects})) or "no reasons"
