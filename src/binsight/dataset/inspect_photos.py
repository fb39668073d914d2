"""The report's sections that show photos. However many there are, the page shows some 500 small ones."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from binsight.dataset.findings import Findings, Twin
from binsight.errors import BadPhoto
from binsight.imaging.thumbnail import thumbnail
from binsight.report import Page, Pair, Tile
from binsight.report.plots import bar

THUMBNAIL_SIDE = 160
THUMBNAIL_QUALITY = 72
"""JPEG quality: some 4 KB a photo, so that 500 of them make a page of 3 MB."""
TILES_PER_COUNT = 8
MOST_COUNTS = 12
"""Counts above this share one contact sheet."""
WORST = 16
MOST_PAIRS = 24
LARGEST_CHANGE = 6
"""Larger changes share a bar."""


class Thumbnails:
    """Small JPEG copies of photos, made when asked for."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def tile(self, photo: str, detail: str) -> Tile | None:
        """The photo with its id and a line below, or None where its file has gone bad since it was scanned."""
        try:
            data = self._findings.photos[photo].path.read_bytes()
            jpeg = thumbnail(data, name=photo, side=THUMBNAIL_SIDE, quality=THUMBNAIL_QUALITY)
        except (BadPhoto, OSError):
            return None
        return Tile(jpeg=jpeg, caption=photo, detail=detail)

    def sheet(self, page: Page, details: Mapping[str, str], *, caption: str) -> None:
        """A contact sheet of photos with a line below each, those that can still be opened."""
        tiles = [self.tile(photo, detail) for photo, detail in details.items()]
        page.contact_sheet([tile for tile in tiles if tile is not None], caption=caption)

    def pairs(self, page: Page, rows: Sequence[tuple[str, str, str]], *, caption: str) -> None:
        """Pairs of photos side by side with their counts: `(left, right, line below)`."""
        pairs = []
        for *photos, below in rows:
            left, right = (self.tile(photo, f"count {self._findings.count_text(photo)}") for photo in photos)
            if left is not None and right is not None:
                pairs.append(Pair(left=left, right=right, caption=below))
        page.pairs(pairs, caption=caption)


