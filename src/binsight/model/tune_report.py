"""What a search found: the best recipe as a file, and a page with every trial, each with a CSV twin."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from binsight.errors import GateFailed
from binsight.model.recipe import Recipe, dump_recipe
from binsight.model.search import Between, SearchFile
from binsight.model.tune import best_trial, is_done
from binsight.model.tune_trial import REASON, SCORES
from binsight.report import Page
from binsight.report.plots import ACCENT, HIGHLIGHT, SOFT, legend_above, lines, new_axes
from binsight.storage.files import make_folder, written_whole

BEST_NAME = "best.toml"

STATES = {TrialState.COMPLETE: "trained", TrialState.PRUNED: "given up", TrialState.FAIL: "does not train"}


def write_best(search: SearchFile, study: optuna.Study, folder: Path) -> Recipe:
    """Write the recipe of the best trial as `folder`/best.toml, complete and ready to train.

    Raises `GateFailed` where no trial trained to its end.
    """
    best, trials = best_trial(study), done_trials(study)
    if best is None:
        reasons = sorted({trial.user_attrs[REASON] for trial in trials if REASON in trial.user_attrs})
        raise GateFailed(
            f"none of the {len(trials)} trials of {study.study_name} trained to its end; first reason: "
            + (reasons[0] if reasons else "all were given up")
        )
    recipe = search.recipe(best.params)
    head = (
        f"# Trial {best.number + 1}, the best of {len(trials)} of the search {study.study_name}: ranked probability score "
        f"{best.value:.4f} items on val, lower is better.\n# "
        + ", ".join(f"{name} = {value}" for name, value in best.params.items())
    )
    make_folder(folder)
    with written_whole(folder / BEST_NAME) as part:
        part.write_text(f"{head}\n{dump_recipe(recipe)}", encoding="utf-8")
    return recipe


def done_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that ended by themselves, in the order of their numbers."""
    return [trial for trial in study.trials if is_done(trial)]


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each field decides about the best quarter of the trials, shares of 1; empty where too few tell.

    PED-ANOVA: Watanabe, Bansal & Hutter 2023, arXiv:2304.10255.
    """
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return optuna.importance.get_param_importances(
                study,
                # In the whole space, since a sampler soon tries good values alone and then nothing would seem to matter.
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(
                    target_quantile=0.25, evaluate_on_local=False
                ),
            )
        except (ValueError, RuntimeError, ZeroDivisionError):  # no field differs among the best
            return {}


def search_page(search: SearchFile, study: optuna.Study) -> Page:
    """The whole report, ready to be written."""
    trials, best = done_trials(study), best_trial(study)
    page = Page(
        f"The search {study.study_name}",
        lead=f"{len(trials)} trials over {', '.join(search.search.fields)}. Each was judged by the ranked probability "
        "score of its best epoch on all val photos (items, lower is better): the same photos, one by one, whatever its "
        "batch size. A figure that was the best of many is a little too good: test photos tell.",
    )
    if best is not None:
        _headline(page, best, trials)
    _importances(page, study)
    _course(page, trials)
    for name, space in search.search.fields.items():
        _field(page, name, space, trials, best)
    page.section("All trials")
    page.table("trials", [trial_row(trial) for trial in _ranked(trials)], caption="Best first.")
    return page


def _headline(page: Page, best: FrozenTrial, trials: list[FrozenTrial]) -> None:
    scores = best.user_attrs[SCORES]
    page.figures(
        {
            "ranked probability score of the best": f"{scores['val_rps']:.3f}",
            "of val photos exactly right": f"{scores['val_exact']:.1%}",
            "right or one off": f"{scores['val_within_one']:.1%}",
            "given up early": f"{sum(trial.state == TrialState.PRUNED for trial in trials)} of {len(trials)}",
        }
    )
    chosen = ", ".join(f"{name} = {_text(value)}" for name, value in best.params.items())
    page.text(f"The best is trial {best.number + 1}: {chosen}. Its whole recipe is in {BEST_NAME}.")


def _importances(page: Page, study: optuna.Study) -> None:
    shares = importances(study)
    if not shares:
        return
    page.section(
        "What decides",
        "How much each field decides whether a trial is among the best quarter (PED-ANOVA), as shares of 1.",
    )
    rows = [{"field": name, "importance": share} for name, share in shares.items()]
    figure, axes = new_axes(height=0.8 + 0.3 * len(shares))
    axes.barh(list(reversed(shares)), list(reversed(shares.values())), color=ACCENT)
    axes.grid(visible=False)
    axes.set_xlabel("importance")
    page.plot(
        "importance",
        figure,
        rows,
        caption="With few trials this is a hint at most.",
    )


def _course(page: Page, trials: list[FrozenTrial]) -> None:
    page.section("The course of the search")
    scored = _scored(trials)
    if not scored:
        return
    numbers = [float(trial.number + 1) for trial in scored]
    values = [_rps(trial) for trial in scored]
    best_so_far = _best_so_far(scored)
    figure, axes = new_axes()
    axes.scatter(numbers, values, c=ACCENT, s=30, label="each trial")
    axes.step(numbers, best_so_far, color=HIGHLIGHT, where="post", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel("RPS")
    legend_above(axes)
    page.plot(
        "course",
        figure,
        [
            {"trial": int(n), "rps": v, "best_so_far": "" if math.isnan(b) else b}
            for n, v, b in zip(numbers, values, best_so_far, strict=True)
        ],
        caption="The best epoch of each trial, those given up early included.",
    )
    best = _ranked(scored)[:5]
    page.plot(
        "epochs",
        lines(
            {
                f"trial {trial.number + 1}": (
                    [float(epoch) for epoch in sorted(trial.intermediate_values)],
                    [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
                )
                for trial in best
            },
            xlabel="epoch",
            ylabel="RPS",
        ),
        [
            {"trial": trial.number + 1, "epoch": epoch, "rps": value}
            for trial in trials
            for epoch, value in sorted(trial.intermediate_values.items())
        ],
        caption="The five best trials, epoch by epoch; the CSV has all.",
    )


def _scored(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those with a score to show; that of an epoch after which the trial failed is none."""
    return [trial for trial in trials if SCORES in trial.user_attrs and trial.state != TrialState.FAIL]


