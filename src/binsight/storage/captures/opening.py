"""The captures that the settings name."""

from binsight.errors import BadInput
from binsight.settings import Settings
from binsight.storage.captures.compact import CompactCaptures
from binsight.storage.captures.lines import LineCaptures
from binsight.storage.captures.place import GROUND_TRUTH, Place
from binsight.storage.captures.truth import Truths


def capture_place(chosen: Settings) -> Place:
    """Where the settings' endpoint and variant keep their captures. Raises `BadInput` where they name no place."""
    return Place.of(_destination(chosen), chosen.capture_endpoint, chosen.capture_variant)


def open_captures(chosen: Settings) -> CompactCaptures | LineCaptures:
    """The captures that the settings name, in their layout. Raises as `capture_place` and `Ledger.open`."""
    place = capture_place(chosen)
    if chosen.capture_layout == "sagemaker":
        return LineCaptures(place)
    return CompactCaptures(place, chosen.ledger, endpoint=chosen.capture_endpoint, variant=chosen.capture_variant)


def open_truths(chosen: Settings) -> Truths:
    """The counts added to the captures that the settings name. Raises as `capture_place`."""
    return Truths(Place.of(_destination(chosen), chosen.capture_endpoint, GROUND_TRUTH))


def _destination(chosen: Settings) -> str:
    if not chosen.capture:
        raise BadInput("no place is named for captures; set BINSIGHT_CAPTURE to a folder or an s3:// URL")
    return chosen.capture
