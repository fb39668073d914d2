"""What fuzzing begins with: small photos of every kind that is decoded, real ones, and bodies of every content type."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from binsight.imaging.drawn import drawn_photo

BODY_TYPES = (
    "application/json",
    "application/jsonlines",
    "multipart/form-data; boundary=b",
    "string/url",
    "v2",  # not a content type: the body of /v2/models/NAME/infer
)
"""The first byte of a fuzzed body picks one of these."""
NUM_REAL = 10
_MODES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {"restart_marker_rows": 1}),
    ("PNG", "RGB", {}),
    ("PNG", "P", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "LA", {}),
    ("PNG", "1", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
)


def photos(real: Path | None = None) -> Iterator[bytes]:
    """Small drawn photos of every format and mode, and the first real ones of a folder where there is one."""
    drawn = Image.open(io.BytesIO(drawn_photo(2, seed=2))).resize((72, 48))
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "maker"
    for kind, mode, options in _MODES:
        photo = drawn.convert("I").convert(mode) if mode == "I;16" else drawn.convert(mode)
        for exif in (None, tags):
            file = io.BytesIO()
            photo.save(file, kind, **options, **({"exif": exif} if exif else {}))
            yield file.getvalue()
    for kind, more in (("MPO", drawn), ("WEBP", drawn.rotate(180)), ("PNG", drawn.rotate(180))):
        file = io.BytesIO()
        drawn.save(file, kind, save_all=True, append_images=[more])
        yield file.getvalue()
    for path in sorted(real.glob("*.jpg"))[:NUM_REAL] if real else ():
        yield path.read_bytes()


def bodies() -> Iterator[bytes]:
    """A byte for the type and a body, good and half good."""
    photo = base64.b64encode(next(photos())).decode()
    inputs = {"name": "photo", "shape": [1], "datatype": "BYTES", "data": [photo[:40]]}
    part = '--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\nabc\r\n'
    by_type: dict[str, list[str]] = {
        BODY_TYPES[0]: [
            json.dumps({"photo": photo[:40], "expected": 2, "read_labels": True}),
            json.dumps({"photos": [{"photo": photo[:8]}, {"uri": "s3://bucket/name"}]}),
        ],
        BODY_TYPES[1]: ['{"photo": "AAAA"}\n\n{"url": "https://example.com/a.jpg", "expected": 0}\n{"photo": 1}'],
        BODY_TYPES[2]: [2 * part + "--b--\r\n", part.replace("; filename", "; filename*") + "--b--"],
        BODY_TYPES[3]: ["s3://bucket/bin-images/1.jpg", "https://example.com/bins/1.jpg?signed=1"],
        BODY_TYPES[4]: [json.dumps({"id": "a", "inputs": [inputs]}), json.dumps({"inputs": [{}]})],
    }
    for number, kind in enumerate(BODY_TYPES):
        for text in by_type[kind]:
            yield bytes([number]) + text.encode()
