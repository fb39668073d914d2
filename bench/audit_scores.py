"""Ways to rank bins, by how many units of error the first of the labour finds: expectations, without drawing audits.

Of every photo its right record and its wrong ones stand in the ranking, each with its probability; what a tenth of all
labour reaches of the wrong ones is the recall, and its ratio to a tenth the lift. Records that rank alike are taken
together. 95% intervals resample the photos by chain.

`perfect` knows the counts; `calibrated …` ranks by the estimate where bins hold what the estimate says they might, as
probably as it says: what these estimates would find were they neither too sure nor too unsure.
"""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from bench.audit_photos import Known
from bench.audit_worlds import RATE, off_by

from binsight.audit.plan import Labour
from binsight.decision.belief import FAR, RecordErrors, spread

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Score = Callable[[Floats, Ints], Floats]

MIXED = {k: 0.5**k for k in range(1, 7)}
WORLDS: dict[str, Mapping[int, float]] = {"±1": {1: 1.0}, "±2": {2: 1.0}, "halving": MIXED}
"""How probable errors of so many units are, before they are made to add up to 1."""
LAWS = tuple(
    RecordErrors(rate=RATE, ratio=ratio, far=far)
    for ratio, far in (
        (0.5, 0), (0.35, 0), (0.25, 0), (0.1, 0), (0.01, 0),
        (0.25, 0.02), (0.25, 0.05), (0.25, 0.1), (0.1, 0.02), (0.1, 0.05), (0.1, 0.1),
    )
)  # fmt: skip
HALVING, BY_ONE = LAWS[0], LAWS[4]
NUM_DRAWS = 300
NUM_CALIBRATED = 100


def posterior(probs_BK: Floats, recorded_B: Ints, errors: RecordErrors, prior_K: Floats | None = None) -> Floats:
    """p(count | photo, record) as belief.py has it, (B, N); with a prior, that instead of the photo."""
    num_recorded = int(recorded_B.max()) + 1
    num_counts = max(probs_BK.shape[1], num_recorded + FAR)
    table_QN = np.array([[errors.likelihood(q, n) for n in range(num_counts)] for q in range(num_recorded)])
    one = np.array(spread([0.0] * (probs_BK.shape[1] - 1) + [1.0], num_counts))
    probs_BK = probs_BK if prior_K is None else np.broadcast_to(prior_K, probs_BK.shape)
    counts_BN = probs_BK[:, -1:] * one
    counts_BN[:, : probs_BK.shape[1] - 1] = probs_BK[:, :-1]
    weights_BN = counts_BN * table_QN[recorded_B]
    found: Floats = weights_BN / weights_BN.sum(axis=1, keepdims=True)
    return found


def units_off(errors: RecordErrors, prior_K: Floats | None = None) -> Score:
    def score(probs_BK: Floats, recorded_B: Ints) -> Floats:
        posterior_BN = posterior(probs_BK, recorded_B, errors, prior_K)
        off_BK = np.abs(np.arange(posterior_BN.shape[1]) - recorded_B[:, None])
        found: Floats = (posterior_BN * off_BK).sum(axis=1)
        return found

    return score


def p_wrong(errors: RecordErrors) -> Score:
    def score(probs_BK: Floats, recorded_B: Ints) -> Floats:
        posterior_BN = posterior(probs_BK, recorded_B, errors)
        found: Floats = 1 - posterior_BN[np.arange(len(recorded_B)), recorded_B]
        return found

    return score


def _alike(_: Floats, recorded_B: Ints) -> Floats:
    return np.ones(len(recorded_B))


def lift(
    score: Score | None,
    probs_BK: Floats,
    counts_B: Ints,
    weights_B: Floats,
    world: Mapping[int, float],
    labour: Labour,
    share: float,
) -> float:
    """How many times `share` of the error units lie in the first `share` of the labour. No score: the truth itself."""
    offs = [(0, 1 - RATE)]
    offs += [(sign * k, RATE * p / 2 / sum(world.values())) for k, p in world.items() for sign in (-1, 1)]
    recorded = np.concatenate([off_by(counts_B, np.full(len(counts_B), off)) for off, _ in offs])
    weight = np.concatenate([weights_B * p for _, p in offs])
    units = np.repeat([float(abs(off)) for off, _ in offs], len(counts_B))
    seconds = labour.count + labour.item * recorded
    scores = units if score is None else score(np.tile(probs_BK, (len(offs), 1)), recorded)
    _, rank = np.unique(-(scores / seconds), return_inverse=True)
    spent = np.cumsum(np.bincount(rank, weight * seconds))
    found = np.cumsum(np.bincount(rank, weight * units))
    return float(np.interp(share * spent[-1], [0, *spent], [0, *found]) / found[-1] / share)


def compare_scores(known: Sequence[Known], labour: Labour, share: float, *, as_json: bool) -> None:
    """Print the lift of every score in every world, with intervals."""
    probs_BK = np.array([photo.estimate.probs for photo in known])
    counts_B = np.array([photo.count for photo in known])
    num_counts = probs_BK.shape[1]
    frequency_K = np.bincount(np.minimum(counts_B, num_counts - 1), minlength=num_counts) + 0.5
    scores: dict[str, Score | None] = {f"units off, {_named(law)}": units_off(law) for law in LAWS}
    scores |= {f"p(wrong), {_named(law)}": p_wrong(law) for law in (HALVING, BY_ONE)}
    scores |= {
        "unseen: shares of counts for the photo": units_off(BY_ONE, frequency_K / frequency_K.sum()),
        "unseen: seconds alone": _alike,
        "perfect": None,
    }
    _, chain_B = np.unique([photo.chain for photo in known], return_inverse=True)
    num_chains = int(chain_B.max()) + 1
    rng = np.random.default_rng(20261126)
    draws = rng.multinomial(num_chains, np.full(num_chains, 1 / num_chains), NUM_DRAWS)[:, chain_B].astype(float)
    even = np.ones(len(known))
    for name, score in scores.items():
        row: dict[str, object] = {"score": name}
        for world, offs in WORLDS.items():
            found = lift(score, probs_BK, counts_B, even, offs, labour, share)
            drawn = [lift(score, probs_BK, counts_B, draw, offs, labour, share) for draw in draws]
            row[world] = [found, *np.quantile(drawn, [0.025, 0.975]).tolist()]
        _print(row, as_json)
    for law in (HALVING, BY_ONE):
        row = {"score": f"calibrated, units off, {_named(law)}"}
        for world, offs in WORLDS.items():
            drawn = [
                lift(units_off(law), probs_BK, _draw(probs_BK, rng), even, offs, labour, share)
                for _ in range(NUM_CALIBRATED)
            ]
            row[world] = [float(np.mean(drawn)), *np.quantile(drawn, [0.025, 0.975]).tolist()]
        _print(row, as_json)


def _named(law: RecordErrors) -> str:
    return f"ratio {law.ratio:g}" + (f", far {law.far:g}" if law.far else "")


def _draw(probs_BK: Floats, rng: np.random.Generator) -> Ints:
    """One count for each photo by its own estimate."""
    drawn: Ints = (probs_BK.cumsum(axis=1) < rng.random(len(probs_BK))[:, None]).sum(axis=1)
    return np.minimum(drawn, probs_BK.shape[1] - 1)


def _print(row: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(row, ensure_ascii=False), flush=True)
        return
    cells = [f"{world} {row[world][0]:.2f} ({row[world][1]:.2f}-{row[world][2]:.2f})" for world in WORLDS]  # type: ignore[index]
    print(f"{row['score']:40}", "  ".join(cells), flush=True)
