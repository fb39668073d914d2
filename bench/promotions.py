"""How often a challenger is promoted that should not be, and one that should: simulated promotions, judged for real.

    python -m bench.promotions [--times 1000] [--photos 5000] [--real DATASET] [WHICH ...]

Every promotion goes through `figures_of` and `decide` as they ship, with their default terms. Beside what they decide
stands what two simpler rules would have done: the original's (at least as many exact answers) and McNemar's test alone.
WHICH is any of

- `equal`: a challenger that is as good; `copies`: the same, on chains of five copies of a photo;
- `better-20`, `better-25`, `better-29`: one that is better by three points, where just one of the two is right on so many
  photos in a hundred: the more there are, the more there is for chance to do;
- `leaked`: one training photo among others is a photo of the set stored again in another way: real photos with `--real`,
  else drawn ones;
- `stale`: the set is too old, from the future, or changed.
"""

import argparse
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from bench.promotion_worlds import (
    OWN,
    SPREAD,
    answers,
    asked,
    better_spread,
    certificate_for,
    draw_world,
    exact_share,
)
from PIL import Image, ImageEnhance

from binsight.dataset.likeness import fingerprint
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.certificate import Certificate
from binsight.imaging.drawn import drawn_photo
from binsight.lifecycle.comparison import Comparison, Contender, Figures, SetFacts, TrainingFacts
from binsight.lifecycle.decide import decide
from binsight.lifecycle.figures import figures_of
from binsight.lifecycle.leaks import Pictures, find_leaks
from binsight.lifecycle.policy import PromotionPolicy

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
POLICY = PromotionPolicy()
EVERYTHING = ("equal", "copies", "better-20", "better-25", "better-29", "leaked", "stale")
NUM_CERTIFICATES = 20
SIDE_BY_SIDE = 300
"""Photos on either side of a search for leaks."""

Certificates = tuple[list[Certificate], list[Certificate]]


def comparison(
    figures: Figures | None,
    *,
    frozen_at: datetime = NOW - timedelta(days=30),
    frozen_sha256: str = "a" * 64,
    training: TrainingFacts | None = None,
) -> Comparison:
    """A comparison against which nothing stands but what is given."""
    one = Contender(version="a" * 12, name="a", sha256="a" * 64, num_bytes=4, num_counts=21, trained_on="d" * 64)
    other = Contender(version="b" * 12, name="b", sha256="b" * 64, num_bytes=4, num_counts=21, trained_on="d" * 64)
    return Comparison(
        compared_at=NOW.isoformat(),
        code={},
        champion=one,
        challenger=other,
        promotion_set=SetFacts(
            name="set",
            dataset_sha256="d" * 64,
            split="test",
            where={},
            sha256="a" * 64,
            num_photos=5000,
            num_groups=2000,
            frozen_sha256=frozen_sha256,
            frozen_at=frozen_at.isoformat(),
            look=1,
            max_looks=10,
        ),
        training=training or TrainingFacts(datasets=("d" * 64,), num_photos=1000),
        figures=figures,
    )


def figures(
    seed: int, num_photos: int, spread: float, certificates: Certificates, copies: int = 0, own: float = OWN[25]
) -> Figures:
    """One simulated set, and both models on it."""
    rng = np.random.default_rng([20261126, seed])
    world = draw_world(rng, num_photos, copies=copies, own=own)
    champion = answers(rng, world, copies=copies)
    challenger = answers(rng, world, spread=spread, copies=copies)
    theirs, ours = (kept[seed % len(kept)] for kept in certificates)
    return figures_of(
        asked(champion, theirs),
        asked(challenger, ours),
        world.photos,
        alpha=POLICY.certified_alpha,
        times_slower=1.0,
    )


def judged(name: str, times: int, make: Callable[[int], Figures]) -> None:
    """Judge so many, and print how often each word was said, and what simpler rules would have done."""
    began, words, failed = time.monotonic(), Counter[str](), Counter[str]()
    simple = mcnemar = 0
    discordant = 0.0
    for seed in range(times):
        found = make(seed)
        decision = decide(comparison(found), POLICY)
        words[decision.word] += 1
        if decision.word == "keep":
            failed.update(check.name for check in decision.checks if check.passed is False)
        simple += found.exact.difference >= 0
        mcnemar += found.exact.p <= POLICY.alpha
        discordant += (found.exact.only_ours + found.exact.only_theirs) / found.exact.num_photos / times
    print(
        f"{name}: promoted {words['promote']} of {times} (McNemar's test alone: {mcnemar}; at least as many exact "
        f"answers: {simple}); {discordant:.1%} discordant; kept for {dict(failed.most_common(8))}; "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )


