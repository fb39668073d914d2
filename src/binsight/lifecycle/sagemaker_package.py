"""A bundle as a SageMaker model package: `model.tar.gz` and the request of CreateModelPackage, as plain data.

Nothing here asks AWS for anything. The same bundle gives the same bytes, so that a package is known by its checksum.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
"""

import gzip
import json
import tarfile
from base64 import b64encode
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from binsight.counting.bundle import SPEC_NAME, Bundle, file_digest
from binsight.errors import BadInput
from binsight.storage.files import written_whole

CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp", "application/json")
ANSWER_TYPES = ("application/json",)
INSTANCES = ("ml.c7i.large", "ml.c7i.xlarge", "ml.m5.large")
"""Types that the package may run on, if none are given: the bundle counts on a CPU."""
_MOST_METADATA = 256
"""Characters of one value of CustomerMetadataProperties; 50 of them at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTar:
    """A written `model.tar.gz`. `md5_base64` is what S3 takes as Content-MD5."""

    path: Path
    num_bytes: int
    sha256: str
    md5_base64: str


def write_model_tar(bundle: Bundle, path: Path) -> ModelTar:
    """The bundle's files at the root of a tar, as the container wants them, without times, owners and rights of here.

    Raises `StorageFailure` where the disk fails.
    """
    with (
        written_whole(path) as part,
        part.open("wb") as file,
        gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name in sorted([SPEC_NAME, *bundle.spec.files]):
            source = bundle.folder / name
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = source.stat().st_size, 0o644
            with source.open("rb") as content:
                tar.addfile(entry, content)
    digest = md5(usedforsecurity=False)
    with path.open("rb") as written:
        while chunk := written.read(1 << 20):
            digest.update(chunk)
    return ModelTar(
        path=path,
        num_bytes=path.stat().st_size,
        sha256=file_digest(path),
        md5_base64=b64encode(digest.digest()).decode(),
    )


def model_package_request(
    bundle: Bundle,
    tar: ModelTar,
    *,
    group: str,
    image: str,
    model_url: str,
    instances: tuple[str, ...] = INSTANCES,
    approved: bool = False,
) -> dict[str, Any]:
    """The request that registers the package in a group. It waits for approval where it is not `approved`.

    Raises `BadInput` where `model_url` is not an S3 address of a `.tar.gz`.
    """
    if not (model_url.startswith("s3://") and model_url.endswith(".tar.gz")):
        raise BadInput(f"the model's address must be s3://bucket/…/model.tar.gz, but is {model_url}")
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": f"Binsight bundle {bundle.name}",
        "ModelApprovalStatus": "Approved" if approved else "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": image, "ModelDataUrl": model_url}],
            "SupportedContentTypes": list(CONTENT_TYPES),
            "SupportedResponseMIMETypes": list(ANSWER_TYPES),
            "SupportedRealtimeInferenceInstanceTypes": list(instances),
            "SupportedTransformInstanceTypes": list(instances),
        },
        "CustomerMetadataProperties": _metadata(bundle, tar),
    }


def _metadata(bundle: Bundle, tar: ModelTar) -> dict[str, str]:
    lineage = bundle.spec.lineage
    values = {
        "binsight_version": bundle.version,
        "binsight_name": bundle.spec.name,
        "model_tar_sha256": tar.sha256,
        **{
            name: lineage.get(name)
            for name in ("dataset_sha256", "recipe_sha256", "weights_sha256", "git", "binsight")
        },
    }
    return {name: str(value)[:_MOST_METADATA] for name, value in values.items() if value}


def write_request(path: Path, request: dict[str, Any]) -> None:
    """The request as JSON, as `aws sagemaker create-model-package --cli-input-json` takes it."""
    with written_whole(path) as part:
        part.write_text(json.dumps(request, indent=1) + "\n", encoding="utf-8")
