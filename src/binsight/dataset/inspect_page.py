"""The report's page: figures, tables and plots. The sections that show photos are in `inspect_photos`."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

import numpy as np

from binsight.dataset.findings import Findings
from binsight.dataset.inspect_photos import Thumbnails, counts_section, quality_examples, twins_and_copies
from binsight.imaging import quality as q
from binsight.report import Page
from binsight.report.plots import bar, histogram

MOST_BARS = 20
"""Counts above this share one bar: a few bins hold a hundred items and more."""
MOST_SIZES = 12


def build_page(findings: Findings, *, title: str, read_labels: bool) -> Page:
    """The whole report on a source; `read_labels` says whether bin labels were looked for."""
    thumbnails = Thumbnails(findings)
    page = Page(title, lead=_lead(findings))
    page.figures(_headline(findings, read_labels=read_labels))
    _photos_per_count(page, findings)
    counts_section(page, findings, thumbnails)
    _sizes(page, findings)
    _quality(page, findings)
    quality_examples(page, findings, thumbnails)
    _bad_files(page, findings)
    twins_and_copies(page, findings, thumbnails)
    _bin_labels(page, findings, read_labels=read_labels)
    _records(page, findings)
    _all_photos(page, findings)
    return page


def _lead(findings: Findings) -> str:
    source = findings.source
    num_records = sum(photo.record is not None for photo in source.photos)
    text = f"{len(source.photos):,} photos, {num_records:,} records."
    if findings.counts:
        text += (
            f" Counts are the stock system's, not the truth: from {min(findings.counts)} to "
            f"{max(findings.counts)}, half of them at most {median(findings.counts):g}."
        )
    return text


def _headline(findings: Findings, *, read_labels: bool) -> dict[str, str]:
    num_photos, counts = len(findings.source.photos), findings.counts
    flagged = sum(bool(scan.quality.flags) for scan in findings.scans.values())
    labels = sum(scan.bin_label is not None for scan in findings.scans.values())
    return {
        "photos": f"{num_photos:,}",
        "of the photos have a count": _share(len(counts), num_photos),
        "items a bin, on average": f"{mean(counts):.2f}" if counts else "–",
        "unreadable files": f"{len(findings.unreadable):,}",
        "of the photos have a quality flag": _share(flagged, num_photos),
        "copies, byte for byte": f"{sum(len(group) - 1 for group in findings.exact):,}",
        "near-identical pairs": f"{len(findings.near):,}",
        "before/after twins": f"{len(findings.twins):,}",
        "bin labels read" if read_labels else "bin labels not looked for": f"{labels:,}" if read_labels else "–",
        "records that do not add up": f"{len(findings.not_adding_up):,}",
    }


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _photos_per_count(page: Page, findings: Findings) -> None:
    page.section(
        "Photos per count",
        "How many photos have each count. A model learns little about counts that are rare here, and a guess of "
        "the most frequent count is the least that it must beat.",
    )
    if not findings.counts:
        page.text("No photo has a count: there are neither records nor labels.")
        return
    photos_with = Counter(findings.counts)
    rows = [
        {"count": count, "photos": number, "percent": round(100 * number / len(findings.counts), 2)}
        for count, number in sorted(photos_with.items())
    ]
    labels: list[str] = [str(count) for count in range(min(max(photos_with), MOST_BARS) + 1)]
    values = [photos_with[int(label)] for label in labels]
    above = sum(number for count, number in photos_with.items() if count > MOST_BARS)
    if above:
        labels.append(f"{MOST_BARS + 1}+")
        values.append(above)
    frequent, number = photos_with.most_common(1)[0]
    page.plot(
        "photos_per_count",
        bar(labels, values, xlabel="count", ylabel="photos", highlight={str(frequent)}),
        rows,
        caption=f"Most frequent: {frequent}, in {number / len(findings.counts):.1%} of the photos with a count.",
    )


def _sizes(page: Page, findings: Findings) -> None:
    page.section(
        "Sizes and proportions",
        "A model sees every photo at one small size. Photos stored at different sizes should not have different "
        "counts: if they do, a model can tell the one from the other without looking at the items.",
    )
    if not findings.scans:
        return
    sizes = np.array([(scan.quality.width, scan.quality.height) for scan in findings.scans.values()])
    _histogram(page, "longer_side", sizes.max(axis=1), xlabel="longer side in pixels")
    _histogram(page, "proportions", sizes[:, 0] / sizes[:, 1], xlabel="width divided by height")
    counts_of: dict[tuple[int, int], list[int | None]] = defaultdict(list)
    for photo, scan in findings.scans.items():
        counts_of[scan.quality.width, scan.quality.height].append(findings.photos[photo].count)
    rows = []
    for (width, height), counts in sorted(counts_of.items(), key=lambda item: (-len(item[1]), item[0])):
        known = [count for count in counts if count is not None]
        average = round(mean(known), 2) if known else None
        rows.append({"width": width, "height": height, "photos": len(counts), "average_count": average})
    page.table("sizes", rows, caption="The most frequent sizes.", most=MOST_SIZES)


def _quality(page: Page, findings: Findings) -> None:
    page.section(
        "Sharpness and exposure",
        "Measured on a small grey copy of each photo, so that stored size does not matter. Dashed lines are the "
        "limits below or above which a photo gets a flag.",
    )
    qualities = [scan.quality for scan in findings.scans.values()]
    if not qualities:
        return
    flags = Counter(flag for quality in qualities for flag in quality.flags)
    rows = [
        {"flag": flag, "photos": number, "percent": round(100 * number / len(qualities), 2)}
        for flag, number in flags.most_common()
    ]
    columns = ("flag", "photos", "percent")
    page.table("quality_flags", rows, caption="Flags, and how many photos have them.", columns=columns)
    for name, limits in {
        "sharpness": (q.BLURRED_BELOW,),
        "brightness": (q.DARK_BELOW, q.BRIGHT_ABOVE),
        "contrast": (q.LOW_CONTRAST_BELOW,),
    }.items():
        values = np.array([getattr(quality, name) for quality in qualities])
        _histogram(page, name, values, xlabel=name, limits=limits)


def _histogram(page: Page, name: str, values: Any, *, xlabel: str, limits: Sequence[float] = ()) -> None:
    numbers, edges = np.histogram(values, bins=40, range=_span(values))
    rows = [
        {"from": round(float(low), 4), "to": round(float(high), 4), "photos": int(number)}
        for low, high, number in zip(edges[:-1], edges[1:], numbers, strict=True)
    ]
    low, middle, high = np.percentile(values, [5, 50, 95])
    page.plot(
        name,
        histogram(values, bins=list(edges), limits=limits, xlabel=xlabel),
        rows,
        caption=f"Half of the photos have at most {middle:.3g}; nine in ten lie from {low:.3g} to {high:.3g}.",
    )


def _span(values: Any) -> tuple[float, float]:
    """From the least to the greatest value, or a tenth to either side of the only one."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - abs(low) / 10, high + abs(high) / 10 or 1.0)


