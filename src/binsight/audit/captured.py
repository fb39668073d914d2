"""Photos and estimates that a service kept, as the photos of an audit."""

from collections.abc import Iterator

from binsight.audit.estimates import estimate_from
from binsight.audit.photos import CapturedPhoto
from binsight.errors import BadInput
from binsight.records import CountEstimate
from binsight.settings import Settings
from binsight.storage.captures import CompactCaptures, open_captures


def captured_photos(chosen: Settings, *, model: str) -> Iterator[CapturedPhoto]:
    """The captures that the settings name, in the order of time, those without their photo left out.

    A photo is called by its inference id, else by its event id. What another model than `model` (NAME:VERSION) said of it
    does not count: the audit counts it again. Raises `BadInput` for captures in SageMaker's layout, whose photos are no
    files, and as `open_captures`.
    """
    kept = open_captures(chosen)
    if not isinstance(kept, CompactCaptures):
        raise BadInput(
            "an audit reads captures in the compact layout, but BINSIGHT_CAPTURE_LAYOUT is sagemaker; write them out "
            "with binsight captures export"
        )
    try:
        for capture in kept.read():
            if capture.photo_at is None:
                continue
            name, fields = capture.photo_at, capture.fields
            result = estimate_from(name, fields) if fields["model"] == model else None
            yield CapturedPhoto(
                name=name,
                called=capture.inference_id or capture.event_id,
                label=fields.get("bin_label"),
                result=result if isinstance(result, CountEstimate) else None,
                taken_at=capture.captured_at,
            )
    finally:
        kept.close()
