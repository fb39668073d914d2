"""What the photos and records of a source show, taken together: pure functions from scans to findings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from binsight.dataset.intake import Source, SourcePhoto
from binsight.dataset.likeness import near_identical_pairs
from binsight.dataset.scan import Scan, Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Two photos with neighbouring numbers whose records share an item: one bin before and after a change."""

    first: SourcePhoto
    second: SourcePhoto
    num_shared_items: int

    @property
    def change(self) -> int | None:
        """By how much the count differs, or None where one of the photos has none."""
        if self.first.count is None or self.second.count is None:
            return None
        return self.second.count - self.first.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a report on a source shows.

    `scans` has the photos that could be opened, `unreadable` the others, both by id. `exact` holds groups of ids
    with the same bytes; `near` pairs that are nearly the same picture without being the same bytes; `shared_bins`
    the ids of the photos that carry one bin label, for labels read in two photos or more.
    """

    source: Source
    photos: Mapping[str, SourcePhoto]
    scans: Mapping[str, Scan]
    unreadable: Mapping[str, Unreadable]
    exact: Sequence[Sequence[str]]
    near: Sequence[tuple[str, str]]
    twins: Sequence[Twin]
    shared_bins: Mapping[str, Sequence[str]]
    not_adding_up: Sequence[SourcePhoto]

    @property
    def counts(self) -> list[int]:
        """The counts of all photos that have one."""
        return [photo.count for photo in self.source.photos if photo.count is not None]

    def count_text(self, photo: str) -> str:
        """A photo's count, or a dash where it has none."""
        count = self.photos[photo].count
        return "–" if count is None else str(count)


def find(source: Source, results: Iterable[Scan | Unreadable]) -> Findings:
    """Put together what each photo of a source showed, given in the source's order."""
    scans: dict[str, Scan] = {}
    unreadable: dict[str, Unreadable] = {}
    for photo, result in zip(source.photos, results, strict=True):
        if isinstance(result, Scan):
            scans[photo.photo] = result
        else:
            unreadable[photo.photo] = result
    exact = _exact_groups(scans)
    photos = {photo.photo: photo for photo in source.photos}
    return Findings(
        source=source,
        photos=photos,
        scans=scans,
        unreadable=unreadable,
        exact=exact,
        near=_near_pairs(scans, exact),
        twins=find_twins(photos),
        shared_bins=_shared_bins(scans),
        not_adding_up=[p for p in source.photos if p.record is not None and not p.record.adds_up],
    )


def _exact_groups(scans: Mapping[str, Scan]) -> list[list[str]]:
    by_digest: dict[str, list[str]] = defaultdict(list)
    for photo, scan in scans.items():
        by_digest[scan.sha256].append(photo)
    return [group for group in by_digest.values() if len(group) > 1]


def _near_pairs(scans: Mapping[str, Scan], exact: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    copies = {photo for group in exact for photo in group[1:]}
    originals = [photo for photo in scans if photo not in copies]
    pairs = near_identical_pairs([scans[photo].fingerprint for photo in originals])
    return [(originals[i], originals[j]) for i, j in pairs]


def find_twins(photos: Mapping[str, SourcePhoto]) -> list[Twin]:
    """Photos with numbers n and n + 1 whose records share an item.

    Numbers keep their leading zeros: `00009` is followed by `00010`, `9` by `10`, and `9` is not `00009`.
    """
    twins = []
    for first in photos.values():
        name = first.photo
        if first.record is None or not (name.isascii() and name.isdigit()):
            continue
        second = photos.get(str(int(name) + 1).zfill(len(name)))
        if second is None or second.record is None:
            continue
        shared = first.record.skus & second.record.skus
        if shared:
            twins.append(Twin(first=first, second=second, num_shared_items=len(shared)))
    return twins


def _shared_bins(scans: Mapping[str, Scan]) -> dict[str, list[str]]:
    by_label: dict[str, list[str]] = defaultdict(list)
    for photo, scan in scans.items():
        if scan.bin_label is not None:
            by_label[scan.bin_label].append(photo)
    return {label: photos for label, photos in sorted(by_label.items()) if len(photos) > 1}


def summarise(findings: Findings) -> dict[str, Any]:
    """The findings as numbers, for scripts."""
    counts, problems = findings.counts, Counter(problem.reason for problem in findings.source.problems)
    flags = Counter(flag for scan in findings.scans.values() for flag in scan.quality.flags)
    changes = [abs(twin.change) for twin in findings.twins if twin.change is not None]
    return {
        "photos": len(findings.source.photos),
        "unreadable": len(findings.unreadable),
        "records": sum(photo.record is not None for photo in findings.source.photos),
        "with_count": len(counts),
        "mean_count": round(sum(counts) / len(counts), 3) if counts else None,
        "exact_duplicates": sum(len(group) - 1 for group in findings.exact),
        "near_duplicates": len(findings.near),
        "twins": len(findings.twins),
        "twins_changed_by_one": sum(change == 1 for change in changes),
        "bin_labels": sum(scan.bin_label is not None for scan in findings.scans.values()),
        "bins_in_several_photos": len(findings.shared_bins),
        "records_not_adding_up": len(findings.not_adding_up),
        "problems": dict(sorted(problems.items())),
        "flags": dict(sorted(flags.items())),
    }
