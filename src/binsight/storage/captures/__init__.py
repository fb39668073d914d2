"""Captures: photos that were counted and their answers, kept so that none that was acknowledged is lost.

```
write ─▶ photos to files, fsync ─▶ rows in one transaction │ lines appended, fsync │ an object a batch ─▶ acknowledged
read, joined with the counts added later; problems; prune
```
Two layouts with the same methods: `CompactCaptures`, and `LineCaptures` as SageMaker's.
"""

from binsight.storage.captures.capture import Capture, Problem, Truth, moment_of
from binsight.storage.captures.compact import CompactCaptures
from binsight.storage.captures.lines import LineCaptures, is_line, line_reader
from binsight.storage.captures.opening import open_captures, open_truths
from binsight.storage.captures.place import Place
from binsight.storage.captures.retention import Pruned, first_kept_hour, prune
from binsight.storage.captures.truth import Truths, joined

__all__ = [
    "Capture",
    "CompactCaptures",
    "LineCaptures",
    "Place",
    "Problem",
    "Pruned",
    "Truth",
    "Truths",
    "first_kept_hour",
    "is_line",
    "joined",
    "line_reader",
    "moment_of",
    "open_captures",
    "open_truths",
    "prune",
]
