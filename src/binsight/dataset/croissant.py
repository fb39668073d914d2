"""A dataset's description in MLCommons Croissant 1.1, readable by dataset search engines and `mlcroissant`.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from binsight.dataset.manifest import LabelledPhoto

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives, which readers compare word for word."""

_MANIFEST = "manifest"
_FILES = "photo-files"
_MIME = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}

_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("photo", "sc:Text", "Id of the photo."),
    ("count", "sc:Integer", "Items in the bin, as its record says: a record, not a truth."),
    ("split", "sc:Text", "train, val or test."),
    ("group", "sc:Text", "Chain of photos that may show the same bin; resample by it."),
    ("sha256", "sc:Text", "SHA-256 of the photo's file."),
    ("width", "sc:Integer", "Pixels across."),
    ("height", "sc:Integer", "Pixels down."),
)


def describe_dataset(
    name: str, photos: Sequence[LabelledPhoto], *, manifest_sha256: str, licence: str | None
) -> dict[str, Any]:
    """The Croissant JSON-LD of a dataset that is about to be published."""
    suffixes = sorted({PurePosixPath(photo.file).suffix for photo in photos})
    splits = sorted({photo.split for photo in photos})
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": "Photos of warehouse bins with the number of items that the stock record names.",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "license": licence,
        "version": "1.0.0",  # a dataset is immutable: a changed one has another name
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": _MANIFEST,
                "name": _MANIFEST,
                "contentUrl": "manifest.parquet",
                "encodingFormat": "application/x-parquet",
                "sha256": manifest_sha256,
            },
            {
                "@type": "cr:FileSet",
                "@id": _FILES,
                "name": _FILES,
                "encodingFormat": sorted({_MIME[suffix] for suffix in suffixes}),
                "includes": [f"{split}/*{suffix}" for split in splits for suffix in suffixes],
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "photos",
                "name": "photos",
                "key": {"@id": "photos/photo"},
                "field": [*(_column(*column) for column in _COLUMNS), _file_name(), _image()],
            }
        ],
    }
    return {name: value for name, value in description.items() if value is not None}


def _field(name: str, data_type: str, text: str, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"photos/{name}",
        "name": name,
        "description": text,
        "dataType": data_type,
        "source": source,
    }


def _column(name: str, data_type: str, text: str) -> dict[str, Any]:
    return _field(name, data_type, text, {"fileObject": {"@id": _MANIFEST}, "extract": {"column": name}})


def _file_name() -> dict[str, Any]:
    """What joins a row of the manifest with its file: names, which are unique across splits.

    Not whole paths: `mlcroissant` 1.1 compares the manifest's text with path objects, and finds none.
    """
    cut = {"regex": "[a-z]+/(.+)"}
    source = {"fileObject": {"@id": _MANIFEST}, "extract": {"column": "file"}, "transform": cut}
    name = _field("file_name", "sc:Text", "Name of the photo's file in the folder of its split.", source)
    return name | {"references": {"fileSet": {"@id": _FILES}, "extract": {"fileProperty": "filename"}}}


def _image() -> dict[str, Any]:
    source = {"fileSet": {"@id": _FILES}, "extract": {"fileProperty": "content"}}
    return _field("image", "sc:ImageObject", "The photo.", source)
