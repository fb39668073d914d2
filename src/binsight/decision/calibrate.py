"""Temperature scaling of distributions over counts (Guo et al., On Calibration of Modern Neural Networks, 2017).

Axes: B photos, K counts. Pure functions; one number, fitted on photos that trained nothing.
"""

import math

import numpy as np
import numpy.typing as npt

from binsight.decision.scores import Floats, checked_counts, checked_probs, photo_scores
from binsight.errors import MissingExtra

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""The range that is searched. A fit at either end says that the probabilities carry next to no information
about how sure the network is (20) or that every photo was right (0.05)."""


def temper(probs_BK: npt.ArrayLike, temperature: float) -> Floats:
    """Probabilities to the power 1 / temperature, normalised by row: (B, K) to (B, K).

    For a softmax this is the logits divided by the temperature; it serves every other head as well. A
    temperature above 1 makes answers less sure, below 1 more sure; 1 changes nothing, and the order of the
    counts within a photo stays. Raises `ValueError` for a temperature that is not above 0.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"`temperature > 0` must hold and be finite, but got temperature={temperature}")
    with np.errstate(divide="ignore"):  # log 0 = -inf stays a probability of 0
        logs_BK = np.log(checked_probs(probs_BK)) / temperature
    powers_BK = np.exp(logs_BK - logs_BK.max(axis=1, keepdims=True))
    tempered: Floats = powers_BK / powers_BK.sum(axis=1, keepdims=True)
    return tempered


def fit_temperature(probs_BK: npt.ArrayLike, counts_B: npt.ArrayLike) -> float:
    """The temperature under which the counts are most likely (least mean log score).

    The log score is convex in 1 / temperature, so the bounded search over its logarithm finds the one minimum.
    Raises `ValueError` without photos or for arrays that do not fit together.
    """
    if np.size(counts_B) == 0:
        raise ValueError("fitting a temperature needs at least one photo, but got none; widen the selection")
    try:
        from scipy.optimize import minimize_scalar
    except ImportError:
        raise MissingExtra("fitting a temperature", extra="data") from None

    probs = checked_probs(probs_BK)
    counts = checked_counts(counts_B, num_photos=len(probs))

    def mean_nll(log_temperature: float) -> float:
        return float(photo_scores(temper(probs, math.exp(log_temperature)), counts).nll.mean())

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    found = minimize_scalar(mean_nll, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))
