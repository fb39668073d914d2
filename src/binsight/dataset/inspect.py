"""A report on a folder of photos and records: what is there, how good it is, what to beware of.

```
read_source ─▶ scan_photos ─▶ find ─▶ build_page ─▶ OUT/index.html, OUT/*.csv
  names,         each photo     all       tables, plots,
  records        once           together  small photos
```
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from binsight.dataset.findings import find, summarise
from binsight.dataset.inspect_page import build_page
from binsight.dataset.intake import read_source
from binsight.dataset.scan import Scan, Unreadable, scan_photos
from binsight.errors import BadInput
from binsight.progress import progress_bar


def inspect_folder(
    folder: Path, out: Path, *, labels: Path | None = None, jobs: int = 1, read_labels: bool = True
) -> dict[str, Any]:
    """Write a report on `folder` into the folder `out` and return its summary.

    Bad files are part of the report and never stop it. Raises as `read_source` does, `BadInput` where `out` is a
    file, `StorageFailure` where it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} must be a folder for the report, but is a file; name another with --out")
    source = read_source(folder, labels)

    def results() -> Iterator[Scan | Unreadable]:
        with progress_bar("photos") as progress:
            task = progress.add_task("Opening photos", total=len(source.photos))
            for result in scan_photos(source.photos, jobs=jobs, read_labels=read_labels):
                yield result
                progress.advance(task)

    findings = find(source, results())
    path = build_page(findings, title=f"Photos in {folder.resolve().name}", read_labels=read_labels).write(out)
    return {"folder": str(folder), **summarise(findings), "report": str(path)}
