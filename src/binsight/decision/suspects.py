"""How much an estimate speaks against the record: pure functions of NumPy arrays.

The estimate must come from a network that has never seen the photo nor any other of its bin, or it has learnt the very
record that it is to judge: "out of fold" (Northcutt, Jiang and Chuang, Confident Learning, JAIR 2021, arXiv:1911.00068).

Axes: B photos, K counts 0 … K-1, where the last one stands for "K-1 or more". A record above K-1 is judged as K-1.
"""

import numpy as np
import numpy.typing as npt

from binsight.decision.scores import Floats, checked_counts, checked_probs


def record_probs(probs_BK: npt.ArrayLike, records_B: npt.ArrayLike) -> Floats:
    """p(record) of each photo, its "self-confidence": (B,)."""
    probs = checked_probs(probs_BK)
    records = np.minimum(checked_counts(records_B, num_photos=len(probs)), probs.shape[1] - 1)
    of_records: Floats = probs[np.arange(len(probs)), records]
    return of_records


def record_doubts(probs_BK: npt.ArrayLike, records_B: npt.ArrayLike) -> Floats:
    """How much speaks against each record, 0 to 1: (1 - (p(record) - p(the most likely other count))) / 2.

    This is the normalised margin of Confident Learning, turned round. 0: the record is certain. 0.5: another count is
    just as likely. 1: another count is certain. p(record) alone would put full bins first, whose counts the network is
    never sure of: 15 may be as likely as any count and still have a probability of a tenth. The margin asks that *one
    other* count be likely.

    It is no proof that a record is wrong. Fourteen of one item behind the same front are recorded rightly and seen as
    one: what stands high is probably wrong *or not visible*.
    """
    probs = checked_probs(probs_BK)
    records = np.minimum(checked_counts(records_B, num_photos=len(probs)), probs.shape[1] - 1)
    photos_B = np.arange(len(probs))
    others_BK = probs.copy()
    others_BK[photos_B, records] = -np.inf
    doubts: Floats = (1 - (probs[photos_B, records] - others_BK.max(axis=1))) / 2
    return doubts
