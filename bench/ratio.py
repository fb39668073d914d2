"""Two things measured against each other on a noisy machine: interleaved runs, medians, and their ratio.

Runs alternate (A B A B …), so that whatever else the machine does falls on both alike.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Medians of both, their ratio, and the middle half of the single pairs' ratios, which shows the noise."""

    ours: str
    other: str
    unit: str
    ours_median: float
    other_median: float
    ratio: float
    pairs_low: float
    pairs_high: float
    num_runs: int


def compare(
    ours: Callable[[], float],
    other: Callable[[], float],
    *,
    names: tuple[str, str],
    unit: str,
    num_runs: int,
    num_warm_up: int = 1,
) -> Comparison:
    """Run both in turn `num_runs` times; each call returns its own measure (seconds, photos a second, …)."""
    if num_runs < 2:
        raise ValueError(f"`num_runs >= 2` must hold, but got {num_runs}")
    for _ in range(num_warm_up):
        ours()
        other()
    pairs = [(ours(), other()) for _ in range(num_runs)]
    low, _, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    ours_median, other_median = (statistics.median(values) for values in zip(*pairs, strict=True))
    return Comparison(
        ours=names[0],
        other=names[1],
        unit=unit,
        ours_median=ours_median,
        other_median=other_median,
        ratio=ours_median / other_median,
        pairs_low=low,
        pairs_high=high,
        num_runs=num_runs,
    )


def bench_arguments(description: str, *, num_runs: int) -> argparse.ArgumentParser:
    """The arguments every bench takes: --runs and --json. Add further ones before parsing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=num_runs, help=f"interleaved runs of each (default {num_runs})")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of text")
    return parser


def report(
    comparison: Comparison,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    aim: float | None = None,
    as_json: bool,
) -> None:
    """Print the comparison against its goal, and end the process: 0 where the goal is met, 1 where it is not.

    `aim` is a further ratio to reach, which is reported and decides nothing.
    """
    goals = [f"≥ {at_least}"] * (at_least is not None) + [f"≤ {at_most}"] * (at_most is not None)
    met = (at_least is None or comparison.ratio >= at_least) and (at_most is None or comparison.ratio <= at_most)
    if as_json:
        aimed = {} if aim is None else {"aim": aim, "aim_met": comparison.ratio >= aim}
        print(json.dumps(asdict(comparison) | {"goal": " and ".join(goals), "met": met} | aimed))
    else:
        c = comparison
        print(
            f"{c.ours} {c.ours_median:.4g} {c.unit}, {c.other} {c.other_median:.4g} {c.unit}: "
            f"ratio {c.ratio:.3f} (middle half {c.pairs_low:.3f} to {c.pairs_high:.3f}, {c.num_runs} runs); "
            f"goal {' and '.join(goals) or 'none'}: {'met' if met else 'NOT met'}"
            + ("" if aim is None else f"; aim ≥ {aim}: {'met' if c.ratio >= aim else 'NOT met'}")
        )
    sys.exit(0 if met else 1)