def altered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same picture as another system would store it."""
    ways: list[Callable[[Image.Image], Image.Image]] = [
        lambda photo: photo,
        lambda photo: photo.resize((max(64, photo.width // 2), max(64, photo.height // 2))),
        lambda photo: photo.resize((224, 224)),
        lambda photo: ImageEnhance.Brightness(photo).enhance(float(rng.uniform(0.7, 1.3))),
        lambda photo: ImageEnhance.Contrast(photo).enhance(float(rng.uniform(0.7, 1.3))),
    ]
    data = io.BytesIO()
    ways[int(rng.integers(len(ways)))](image).save(data, "JPEG", quality=int(rng.integers(20, 95)))
    return Image.open(data).convert("RGB")


def photos_of(real: Path | None) -> Iterator[tuple[LabelledPhoto, Image.Image]]:
    """Photos of the test split, or drawn ones; no two of one chain."""
    seen: set[str] = set()
    if real:
        dataset = Dataset.open(real)
        for photo in dataset.select("test"):
            if photo.group not in seen:
                seen.add(photo.group)
                yield photo, Image.open(io.BytesIO(dataset.read_bytes(photo))).convert("RGB")
        return
    for seed in range(2 * SIDE_BY_SIDE):
        image = Image.open(io.BytesIO(drawn_photo(seed % 12, seed=seed))).convert("RGB")
        yield labelled(f"drawn-{seed}"), image


def labelled(name: str) -> LabelledPhoto:
    return LabelledPhoto(
        photo=name, file="", count=1, split="train", group=name, sha256=name, width=224, height=224
    )


def leaked(times: int, real: Path | None) -> None:
    """One photo of the set among the training photos, stored again: is it found, and is nothing found without it?"""
    pairs = [(photo, image, fingerprint(image)) for photo, image in photos_of(real)]
    half = min(SIDE_BY_SIDE, len(pairs) // 2)
    training, promotion = Pictures(), Pictures()
    for photo, _, print_ in pairs[:half]:
        training.add([photo], [print_])
    for photo, _, print_ in pairs[half : 2 * half]:
        promotion.add([photo], [print_])
    before = len(find_leaks(training, promotion))
    rng, refused = np.random.default_rng(7), 0
    for number in range(times):
        image = pairs[half + int(rng.integers(half))][1]
        planted = Pictures([*training.photos], [*training.fingerprints])
        planted.add([labelled(f"planted-{number}")], [fingerprint(altered(image, rng))])
        leaks = find_leaks(planted, promotion)
        facts = TrainingFacts(datasets=("d",), num_photos=half + 1, num_leaks=len(leaks), leaks=tuple(leaks[:20]))
        refused += any("planted" in leak.training for leak in leaks) and (
            decide(comparison(None, training=facts), POLICY).word == "refuse"
        )
    print(
        f"leaked: refused {refused} of {times}; {before} leaks among {half} and {half} photos without one planted"
    )


def stale(times: int, better: Figures) -> None:
    """A better challenger on a set that is too old, from the future, or changed."""
    rng, refused = np.random.default_rng(3), 0
    for number in range(times):
        kept = {
            0: {"frozen_at": NOW - timedelta(days=POLICY.max_age_days + float(rng.uniform(0.001, 1000)))},
            1: {"frozen_at": NOW + timedelta(days=float(rng.uniform(0.01, 1000)))},
            2: {"frozen_sha256": f"{number:064x}"},
        }[number % 3]
        refused += decide(comparison(better, **kept), POLICY).word == "refuse"
    fresh = decide(comparison(better), POLICY).word
    print(f"stale, from the future or changed: refused {refused} of {times}; the same on a fresh set: {fresh}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "which", nargs="*", default=["equal", "copies", "better-20", "better-25", "better-29", "leaked", "stale"]
    )
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    same = [certificate_for(np.random.default_rng(seed), spread=SPREAD) for seed in range(NUM_CERTIFICATES)]
    pairs: Certificates = (same, same[1:] + same[:1])
    for which in given.which:
        if which == "equal":
            judged(
                "equal", given.times, partial(figures, num_photos=given.photos, spread=SPREAD, certificates=pairs)
            )
        elif which == "copies":
            make = partial(figures, num_photos=given.photos, spread=SPREAD, certificates=pairs, copies=5)
            judged("equal, chains of five copies", given.times, make)
        elif which.startswith("better-") or which == "stale":
            own = OWN[int(which.removeprefix("better-")) if which != "stale" else 20]
            spread = better_spread(3.0)
            new = [certificate_for(np.random.default_rng(seed), spread=spread) for seed in range(NUM_CERTIFICATES)]
            make = partial(figures, num_photos=given.photos, spread=spread, certificates=(same, new), own=own)
            if which == "stale":
                stale(given.times, make(0))
                continue
            print(f"spread {SPREAD}: {exact_share(SPREAD):.1%} exact; {spread:.4f}: {exact_share(spread):.1%}")
            judged(f"3 points better, {which.removeprefix('better-')}% discordant", given.times, make)
        elif which == "leaked":
            leaked(given.times, given.real)
        else:
            parser.error(f"there is no {which}")


if __name__ == "__main__":
    main()