def _best_so_far(scored: list[FrozenTrial]) -> list[float]:
    """The best score up to each trial, chosen as the best is: among those that trained to their end. NaN before one did."""
    ended = [_rps(trial) if trial.state == TrialState.COMPLETE else math.nan for trial in scored]
    return [float(best) for best in np.fmin.accumulate(ended)]


def _field(page: Page, name: str, space: Any, trials: list[FrozenTrial], best: FrozenTrial | None) -> None:
    scored = [trial for trial in _scored(trials) if name in trial.params]
    if not scored:
        return
    figure, axes = new_axes()
    choices = None if isinstance(space, Between) else list(space)
    for state, colour, marker in ((TrialState.COMPLETE, ACCENT, "o"), (TrialState.PRUNED, SOFT, "x")):
        chosen = [trial for trial in scored if trial.state == state]
        at = [choices.index(trial.params[name]) if choices else trial.params[name] for trial in chosen]
        axes.scatter(at, [_rps(trial) for trial in chosen], c=colour, marker=marker, label=STATES[state], s=30)
    if best is not None:
        place = choices.index(best.params[name]) if choices else best.params[name]
        axes.scatter(
            [place], [_rps(best)], facecolors="none", edgecolors=HIGHLIGHT, s=140, linewidths=2, label="best"
        )
    if choices:
        axes.set_xticks(range(len(choices)), [_text(choice) for choice in choices])
    elif space.log:
        axes.set_xscale("log")
    axes.set_xlabel(name)
    axes.set_ylabel("RPS")
    legend_above(axes)
    rows = [{"trial": t.number + 1, name: t.params[name], "rps": _rps(t), "state": STATES[t.state]} for t in scored]
    page.plot(f"field_{name.replace('.', '_')}", figure, rows, caption=f"Trials by {name}; lower is better.")


def trial_row(trial: FrozenTrial) -> dict[str, Any]:
    """One row of the table of trials."""
    scores = trial.user_attrs.get(SCORES, {})
    return {
        "trial": trial.number + 1,
        "state": STATES[trial.state],
        **{name: scores.get(f"val_{name}", "") for name in ("rps", "exact", "within_one", "mae", "nll")},
        "epochs": len(trial.intermediate_values),
        **trial.params,
        "minutes": round(trial.duration.total_seconds() / 60, 2) if trial.duration else "",
        "reason": trial.user_attrs.get(REASON, ""),
    }


def _ranked(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Best first: those that trained to their end, then those given up, then those that do not train."""
    order = list(STATES)
    return sorted(trials, key=lambda trial: (order.index(trial.state), _rps(trial)))


def _rps(trial: FrozenTrial) -> float:
    return float(trial.user_attrs.get(SCORES, {}).get("val_rps", float("inf")))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
