"""What is put into the bucket: bundles and functions, each under a key that says its content.

The same content gives the same bytes, so that deploying again sends nothing new.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from binsight.counting.bundle import Bundle
from binsight.engines.sagemaker import functions
from binsight.engines.sagemaker.calls import Call, Piece
from binsight.engines.sagemaker.deployment import Deployment
from binsight.lifecycle.sagemaker_package import write_model_tar


def bundle_tar(bundle: Bundle) -> bytes:
    """`model.tar.gz`: the bundle's files at its root, which is where `<image> serve` looks."""
    return _packed(bundle.folder, bundle.version)


@lru_cache(4)
def _packed(folder: Path, version: str) -> bytes:
    """By version, since packing takes longer than all else of a plan, and a bundle never changes."""
    bundle = Bundle.open(folder)
    assert bundle.version == version
    with TemporaryDirectory() as place:
        return write_model_tar(bundle, Path(place) / "model.tar.gz").path.read_bytes()


def functions_zip(plan: Mapping[str, Any]) -> bytes:
    """The functions of a retraining, with the plan that they follow."""
    return _zip({"functions.py": Path(functions.__file__).read_bytes(), functions.PLAN: json.dumps(plan).encode()})


def front_zip() -> bytes:
    """The function in front of the endpoint."""
    from binsight.lambda_front.pack import packed

    return packed()


def model_key(d: Deployment, bundle: Bundle) -> str:
    """Where a bundle lies in the bucket."""
    return d.key("models", bundle.version, "model.tar.gz")


def code_key(d: Deployment, word: str, data: bytes) -> str:
    """Where a function's archive lies in the bucket."""
    return d.key("functions", f"{word}-{sha256(data).hexdigest()[:12]}.zip")


def object_piece(d: Deployment, key: str, data: bytes) -> Piece:
    """An object that never changes."""
    place = {"Bucket": d.bucket, "Key": key}
    return Piece(
        kind="object",
        name=f"s3://{d.bucket}/{key}",
        see=Call(service="s3", operation="HeadObject", arguments=place),
        make=(Call(service="s3", operation="PutObject", arguments=place | {"Body": data}),),
        remove=(Call(service="s3", operation="DeleteObject", arguments=place),),
    )


def bucket_piece(d: Deployment) -> Piece:
    """It must be there; it is neither made nor removed."""
    return Piece(
        kind="bucket",
        name=d.bucket,
        see=Call(service="s3", operation="HeadBucket", arguments={"Bucket": d.bucket}),
        stays=f"stays: datasets, models' runs, captures and answers below {d.s3()} may still be wanted",
    )


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
