"""The figures by which photos are compared with those of the training: of the photo, and of the estimate for it.

Axes: B photos, F features, in the order of `FEATURES`.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from binsight.imaging.quality import Quality
from binsight.records import CountEstimate

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "brightness": "brightness of the photos",
        "contrast": "contrast of the photos",
        "sharpness": "sharpness of the photos",
        "clipped_dark": "share of black pixels",
        "clipped_bright": "share of white pixels",
        "aspect": "width of the photos divided by their height",
        "kilobytes": "size of the photos' files",
        "count": "counts answered",
        "mean_count": "mean counts of the estimates",
        "entropy": "doubt of the estimates (entropy)",
        "top_probability": "probability of the counts answered",
        "interval_width": "width of the 90% intervals",
    }
)
"""The features in their order, each with its name for a person. Seven are of the photo and five of the estimate.

Width and height apart are left out: large JPEGs are decoded at a part of their size, which keeps only their ratio.
"""


ESTIMATE_FEATURES = tuple(FEATURES)[7:]
"""Those that are known of an estimate alone, without its photo."""


def features_of(quality: Quality, num_bytes: int, estimate: CountEstimate) -> tuple[float, ...]:
    """The features (F,) of one photo and its estimate; entropy in nats, the file's size in 1,000 bytes."""
    return (
        quality.brightness,
        quality.contrast,
        quality.sharpness,
        quality.clipped_dark,
        quality.clipped_bright,
        quality.width / quality.height,
        num_bytes / 1000,
        *estimate_features_of(estimate),
    )


def estimate_features_of(estimate: CountEstimate) -> tuple[float, ...]:
    """The features of an estimate whose photo is not at hand, in the order of `ESTIMATE_FEATURES`."""
    low, high = estimate.interval
    return (
        float(estimate.count),
        sum(n * p for n, p in enumerate(estimate.probs)),
        -sum(p * math.log(p) for p in estimate.probs if p > 0),
        estimate.probs[estimate.count],
        float(high - low),
    )