def spread(photos: Sequence[str], most: int) -> list[str]:
    """At most `most` of the photos, evenly spread over them, the same at every run."""
    if len(photos) <= most:
        return list(photos)
    return [photos[number * len(photos) // most] for number in range(most)]


def counts_section(page: Page, findings: Findings, thumbnails: Thumbnails) -> None:
    """A contact sheet for every count."""
    page.section("Photos of every count", "Some photos of each count, evenly drawn from all of them.")
    by_count: dict[str, list[str]] = defaultdict(list)
    for photo in findings.scans:
        by_count[_sheet_name(findings.photos[photo].count)].append(photo)
    names = [_sheet_name(count) for count in (*range(MOST_COUNTS + 2), None)]
    mixed = {_sheet_name(None), _sheet_name(MOST_COUNTS + 1)}
    for name in filter(by_count.get, names):
        photos = by_count[name]
        shown = spread(photos, 2 * TILES_PER_COUNT if name in mixed else TILES_PER_COUNT)
        sizes = {photo: findings.scans[photo].quality for photo in shown}
        details = {photo: f"{size.width}×{size.height}" for photo, size in sizes.items()}
        if name == _sheet_name(MOST_COUNTS + 1):
            details = {photo: f"count {findings.count_text(photo)}" for photo in shown}
        thumbnails.sheet(page, details, caption=f"{name} – {len(photos):,} photo{'' if len(photos) == 1 else 's'}")


def _sheet_name(count: int | None) -> str:
    if count is None:
        return "No count"
    return f"Count {count}" if count <= MOST_COUNTS else f"More than {MOST_COUNTS}"


def quality_examples(page: Page, findings: Findings, thumbnails: Thumbnails) -> None:
    """The photos that are worst in each respect, flagged or not."""
    for caption, name, highest_first in (
        ("The least sharp photos.", "sharpness", False),
        ("The darkest photos.", "brightness", False),
        ("The brightest photos.", "brightness", True),
        ("The photos with the least contrast.", "contrast", False),
    ):
        values = {photo: float(getattr(scan.quality, name)) for photo, scan in findings.scans.items()}
        worst = sorted(values, key=values.__getitem__, reverse=highest_first)[:WORST]
        details = {
            photo: ", ".join([f"{name} {values[photo]:.3g}", *findings.scans[photo].quality.flags])
            for photo in worst
        }
        if worst:
            thumbnails.sheet(page, details, caption=caption)


def twins_and_copies(page: Page, findings: Findings, thumbnails: Thumbnails) -> None:
    """Copies, near-identical pairs and before/after twins."""
    _copies(page, findings)
    _near(page, findings, thumbnails)
    _twins(page, findings, thumbnails)


def _copies(page: Page, findings: Findings) -> None:
    page.section(
        "Copies",
        "Files with the same bytes under several ids. Two of them in different splits make a test too easy.",
    )
    page.table(
        "exact_duplicates",
        [
            {
                "photos": len(group),
                "ids": ", ".join(group),
                "counts": ", ".join(findings.count_text(photo) for photo in group),
                "sha256": findings.scans[group[0]].sha256,
            }
            for group in findings.exact
        ],
        most=40,
        columns=("photos", "ids", "counts", "sha256"),
    )


def _near(page: Page, findings: Findings, thumbnails: Thumbnails) -> None:
    page.section(
        "Near-identical photos",
        "Pairs that are nearly one picture: stored twice in different quality or size, or taken before and after "
        "a change that can hardly be seen. They belong in one split; where their counts differ, no model can be "
        "right about both.",
    )
    rows = [
        {
            "first": first,
            "second": second,
            "first_count": findings.photos[first].count,
            "second_count": findings.photos[second].count,
        }
        for first, second in findings.near
    ]
    if rows:
        shown = [(first, second, "") for first, second in findings.near[:MOST_PAIRS]]
        caption = f"{len(shown)} of {len(rows):,} pairs." if len(shown) < len(rows) else ""
        thumbnails.pairs(page, shown, caption=caption)
    else:
        page.text("None.")
    columns = ("first", "second", "first_count", "second_count")
    page.data("near_duplicates", rows, caption="All pairs:", columns=columns)


def _twins(page: Page, findings: Findings, thumbnails: Thumbnails) -> None:
    page.section(
        "Before and after",
        "Two photos with neighbouring numbers whose records share an item show one bin before and after something "
        "was put in or taken out. A split by photo puts one into training and the other into the test.",
    )
    twins = findings.twins
    if not twins:
        page.text("None found: this needs records with items, and photos with numbers as ids.")
    changes = Counter(twin.change for twin in twins if twin.change is not None)
    if changes:
        most = LARGEST_CHANGE
        clipped: Counter[int] = Counter()
        for change, number in changes.items():
            clipped[max(-most, min(most, change))] += number
        labels = [
            f"≤ −{most}",
            *(f"{change:+d}".replace("-", "−") if change else "0" for change in range(1 - most, most)),
            f"≥ +{most}",
        ]
        by_one = changes[1] + changes[-1]
        page.plot(
            "twin_changes",
            bar(
                labels,
                [clipped[change] for change in range(-most, most + 1)],
                xlabel="change of the count",
                ylabel="twins",
            ),
            [{"change": change, "twins": number} for change, number in sorted(changes.items())],
            caption=f"By how much the count changes from the first photo to the second: by one in "
            f"{by_one / changes.total():.0%} of {changes.total():,} twins.",
        )
    if twins:
        step = max(1, len(twins) // MOST_PAIRS)
        shown = [(t.first.photo, t.second.photo, _change(t)) for t in twins[::step][:MOST_PAIRS]]
        thumbnails.pairs(page, shown, caption=f"{len(shown)} of {len(twins):,} twins, evenly drawn.")
    page.data(
        "twins",
        [
            {
                "first": twin.first.photo,
                "second": twin.second.photo,
                "first_count": twin.first.count,
                "second_count": twin.second.count,
                "change": twin.change,
                "shared_items": twin.num_shared_items,
            }
            for twin in twins
        ],
        caption="All twins:",
        columns=("first", "second", "first_count", "second_count", "change", "shared_items"),
    )


def _change(twin: Twin) -> str:
    items = f"{twin.num_shared_items} item{'s' if twin.num_shared_items > 1 else ''} in both records"
    return items if twin.change is None else f"change {twin.change:+d}, {items}".replace("-", "−")
