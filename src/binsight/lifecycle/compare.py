"""Compare two bundles on one frozen set: facts first, and the bundles are asked only where none stands against it.

```
set unchanged? training known, not in the set? ─▶ a look is spent ─▶ both asked in one run ─▶ Comparison
```
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from binsight import __version__
from binsight.counting.bundle import CERTIFICATE_NAME, SPEC_NAME, UNKNOWN, Bundle, is_shipped
from binsight.counting.counter import Counter
from binsight.dataset.manifest import Dataset
from binsight.decision.certificate import Certificate, read_certificate
from binsight.decision.scores import Floats
from binsight.lifecycle.comparison import Comparison, Contender, TrainingFacts
from binsight.lifecycle.decide import refusals
from binsight.lifecycle.figures import Asked, Photos, figures_of
from binsight.lifecycle.leaks import MOST_NAMED, Pictures, find_leaks
from binsight.lifecycle.policy import PromotionPolicy
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.lifecycle.scoring import ask_both
from binsight.lifecycle.seen import Seen, fingerprints, see_all
from binsight.model.code import git_hash

Look = Callable[[str, str], int | None]
"""Spends a look of the set on a champion and a challenger: its number, or None where all are spent."""


@dataclass(slots=True)
class Answers:
    """Where `compare` leaves what both bundles said, photo by photo (B, K); empty where they were not asked."""

    champion_BK: Floats = field(default_factory=lambda: np.empty((0, 0)))
    challenger_BK: Floats = field(default_factory=lambda: np.empty((0, 0)))


def compare(
    champion: Path,
    challenger: Path,
    promotion_set: PromotionSet,
    *,
    training: Path | None,
    further_training: Sequence[Path] = (),
    needed_datasets: Sequence[str] = (),
    look: Look | None = None,
    policy: PromotionPolicy | None = None,
    answers: Answers | None = None,
    now: datetime | None = None,
) -> Comparison:
    """What is found when both bundles are asked about the photos of a frozen set (`promotion_set.freeze`).

    `training` is the dataset that the challenger was trained on, `further_training` those that the weights it began with
    were; `needed_datasets` are hashes of datasets that must be among them beside the one that the challenger names.
    `look` spends a look of the set, and without it there is none to spend. What stands against judging is in the
    comparison as a fact, for `decide`. Raises `MissingObject`, `BadBundle` or `GateFailed` for a bundle that is not whole
    or answers wrongly here, and `BadDataset` for a dataset that is damaged.
    """
    terms = policy or PromotionPolicy()
    bundles = Bundle.open(champion), Bundle.open(challenger)
    folders = [*([] if training is None else [training]), *further_training]
    facts = replace(promotion_set.facts, max_looks=terms.max_looks)
    seen = see_all(promotion_set.dataset, promotion_set.photos, doing="reading the promotion set")
    changed = next(
        (photo.photo for photo, one in zip(promotion_set.photos, seen, strict=True) if not one.is_same), ""
    )
    comparison = Comparison(
        compared_at=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        code={"binsight": __version__, "git": git_hash() or ""},
        champion=_contender(bundles[0]),
        challenger=_contender(bundles[1]),
        promotion_set=replace(facts, changed=changed),
        training=_training(bundles[1], folders, needed_datasets, promotion_set, seen),
        figures=None,
    )
    if any(refusals(comparison, terms)):
        return comparison
    number = look(bundles[0].version, bundles[1].version) if look else None
    comparison = replace(comparison, promotion_set=replace(comparison.promotion_set, look=number))
    if number is None:
        return comparison
    return _with_figures(comparison, bundles, promotion_set, seen, terms, answers or Answers())


def _with_figures(
    comparison: Comparison,
    bundles: tuple[Bundle, Bundle],
    promotion_set: PromotionSet,
    seen: Sequence[Seen],
    policy: PromotionPolicy,
    answers: Answers,
) -> Comparison:
    counters = [Counter.load(bundle.folder) for bundle in bundles]
    for counter in counters:
        counter.check_golden()
    *said, times_slower = ask_both(counters[0], counters[1], promotion_set)
    answers.champion_BK, answers.challenger_BK = said[0].probs_BK, said[1].probs_BK
    theirs, ours = (
        Asked(probs_BK=one.probs_BK, certificate=_certificate(bundle), ms_per_photo=one.ms_per_photo)
        for one, bundle in zip(said, bundles, strict=True)
    )
    photos = promotion_set.photos
    known = Photos(
        counts_B=np.array([photo.count for photo in photos], dtype=np.int64),
        groups=[photo.group for photo in photos],
        brightness_B=np.array([one.brightness for one in seen]),
        side_B=np.array([min(photo.width, photo.height) for photo in photos], dtype=np.int64),
    )
    return replace(
        comparison, figures=figures_of(theirs, ours, known, alpha=policy.certified_alpha, times_slower=times_slower)
    )


def _training(
    challenger: Bundle,
    folders: Sequence[Path],
    needed: Sequence[str],
    promotion_set: PromotionSet,
    seen: Sequence[Seen],
) -> TrainingFacts:
    """Which photos it learned from or was chosen by, and which of them the set holds."""
    datasets = [Dataset.open(folder) for folder in folders]
    digests = tuple(dataset.digest for dataset in datasets)
    missing = _missing(challenger, digests, needed)
    pictures, promotion = Pictures(), Pictures()
    for dataset in datasets:
        # The val photos chose the epoch and the temperature, and certified: the challenger has seen them too.
        photos = dataset.select(where=lambda photo: photo.split != "test")
        pictures.add(dataset, photos, fingerprints(dataset, photos, doing=f"reading {dataset.folder.name}"))
    promotion.add(promotion_set.dataset, promotion_set.photos, [one.fingerprint for one in seen])
    leaks = find_leaks(pictures, promotion)
    return TrainingFacts(
        datasets=digests,
        num_photos=len(pictures.photos),
        missing=missing,
        num_leaks=len(leaks),
        leaks=tuple(leaks[:MOST_NAMED]),
    )


def _missing(challenger: Bundle, given: Sequence[str], needed: Sequence[str]) -> str:
    """What is not known of the training, as a clause."""
    lineage = challenger.spec.lineage
    own = lineage.get("dataset_sha256")
    if not isinstance(own, str) or not own:
        return "its bundle names no dataset; export it again from its run"
    earlier = lineage.get("learned_from")
    if earlier is None and str(lineage.get("first_weights", "")).startswith("run:") and not needed:
        unknown = "its bundle does not say what the run that it began with was trained on"
        if is_shipped(lineage):
            return (
                f"{unknown}, and nobody knows any more: it is the counter that ships with Binsight; compare one that you "
                "trained, or promote it without a comparison: binsight models promote"
            )
        return f"{unknown}; export it again from its run"
    if UNKNOWN in (earlier or ()):
        return (
            "it began with weights, or has teachers, whose dataset was not known when it was exported (as those of the "
            "counter that ships with Binsight); train one without them"
        )
    for digest in dict.fromkeys((own, *(earlier or ()), *needed)):
        if digest not in given:
            what = "it was trained on" if digest == own else "what it began with, or a teacher, was trained on"
            have = ", ".join(f"{one[:12]}…" for one in given)
            beside = f", which is not {have}" if given else ""
            return f"{what} the dataset {digest[:12]}…{beside}; name its folder with --training"
    return ""


def _contender(bundle: Bundle) -> Contender:
    return Contender(
        version=bundle.version,
        name=bundle.spec.name,
        sha256=sha256((bundle.folder / SPEC_NAME).read_bytes()).hexdigest(),
        num_bytes=sum((bundle.folder / name).stat().st_size for name in (SPEC_NAME, *bundle.spec.files)),
        num_counts=bundle.spec.num_counts,
        trained_on=str(bundle.spec.lineage.get("dataset_sha256") or ""),
    )


def _certificate(bundle: Bundle) -> Certificate | None:
    data = bundle.certificate()
    return None if data is None else read_certificate(data, name=str(bundle.folder / CERTIFICATE_NAME))
