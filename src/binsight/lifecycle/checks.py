"""What a challenger is held to, each term a sentence: two tests that decide, and margins for what may be lost meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass

from binsight.lifecycle.comparison import Comparison, Difference, Figures, Slice
from binsight.lifecycle.policy import PromotionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One term. `passed` is None where it is only reported; `decides` marks those that speak for the challenger."""

    name: str
    passed: bool | None
    sentence: str
    decides: bool = False


def checks(comparison: Comparison, figures: Figures, policy: PromotionPolicy) -> Iterator[Check]:
    """Every term in the order in which a reader wants them."""
    yield from _exact(figures, policy)
    yield from _scores(figures, policy)
    for one in figures.slices:
        yield _slice(one, policy)
    yield from _certificates(figures, policy)
    yield from _costs(comparison, figures, policy)


def _exact(figures: Figures, policy: PromotionPolicy) -> Iterator[Check]:
    found = figures.exact
    yield Check(
        name="exact answers",
        passed=found.p <= policy.alpha,
        decides=True,
        sentence=f"{points(found.difference)} points of exact answers: the challenger alone is right on "
        f"{found.only_ours:,} photos, the champion alone on {found.only_theirs:,} ({_level(found.p, policy)})",
    )
    yield Check(
        name="exact answers by chain",
        passed=found.p_by_chain <= policy.alpha,
        decides=True,
        sentence=f"the same with the photos of each chain of bins taken together: {_level(found.p_by_chain, policy)}",
    )


def _level(p: float, policy: PromotionPolicy) -> str:
    return f"p = {p:.2g}, {'within' if p <= policy.alpha else 'above'} {policy.alpha:g}"


def _scores(figures: Figures, policy: PromotionPolicy) -> Iterator[Check]:
    for name, label, unit, margin in (
        ("rps", "ranked probability score", "items", policy.rps_margin),
        ("nll", "log score", "nats", policy.nll_margin),
    ):
        yield _not_worse(figures.differences[name], label, unit, margin)
    worse = figures.differences["ece"].value
    yield Check(
        name="calibration error",
        passed=worse <= policy.ece_margin,
        sentence=f"calibration error {points(worse)} points, where {points(policy.ece_margin)} are admitted",
    )


def _not_worse(found: Difference, label: str, unit: str, margin: float) -> Check:
    """Shown to be no more than the margin worse: not merely not shown to be worse."""
    if found.interval is None:
        return Check(name=label, passed=False, sentence=f"{label}: too few chains of bins for an interval")
    return Check(
        name=label,
        passed=found.interval.high <= margin,
        sentence=f"{label} {found.value:+.3f} {unit} (95% {found.interval.low:+.3f} to {found.interval.high:+.3f}; less is "
        f"better), where up to {margin:+g} is admitted",
    )


def _slice(one: Slice, policy: PromotionPolicy) -> Check:
    found = one.exact
    is_reported = found.num_photos < policy.slice_pairs or found.standard_error is None
    margin = max(policy.slice_margin, policy.slice_errors * (found.standard_error or 0.0))
    within = f", where {points(-margin)} are admitted"
    if is_reported:
        within = f", reported alone: fewer than {policy.slice_pairs} photos"
    return Check(
        name=f"{one.by} {one.name}",
        passed=None if is_reported else found.value >= -margin,
        sentence=f"{one.by} {one.name}: {points(found.value)} points of exact answers on {found.num_photos:,} "
        f"photos{within}",
    )


def _certificates(figures: Figures, policy: PromotionPolicy) -> Iterator[Check]:
    champion, challenger = figures.champion, figures.challenger
    if champion.coverage is not None and challenger.coverage is None:
        yield Check(
            name="certificate",
            passed=False,
            sentence="the champion has a certificate and the challenger none: nothing more would be verified",
        )
    if challenger.coverage is None:
        return
    broken = challenger.broken_bands
    yield Check(
        name="certificate",
        passed=not broken,
        sentence="the challenger's certificate is "
        + (f"broken by these photos for records of {', '.join(broken)}" if broken else "not contradicted here"),
    )
    before = champion.coverage or 0.0
    yield Check(
        name="right records verified",
        passed=challenger.coverage >= before - policy.coverage_margin,
        sentence=f"{challenger.coverage:.1%} of the right records verified at {figures.alpha:.0%}, the champion "
        f"{before:.1%}, where a loss of {100 * policy.coverage_margin:.1f} points is admitted",
    )


def _costs(comparison: Comparison, figures: Figures, policy: PromotionPolicy) -> Iterator[Check]:
    slower = figures.times_slower
    yield Check(
        name="time",
        passed=slower <= policy.latency_ratio,
        sentence=f"{figures.challenger.ms_per_photo:.1f} ms a photo, {slower:.2f} times the champion's "
        f"{figures.champion.ms_per_photo:.1f}, where {policy.latency_ratio:g} times is admitted",
    )
    larger = comparison.challenger.num_bytes / comparison.champion.num_bytes
    yield Check(
        name="size",
        passed=larger <= policy.size_ratio,
        sentence=f"{comparison.challenger.num_bytes / 1e6:.1f} MB, {larger:.2f} times the champion's, where "
        f"{policy.size_ratio:g} times is admitted",
    )


def points(share: float) -> str:
    """A share as points with a sign, `+1.4`."""
    return f"{100 * share:+.1f}"
