"""Photos of an evaluation with their answers: the best, the worst and those of which the model is least sure."""

from collections.abc import Sequence

import numpy as np

from binsight.decision.curves import entropy
from binsight.imaging.thumbnail import thumbnail
from binsight.model.evaluate import Evaluation
from binsight.report import Page
from binsight.report.page import Tile

NUM_EXAMPLES = 12
TILE_SIDE = 200


def examples_section(page: Page, evaluation: Evaluation) -> None:
    """Contact sheets of the surest right answers, the furthest wrong ones and the most even distributions."""
    page.section("Examples", "Records are what the stock system says; some of these answers may be right.")
    scores, probs_BK = evaluation.photo_scores, evaluation.predictions.probs_BK
    best = [
        int(places[scores.nll[places].argmin()])
        for count in evaluation.by_count
        if len(places := np.flatnonzero((scores.answer == count) & (scores.exact == 1)))
    ]
    page.contact_sheet(
        _tiles(evaluation, best[:NUM_EXAMPLES]), caption="Best: for each count the surest right answer."
    )
    worst = np.argsort(-scores.rps, kind="stable")[:NUM_EXAMPLES].tolist()
    page.contact_sheet(_tiles(evaluation, worst), caption="Worst: furthest from the record, and surest of it.")
    unsure = np.argsort(-entropy(probs_BK), kind="stable")[:NUM_EXAMPLES].tolist()
    page.contact_sheet(_tiles(evaluation, unsure), caption="Most unsure: the most even distributions.")


def _tiles(evaluation: Evaluation, places: Sequence[int]) -> list[Tile]:
    return [_tile(evaluation, i) for i in places]


def _tile(evaluation: Evaluation, i: int) -> Tile:
    photo, probs = evaluation.predictions.photos[i], evaluation.predictions.probs_BK[i]
    answer = int(evaluation.photo_scores.answer[i])
    detail = f"{probs[answer]:.0%} sure"
    recorded = min(photo.count, evaluation.num_counts - 1)
    if answer != recorded:
        detail += f", {probs[recorded]:.0%} for {evaluation.count_name(recorded)}"
    return Tile(
        jpeg=thumbnail(evaluation.dataset.read_bytes(photo), name=photo.photo, side=TILE_SIDE),
        caption=f"says {evaluation.count_name(answer)}, record {photo.count}",
        detail=f"{detail}; photo {photo.photo}",
    )
