"""What the flag `unreadable` is worth, as a section of the report of an evaluation and as lines for a terminal."""

from collections.abc import Iterator

from binsight.decision.readable import UNREADABLE_SHARE
from binsight.decision.resample import Interval
from binsight.model.readability import (
    ANSWERED_SMALL,
    LARGEST,
    MEASURES,
    PIXELS,
    RANDOM,
    RECORDED_SMALL,
    Choice,
    Left,
    Readability,
)
from binsight.records import UNREADABLE
from binsight.report import Page

ABOUT = (
    "A photo has the flag “unreadable” where the model gives its own answer, one item more or less allowed, too little "
    "probability. Left to people, such photos raise the accuracy of the others, or the flag is worth nothing. Full bins "
    "are hard to count, so it stands beside leaving out as many photos with the largest answers, and apart by count."
)

CAPTION = (
    "Gain: kept minus all the photos of the row, with its 95% interval, resampled by chain; of photos drawn at random, "
    "what 95% of the draws gain. Over largest answers: kept minus what leaving out as many photos with the largest "
    "answers keeps: as many of all photos, so that of a part each rule leaves out its own number. Pixel flags (blurred, "
    "dark, …) leave out as many as have one. Lower is better for the MAE only."
)

HEADINGS = {"exact": "exact", "within_one": "within ±1", "mae": "MAE"}
WORDS = {"exact": "exactly right", "within_one": "right or one off"}


def readability_section(page: Page, found: Readability) -> None:
    """Accuracy without the flagged photos, in words and as a table with all that it is compared with."""
    page.section("Photos left to people", ABOUT)
    for line in summary(found):
        page.text(line)
    page.table(
        "readability",
        [_row(choice, name) for name in MEASURES for choice in found.choices],
        caption=CAPTION,
    )


def summary(found: Readability) -> Iterator[str]:
    """What is flagged, what that gains on all photos and on small counts, and whether chance or full bins explain it."""
    flagged = found.of("all", UNREADABLE)
    assert flagged is not None
    whose = (
        "the bundle's limit"
        if found.from_bundle
        else f"the model has none; this one leaves the least sure {UNREADABLE_SHARE:.0%} here"
    )
    yield (
        f"Flag unreadable: {flagged.num_left_out:,} of {flagged.num_photos:,} photos, with less than "
        f"{found.readable_from:.1%} for right or one off ({whose})."
    )
    if not 0 < flagged.num_left_out < flagged.num_photos:
        return
    for choice in (flagged, found.of(RECORDED_SMALL, UNREADABLE), found.of(ANSWERED_SMALL, UNREADABLE)):
        if choice is not None and 0 < choice.num_left_out < choice.num_photos:
            yield from (_gain_sentence(choice, name) for name in WORDS)
    yield " ".join(_beside_sentence(found, flagged, name) for name in WORDS)


def _gain_sentence(choice: Choice, name: str) -> str:
    left, said = choice.measures[name], verdict(choice.measures[name], name)
    if choice.among != "all":
        part = f"{choice.among}, {choice.num_left_out:,} of {choice.num_photos:,} flagged"
        said = f"{part[0].upper()}{part[1:]}: {said[0].lower()}{said[1:]}"
    return (
        f"{said}: {_share(left.kept)} of the photos without it, {_share(left.everything)} of all, "
        f"{_points(left.gain, left.gain_interval)}; {_share(left.left_out)} of the flagged."
    )


def verdict(left: Left, name: str) -> str:
    """Whether leaving out the photos makes the others more often right, as far as chance allows to say."""
    interval = left.gain_interval
    if interval is None:
        return f"Too few chains of bins to say whether the flag raises the share {WORDS[name]}"
    if interval.low > 0:
        return f"The flag raises the share {WORDS[name]}"
    if interval.high < 0:
        return f"The flag lowers the share {WORDS[name]}"
    return f"The flag is not shown to raise the share {WORDS[name]}"


def _beside_sentence(found: Readability, flagged: Choice, name: str) -> str:
    others = {
        by: choice.measures[name].gain for by in (LARGEST, PIXELS) if (choice := found.of("all", by)) is not None
    }
    over = flagged.measures[name].over_largest_interval
    if over is None:
        beyond = "too few chains say whether that is less"
    elif over.low > 0:
        beyond = "the flag is better than that beyond chance"
    elif over.high < 0:
        beyond = "the flag is worse than that beyond chance"
    else:
        beyond = "the flag is not shown to be better than that"
    return (
        f"{HEADINGS[name].capitalize()}: leaving out as many photos with the largest answers gains "
        f"{_points(others[LARGEST])}, and {beyond}; those with pixel flags {_points(others[PIXELS])}."
    )


def _row(choice: Choice, name: str) -> dict[str, object]:
    left = choice.measures[name]
    is_share = name != "mae"
    return {
        "measure": HEADINGS[name],
        "among": choice.among,
        "left_out_by": choice.by if choice.by != RANDOM else "as many at random",
        "photos": choice.num_photos,
        "left_out": choice.num_left_out,
        "all": _figure(left.everything, is_share=is_share),
        "kept": _figure(left.kept, left.kept_interval, is_share=is_share),
        "gain": _figure(left.gain, left.gain_interval, is_share=is_share, signed=True),
        "of_those_left_out": _figure(left.left_out, is_share=is_share),
        "over_largest_answers": _figure(
            left.over_largest, left.over_largest_interval, is_share=is_share, signed=True
        ),
    }


def _figure(value: float | None, interval: Interval | None = None, *, is_share: bool, signed: bool = False) -> str:
    """`41.2% (38.1–44.3)`, or signed, in points: `+1.2 (+0.3 to +2.1)`; empty where there is none."""
    if value is None:
        return ""
    scale, decimals, sign = (100, 1, "+" if signed else "") if is_share else (1, 2, "+" if signed else "")
    text = f"{value * scale:{sign}z.{decimals}f}" + ("%" if is_share and not signed else "")
    if interval is not None:
        low, high = (f"{end * scale:{sign}z.{decimals}f}" for end in (interval.low, interval.high))
        text += f" ({low} to {high})" if signed else f" ({low}–{high})"
    return text.replace("-", "−")


def _share(value: float | None) -> str:
    return _figure(value, is_share=True)


def _points(value: float | None, interval: Interval | None = None) -> str:
    return f"{_figure(value, interval, is_share=True, signed=True)} points"