def _bad_files(page: Page, findings: Findings) -> None:
    page.section(
        "Files with a problem",
        "Photos that cannot be opened, records that cannot be read, and photos and records without each other.",
    )
    rows = [
        {"photo": photo, "reason": bad.reason, "detail": bad.detail} for photo, bad in findings.unreadable.items()
    ] + [
        {"photo": problem.photo, "reason": problem.reason, "detail": problem.detail}
        for problem in findings.source.problems
    ]
    reasons = Counter(row["reason"] for row in rows)
    page.table(
        "problem_reasons",
        [{"reason": reason, "files": number} for reason, number in reasons.most_common()],
        caption="Reasons.",
        columns=("reason", "files"),
    )
    rows.sort(key=lambda row: (reasons[row["reason"]], row["reason"], row["photo"]))
    page.table("problems", rows, caption="The rarest first.", most=40, columns=("photo", "reason", "detail"))


def _bin_labels(page: Page, findings: Findings, *, read_labels: bool) -> None:
    page.section(
        "Bin labels",
        "Many bins carry a Data Matrix with their name. Where it can be read, a photo says itself which bin it "
        "shows; photos with one label show one bin and belong in one split.",
    )
    if not read_labels:
        page.text("Labels were not looked for (--no-labels).")
    page.table(
        "bins_in_several_photos",
        [
            {
                "bin_label": label,
                "photos": len(photos),
                "ids": ", ".join(photos),
                "counts": ", ".join(findings.count_text(photo) for photo in photos),
            }
            for label, photos in findings.shared_bins.items()
        ],
        caption="Bins that several photos show.",
        most=40,
        columns=("bin_label", "photos", "ids", "counts"),
    )
    page.data(
        "bin_labels",
        [
            {"photo": photo, "bin_label": scan.bin_label}
            for photo, scan in findings.scans.items()
            if scan.bin_label is not None
        ],
        caption="All labels read:",
        columns=("photo", "bin_label"),
    )


def _records(page: Page, findings: Findings) -> None:
    page.section(
        "Records that do not add up",
        "A record names a total and lists items with quantities. Where these do not sum to the total, one of the "
        "two is wrong.",
    )
    rows = []
    for photo in findings.not_adding_up:
        assert photo.record is not None
        items = sum(item.quantity for item in photo.record.items)
        rows.append(
            {
                "photo": photo.photo,
                "expected": photo.record.expected,
                "sum_of_items": items,
                "items": "; ".join(f"{item.quantity} × {item.name or item.sku}" for item in photo.record.items),
            }
        )
    columns = ("photo", "expected", "sum_of_items", "items")
    page.table("records_not_adding_up", rows, most=40, columns=columns)


def _all_photos(page: Page, findings: Findings) -> None:
    page.section("All photos")
    rows = []
    for photo in findings.source.photos:
        scan = findings.scans.get(photo.photo)
        measured = scan.quality if scan else None
        rows.append(
            {
                "photo": photo.photo,
                "file": str(photo.path),
                "count": photo.count,
                "width": measured.width if measured else None,
                "height": measured.height if measured else None,
                "bytes": scan.num_bytes if scan else None,
                "sha256": scan.sha256 if scan else None,
                "sharpness": round(measured.sharpness, 4) if measured else None,
                "brightness": round(measured.brightness, 1) if measured else None,
                "contrast": round(measured.contrast, 1) if measured else None,
                "flags": " ".join(measured.flags) if measured else None,
                "bin_label": scan.bin_label if scan else None,
                "error": None if scan else findings.unreadable[photo.photo].reason,
            }
        )
    page.data("photos", rows, caption="One row a photo, with everything measured:")
