"""The decision as a page that a manager can read: what to do and why first, then every term, then what it rests on."""

from typing import Any

from binsight.lifecycle.checks import Check
from binsight.lifecycle.comparison import Comparison, Figures, Slice
from binsight.lifecycle.decide import PromotionDecision
from binsight.lifecycle.policy import PromotionPolicy
from binsight.report import Page
from binsight.report.plots import HIGHLIGHT, INK, SOFT, new_axes

TITLES = {
    "promote": "Promote {challenger}",
    "keep": "Keep {champion}",
    "refuse": "Not judged: {challenger}",
}
LEADS = {
    "promote": "The challenger is better than the model in use by more than chance, and loses nothing that matters.",
    "keep": "The model in use stays: the challenger is not shown to be better, or loses something that matters.",
    "refuse": "Nothing was decided about the challenger, because this comparison could not have been trusted.",
}
HOW = (
    "Both models were asked about the same {num:,} photos, in the same run, whose counts neither has learned from. What "
    "speaks for the challenger are the photos on which just one of the two is right. Were both equally good, each of "
    "these would fall to either by a fair coin: p says how often coins alone would do as well for the challenger. It must "
    "be at most {alpha:g}, once with every photo by itself and once with photos of one chain of bins taken together. This "
    "is look {look} of {most} at these photos: so many challengers no better than the model in use are promoted by chance "
    "with a probability of at most {risk:.0%} in all."
)
ADMITTED = (
    "What may be lost meanwhile is bounded: for the score of the whole distribution, the calibration, each part of the "
    "photos, the certificate, time and size. Parts with fewer than {pairs} photos are shown and hold nothing up."
)


def decision_page(comparison: Comparison, decision: PromotionDecision, policy: PromotionPolicy) -> Page:
    """The page of one decision."""
    names = {
        "champion": f"{comparison.champion.name} {comparison.champion.version}",
        "challenger": f"{comparison.challenger.name} {comparison.challenger.version}",
    }
    page = Page(TITLES[decision.word].format(**names), LEADS[decision.word])
    if comparison.figures:
        page.figures(_large(comparison.figures))
    page.section("Why")
    for reason in decision.reasons:
        page.text(reason[:1].upper() + reason[1:] + ".")
    if comparison.figures:
        _measured(page, comparison, comparison.figures, decision, policy)
    _rests_on(page, comparison, policy)
    return page


def _large(figures: Figures) -> dict[str, str]:
    exact = figures.exact
    shares = (figures.champion.scores.exact, figures.challenger.scores.exact)
    return {
        "exact, in use": f"{shares[0]:.1%}",
        "exact, challenger": f"{shares[1]:.1%}",
        "photos": f"{exact.num_photos:,}",
        "challenger alone right": f"{exact.only_ours:,}",
        "in use alone right": f"{exact.only_theirs:,}",
        "p": f"{max(exact.p, exact.p_by_chain):.2g}",
    }


def _measured(
    page: Page, comparison: Comparison, figures: Figures, decision: PromotionDecision, policy: PromotionPolicy
) -> None:
    found = comparison.promotion_set
    page.section(
        "How it was decided",
        HOW.format(
            num=found.num_photos,
            alpha=policy.alpha,
            look=found.look,
            most=found.max_looks,
            risk=min(1.0, policy.alpha * found.max_looks),
        ),
    )
    page.text(ADMITTED.format(pairs=policy.slice_pairs))
    page.table("terms", [_term(check) for check in decision.checks], caption="Every term, and what was found.")
    page.section("Where it differs")
    page.plot(
        "slices",
        _slices_plot(figures.slices),
        [_slice_row(one) for one in figures.slices],
        caption="Challenger minus the model in use, points of exact answers, with 95% by chains of bins. Right of the "
        "line the challenger is better.",
    )
    page.table("scores", _score_rows(figures), caption="All scores; less is better but for exact and within one.")


def _term(check: Check) -> dict[str, str]:
    word = {True: "yes", False: "no", None: "reported"}[check.passed]
    return {"term": check.name, "held": word, "found": check.sentence}


def _slice_row(one: Slice) -> dict[str, Any]:
    return {
        "by": one.by,
        "part": one.name,
        "num_photos": one.exact.num_photos,
        "num_chains": one.exact.num_groups,
        "points": 100 * one.exact.value,
        "standard_error": None if one.exact.standard_error is None else 100 * one.exact.standard_error,
    }


def _slices_plot(slices: tuple[Slice, ...]) -> Any:
    figure, axes = new_axes(height=0.9 + 0.28 * len(slices))
    places = range(len(slices))[::-1]
    axes.axvline(0, color=SOFT, linewidth=1, linestyle=":")
    axes.errorbar(
        [100 * one.exact.value for one in slices],
        list(places),
        xerr=[196 * (one.exact.standard_error or 0.0) for one in slices],
        fmt="o",
        color=HIGHLIGHT,
        ecolor=INK,
        linewidth=1.2,
    )
    axes.set_yticks(list(places), [f"{one.by} {one.name}" for one in slices])
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("points of exact answers", fontsize=10, color=INK)
    return figure


def _score_rows(figures: Figures) -> list[dict[str, Any]]:
    rows = []
    for name, difference in figures.differences.items():
        interval = difference.interval
        rows.append(
            {
                "score": name,
                "in use": getattr(figures.champion.scores, name),
                "challenger": getattr(figures.challenger.scores, name),
                "difference": difference.value,
                "95% from": None if interval is None else interval.low,
                "to": None if interval is None else interval.high,
            }
        )
    return rows


def _rests_on(page: Page, comparison: Comparison, policy: PromotionPolicy) -> None:
    found, training = comparison.promotion_set, comparison.training
    where = "".join(f", {column} = {' or '.join(values)}" for column, values in found.where.items())
    rows = {
        "model in use": f"{comparison.champion.name}:{comparison.champion.version} (sha256 {comparison.champion.sha256})",
        "challenger": f"{comparison.challenger.name}:{comparison.challenger.version} "
        f"(sha256 {comparison.challenger.sha256})",
        "promotion set": f"{found.name}: split {found.split}{where} of the dataset {found.dataset_sha256}",
        "its photos and counts": f"{found.num_photos:,} in {found.num_groups:,} chains of bins, sha256 {found.sha256}",
        "frozen at": found.frozen_at or "never",
        "look": "none" if not found.look else f"{found.look} of {found.max_looks}",
        "training photos looked for in it": f"{training.num_photos:,}, found {training.num_leaks:,}; datasets "
        + (", ".join(training.datasets) or "none"),
        "compared at": comparison.compared_at,
        "code": " ".join(value for value in comparison.code.values() if value),
    }
    page.section("What it rests on")
    page.table("hashes", [{"what": name, "is": value} for name, value in rows.items()])
    terms = [
        {"term": name, "value": getattr(policy, name), "means": field.description}
        for name, field in PromotionPolicy.model_fields.items()
    ]
    page.table("policy", terms, caption="The terms.")
    if training.leaks:
        leaks = [
            {"training photo": leak.training, "kind": leak.kind, "of": leak.promotion} for leak in training.leaks
        ]
        page.table("leaks", leaks, caption="Training photos in the promotion set, the first of them.")
