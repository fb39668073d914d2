"""Bundles for tests: the default one with something changed, in order as far as its checksums say."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

from binsight.counting import default_bundle


def changed_bundle(folder: Path, file: str, data: bytes) -> Path:
    """The default bundle in `folder` with other contents of one file, and so with another version."""
    shutil.copytree(default_bundle(), folder)
    (folder / file).write_bytes(data)
    spec = json.loads((folder / "bundle.json").read_text())
    spec["files"][file] = sha256(data).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(spec))
    return folder


def bundle_with_other_answers(folder: Path) -> Path:
    """The default bundle, whose first golden photo must get another answer than it gets."""
    answers = json.loads((default_bundle() / "golden" / "golden.json").read_text())
    answers[0]["probs"].reverse()
    return changed_bundle(folder, "golden/golden.json", json.dumps(answers).encode())


def bundle_without_reference(folder: Path) -> Path:
    """The default bundle as it was before there were references."""
    shutil.copytree(default_bundle(), folder)
    (folder / "reference.json").unlink()
    spec = json.loads((folder / "bundle.json").read_text())
    del spec["files"]["reference.json"]
    (folder / "bundle.json").write_text(json.dumps(spec))
    return folder
