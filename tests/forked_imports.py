"""What `binsight train`, `tune` and `retrain` import, for the process that `forked.py` forks others from."""

from importlib import import_module

from binsight.model._torchvision import import_torchvision

import_torchvision()  # before timm, which needs what this mends
for name in (
    "binsight.cli",
    "binsight.lifecycle.retrain",
    "binsight.lifecycle.work",
    "binsight.model.evaluation_page",
    "binsight.model.export",
    "binsight.model.train",
    "binsight.model.tune",
    "binsight.model.tune_report",
    "matplotlib.pyplot",
    "onnxscript",
    "pyarrow.dataset",
    "scipy.stats",
    "timm",
):
    import_module(name)
