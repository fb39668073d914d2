"""Files of others that the console serves: those that VENDOR.json names, byte by byte, with their licences."""

import json
from hashlib import sha256
from pathlib import Path

import binsight.console

STATIC = Path(binsight.console.__file__).parent / "static"
OURS = {"console.css", "icon.svg", "lease.js", "station.js", "walk.js", "VENDOR.json", "LICENSES.txt"}


def test_vendored_files_are_as_their_packages_have_them() -> None:
    named = json.loads((STATIC / "VENDOR.json").read_text())
    for one in named:
        assert sha256((STATIC / one["file"]).read_bytes()).hexdigest() == one["sha256"], one["file"]
        assert f"{one['file']}: {one['name']} {one['version']}" in (STATIC / "LICENSES.txt").read_text()
    assert {path.name for path in STATIC.iterdir()} == OURS | {one["file"] for one in named}
