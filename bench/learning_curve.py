"""How a counter's accuracy grows with the photos that it learns, and what that says of more photos than there are.

    python -m bench.learning_curve DATASET RUN RUN RUN… [--plot PICTURE.svg] [--json]

The runs are of one recipe with different `data.most`. Each is asked about the natural `val` photos, tempered there, and
two laws are fitted to each score over the number of training photos n: as much gained with every doubling of n, and an
error that falls as a power of n. Neither knows a ceiling, so that what they foretell is rather too good. 95% intervals
resample the val photos by chain and fit again; the luck of a single training run is not in them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.calibrate import fit_temperature, temper
from binsight.decision.measures import restrict
from binsight.decision.scores import photo_scores
from binsight.model.batches import wanted_photos
from binsight.model.run import Run
from binsight.report.plots import lines

Floats = npt.NDArray[np.float64]
FORETOLD = (100_000, 325_000)
"""Photos: a round number, and what the best published network for these photos learnt from."""
NUM_DRAWS = 1000
SHORT = ("1–5", "1–5, told", "0–5, told", "all")
"""The scores, in a plot."""
SCORES = (
    "1–5 listed, any answer",
    "1–5 listed, told the range",
    "0–5 complete, told the range",
    "all natural, exact",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy over training photos, and further.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if len(args.runs) < 3:
        parser.error("a curve needs at least three runs")
    dataset = Dataset.open(args.dataset)
    runs = sorted(
        ((len(wanted_photos(dataset, run.recipe, "train")), run) for run in map(Run.open, args.runs)),
        key=lambda pair: pair[0],
    )
    photos = wanted_photos(dataset, runs[0][1].recipe, "val")
    nums_R = np.array([num for num, _ in runs], dtype=np.float64)
    right_RSB = np.stack([exact_SB(run.predict(dataset, photos), photos) for _, run in runs])
    rows = foretell(nums_R, right_RSB, [photo.group for photo in photos])
    for row in rows:
        print(json.dumps(row) if args.json else as_text(row))
    if args.plot:
        xs = [*nums_R, *FORETOLD]
        series = {
            name: (xs, [*row["measured"], *(entry["power"][0] for entry in row["foretold"])])
            for name, row in zip(SHORT, rows, strict=True)
        }
        figure = lines(series, xlabel="training photos (the last two foretold)", ylabel="share exact")
        figure.axes[0].set_xscale("log")
        figure.savefig(args.plot)


def exact_SB(probs_BK: Floats, photos: Sequence[LabelledPhoto]) -> Floats:
    """1 where the answer is the record, 0 where not, NaN for a photo that a score does not ask about."""
    counts_B = np.array([photo.count for photo in photos])
    probs_BK = temper(probs_BK, fit_temperature(probs_BK, counts_B))
    is_listed_B = np.array([photo.extras.get("in_file_list") == "1" for photo in photos])
    is_complete_B = np.array([photo.extras.get("collection") == "complete" for photo in photos])
    few_B = is_listed_B & (counts_B >= 1) & (counts_B <= 5)
    none_to_five_B = is_complete_B & (counts_B <= 5)
    exact_B = photo_scores(probs_BK, counts_B).exact
    told_B = photo_scores(restrict(probs_BK, 1, 5), counts_B).exact
    told_from_0_B = photo_scores(restrict(probs_BK, 0, 5), counts_B).exact
    return np.stack(
        [
            np.where(few_B, exact_B, np.nan),
            np.where(few_B, told_B, np.nan),
            np.where(none_to_five_B, told_from_0_B, np.nan),
            exact_B,
        ]
    )


def foretell(nums_R: Floats, right_RSB: Floats, groups: Sequence[str], *, num_draws: int = NUM_DRAWS) -> list[dict]:
    """For each score what was measured at each number of photos, and what either law says of more, with intervals."""
    sums_GRS, asked_GRS = by_group(right_RSB, groups)
    weights_DG = np.random.default_rng(0).multinomial(
        len(sums_GRS), np.full(len(sums_GRS), 1 / len(sums_GRS)), num_draws
    )
    share_RS = sums_GRS.sum(0) / asked_GRS.sum(0)
    share_DRS = np.einsum("dg,grs->drs", weights_DG, sums_GRS) / np.einsum("dg,grs->drs", weights_DG, asked_GRS)
    rows = []
    for place, name in enumerate(SCORES):
        foretold = []
        for num in FORETOLD:
            entry: dict = {"photos": num}
            for law in (every_doubling, power):
                drawn = [law(nums_R, shares_R, num) for shares_R in share_DRS[:, :, place]]
                low, high = np.quantile(drawn, [0.025, 0.975])
                entry[law.__name__] = (law(nums_R, share_RS[:, place], num), float(low), float(high))
            foretold.append(entry)
        rows.append(
            {
                "score": name,
                "train_photos": [int(num) for num in nums_R],
                "measured": [float(share) for share in share_RS[:, place]],
                "foretold": foretold,
            }
        )
    return rows


def by_group(right_RSB: Floats, groups: Sequence[str]) -> tuple[Floats, Floats]:
    """Right answers, and photos asked about, (G, R, S) each."""
    names, place_B = np.unique(np.array(groups), return_inverse=True)
    sums_GRS = np.zeros((len(names), *right_RSB.shape[:2]))
    asked_GRS = np.zeros_like(sums_GRS)
    np.add.at(sums_GRS, place_B, np.nan_to_num(right_RSB).transpose(2, 0, 1))
    np.add.at(asked_GRS, place_B, (~np.isnan(right_RSB)).transpose(2, 0, 1).astype(np.float64))
    return sums_GRS, asked_GRS


def every_doubling(nums_R: Floats, shares_R: Floats, num: float) -> float:
    """The share at `num` photos if every doubling adds as much."""
    slope, start = np.polyfit(np.log(nums_R), shares_R, 1)
    return float(start + slope * np.log(num))


def power(nums_R: Floats, shares_R: Floats, num: float) -> float:
    """The share at `num` photos if what is wrong falls as a power of their number (Hestness et al. 2017,
    arXiv:1712.00409, without a floor)."""
    slope, start = np.polyfit(np.log(nums_R), np.log(1 - shares_R), 1)
    return float(1 - np.exp(start + slope * np.log(num)))


def as_text(row: dict) -> str:
    measured = "  ".join(
        f"{num:,}: {share:.1%}" for num, share in zip(row["train_photos"], row["measured"], strict=True)
    )
    foretold = "  ".join(
        f"{entry['photos']:,}: {entry['every_doubling'][0]:.1%} by doublings, {entry['power'][0]:.1%} "
        f"({entry['power'][1]:.1%}–{entry['power'][2]:.1%}) by a power"
        for entry in row["foretold"]
    )
    return f"{row['score']}\n  measured  {measured}\n  foretold  {foretold}"


if __name__ == "__main__":
    main()
