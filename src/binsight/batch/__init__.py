"""Counting a whole bucket or folder: one row a photo in Parquet, shard by shard, on one machine or many.

```
listing, once ─▶ _job/*.parquet (a shard's photos each) ─▶ _job/job.json (what was begun; added last, and once)
                                                                │
         engine: this process, or Ray ◀── shards without a part ◀┘
                │
                └─▶ part-NNNNNN-KEY.parquet: a shard's rows, written whole; its list and the model name it
```
A shard is done where its part is there, and whoever counts it writes the same bytes under the same name: kills, second
runs and several processes on one job can neither lose a row nor write it twice.
"""

from binsight.batch.execute import Summary, engine_here, run
from binsight.batch.places import Places
from binsight.batch.plan import Job, Task, begin
from binsight.batch.shard import Done, count_shard

__all__ = [
    "Done",
    "Job",
    "Places",
    "Summary",
    "Task",
    "begin",
    "count_shard",
    "engine_here",
    "run",
]
