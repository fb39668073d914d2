"""The archive that Lambda takes: `python -m binsight.lambda_front.pack FUNCTION.zip`.

The same code gives the same bytes. Handler: `binsight.lambda_front.handler`; Python 3.11 or newer.
"""

import io
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
FILES = ("__init__.py", "errors.py", "lambda_front/*.py")
"""What of the package the function needs."""


def packed() -> bytes:
    """The archive's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for pattern in FILES for path in PACKAGE.glob(pattern)):
            entry = zipfile.ZipInfo(f"binsight/{path.relative_to(PACKAGE).as_posix()}")
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("error: name the file to write; python -m binsight.lambda_front.pack FUNCTION.zip")
    Path(sys.argv[1]).write_bytes(packed())
