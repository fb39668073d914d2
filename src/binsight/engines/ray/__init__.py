"""On a Ray cluster, a new one on this machine or one that is there: batches (`counting`), the service (`serving`), tuning.

A task of a batch is a shard. Ray gives it to whichever worker is free and again to another where one is killed; the
shard's own name decides what is written, so that it is the same whoever writes it and however often.
"""

from binsight.engines.ray.counting import engine_on_ray

__all__ = ["engine_on_ray"]
