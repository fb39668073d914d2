"""What `binsight train` and `binsight tune` import, for the process that `forked.py` forks others from."""

from importlib import import_module

from binsight.model._torchvision import import_torchvision

import_torchvision()  # before timm, which needs what this mends
for name in ("binsight.cli", "binsight.model.train", "binsight.model.tune", "binsight.model.tune_report", "timm"):
    import_module(name)
