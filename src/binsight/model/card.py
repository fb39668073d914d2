"""The model card inside every bundle: Markdown with the YAML head that model hubs read."""

import textwrap

from binsight.counting.bundle import BundleSpec
from binsight.dataset.manifest import Dataset
from binsight.decision.calibrate import MAX_TEMPERATURE, MIN_TEMPERATURE
from binsight.decision.certificate import Certificate
from binsight.model.batches import wanted_photos
from binsight.model.quantise import StorageLoss
from binsight.model.run import Run
from binsight.model.verification_page import brief

TEMPLATE = """\
---
library_name: onnx
pipeline_tag: image-classification
tags: [inventory, counting, warehouse]
---
# {name}: how many items are in a warehouse bin, from one photo

Made by Binsight {version} from the network `{backbone}` with the head `{head}`. Input: RGB, {size} × {size} pixels,
{fit}{trained}. Output: a distribution over the counts 0 … {last}, where {last} stands for {last} and more.
{weights}

## Intended use
An estimate of how many items a photographed bin holds, for people who check stock records. It sees one photo from
the front: items hidden behind others are guessed at from what is usual. It is not meant to identify items or
people, and no record should be changed on its word alone.

## Training data
{num_train:,} photos of the split `train` of the dataset {dataset} (sha256 {digest}…), whose counts are stock
records, not truths{drawn}; first weights: `{first_weights}`. If these are photos of the Amazon Bin Image Dataset, its
licence CC BY-NC-SA 3.0 US applies: attribution, non-commercial use, share-alike.

## Figures
On the {num_val:,} `val` photos, on which the best epoch and the temperature {temperature:.3f} were chosen (figures on
other photos are lower; `binsight evaluate` on `test` measures them): exact {exact:.1%}, within one {within_one:.1%},
mean absolute error {mae:.2f} items, ranked probability score {rps:.3f} items, expected calibration error {ece:.1%}.
{temperature_end}
## Unreadable photos
{unreadable}

## What may be verified
{verified}

## Limits
Counts above five are seldom exact. Photos unlike those it was trained on (other bins, other cameras) need figures and
a certificate of their own before anyone relies on it.
"""

VERIFIED = """\
A record may be verified without a person where its recorded count is in this table and the model gives that count at
least the probability stated. Then, of the records that are off by one, at most the share stated is verified by
mistake; each line holds by itself with {confidence:.0%} confidence.

| recorded count | wrong records verified | needed probability | right records verified | wrong records tried |
|---|---|---|---|---|
{rows}

Any other record, and any count that is not in the table, is for a person: nothing may be verified there. Lines that
share a count are alternatives; fix one of them beforehand.

{note}"""

UNREADABLE = """\
An estimate has the flag `unreadable` where the model gives its answer, one item more or less allowed, a probability
below {readable_from:.3f}: such photos are better counted by people. Of the `val` photos these were {share:.1%}, the least
sure, {flagged}; the others {others}. `binsight evaluate` measures what leaving them out
brings on other photos, and whether that is more than leaving out the largest answers."""

UNVERIFIED = """\
Nothing: its certificate allows no record to be verified without a person. Why, band by band, stands in
`certificate.json`."""


def render_card(spec: BundleSpec, run: Run, dataset: Dataset, certificate: Certificate) -> str:
    """The card of a bundle, from its spec, its run, its dataset and its certificate."""
    val, trained_size = spec.figures["val"], spec.lineage["trained_size"]
    drawn, end = run.recipe.data.drawn, temperature_warning(spec.temperature)
    return TEMPLATE.format(
        name=spec.name,
        version=spec.lineage["binsight"],
        backbone=run.recipe.model.backbone,
        head=run.recipe.model.head,
        size=spec.preprocessing.size,
        trained="" if trained_size == spec.preprocessing.size else f" (trained at {trained_size})",
        fit={"squash": "squashed to a square", "letterbox": "padded to a square"}[spec.preprocessing.fit],
        last=spec.num_counts - 1,
        num_train=len(wanted_photos(dataset, run.recipe, "train")),
        drawn=f"; and {drawn:,} bins that Binsight drew, whose counts are true" if drawn else "",
        first_weights=spec.lineage["first_weights"][:40],
        dataset=dataset.folder.name,
        digest=dataset.digest[:12],
        num_val=val["num_photos"],
        temperature=spec.temperature,
        temperature_end=f"\n{textwrap.fill(end, width=116)}\n" if end else "",
        weights=weights_text(spec),
        unreadable=unreadable_text(spec),
        verified=verified_text(certificate),
        **{name: val[name] for name in ("exact", "within_one", "mae", "rps", "ece")},
    )


def temperature_warning(temperature: float) -> str:
    """What it means that the temperature is at an end of the range that is searched; empty where it is at none."""
    if temperature > MAX_TEMPERATURE * 0.99:
        return (
            f"The temperature is {temperature:.3f}, the highest that is tried: the probabilities tell next to nothing of "
            "how sure the network is. Do not rely on them, nor on intervals; train longer, or on more photos."
        )
    if temperature < MIN_TEMPERATURE * 1.01:
        return (
            f"The temperature is {temperature:.3f}, the lowest that is tried: nearly every val photo was answered right, "
            "so that they do not tell how sure answers may be. Calibrate on more photos, or on harder ones."
        )
    return ""


def weights_text(spec: BundleSpec) -> str:
    """How the weights are stored, and what that lost."""
    if "stored" not in spec.figures:
        return "Its weights are stored as they were trained, in fp32."
    loss = StorageLoss(**spec.figures["stored"])
    text = (
        f"Its weights are stored as {loss.weights} and computed with in fp32. What that changed against the whole weights, "
        f"on the {loss.num_photos:,} `val` photos: {loss}. All figures below are with the weights as they are stored."
    )
    return textwrap.fill(text, width=116)


def unreadable_text(spec: BundleSpec) -> str:
    """When a photo is flagged unreadable, and how good the answers were with and without the flag."""
    if spec.readable_from is None:
        return "The model flags none."
    found = spec.figures["unreadable"]
    parts = {
        part: "none"
        if found[f"within_one_{part}"] is None
        else f"{found[f'within_one_{part}']:.1%} right or one off at {found[f'mean_count_{part}']:.1f} items on average"
        for part in ("flagged", "others")
    }
    text = UNREADABLE.format(readable_from=spec.readable_from, share=found["share"], **parts)
    return textwrap.fill(text, width=116)


def verified_text(certificate: Certificate) -> str:
    """What may be verified by the model, in plain words: the lines under which any right record would be."""
    rows = [
        f"| {band.name.replace('-', '–')} | at most {band.alpha:.0%} | {band.threshold:.4g} | {brief(band.coverage)} "
        f"of {band.num_right:,} | {band.num_accepted} of {band.num_wrong:,} passed |"
        for band in certificate.verifying
    ]
    if not rows:
        return UNVERIFIED
    note = textwrap.fill(certificate.note, width=116)
    return VERIFIED.format(confidence=1 - certificate.delta, rows="\n".join(rows), note=note)
