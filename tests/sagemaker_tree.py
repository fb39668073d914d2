"""An /opt/ml tree as SageMaker lays it out, and our entry point in it as a real process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRY = ROOT / "deploy" / "entrypoint.sh"

HYPERPARAMETERS = {
    "name": "tiny",
    "seed": "3",
    "data.preprocessing": json.dumps({"size": 48, "fit": "squash", "mean": [0.5] * 3, "std": [0.5] * 3}),
    "model.backbone": "timm:lcnet_035",
    "model.dropout": "0.1",
    "training.epochs": "2",
    "training.batch_size": "16",
    "training.lr": "0.002",
    "training.precision": "fp32",
    "training.ema_decay": "0.9",
    "_tuning_objective_metric": "val:rps",
    "sagemaker_region": '"us-east-1"',
}
"""Texts all, as SageMaker hands them over: JSON, or where they are none, what they say."""


def make_tree(
    root: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, str] = HYPERPARAMETERS
) -> Path:
    """Config, channels (as links: the platform mounts them) and the folders that it makes."""
    config, data = root / "input" / "config", root / "input" / "data"
    for folder in (config, data, root / "model", root / "output" / "data", root / "checkpoints"):
        folder.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(dict(hyperparameters)))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    file = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    (config / "inputdataconfig.json").write_text(json.dumps(dict.fromkeys(channels, file)))
    for name, folder in channels.items():
        if not (data / name).exists():
            (data / name).symlink_to(folder, target_is_directory=True)
    return root


def environment(root: Path) -> dict[str, str]:
    """This environment in place of the image's, with the tree at `root`."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONUNBUFFERED": "1",
        "SAGEMAKER_BASE_DIR": str(root),
        "BINSIGHT_CACHE_DIR": str(root / "cache"),
    }


def train_process(root: Path) -> "subprocess.Popen[str]":
    """`<image> train`."""
    return subprocess.Popen(
        [str(ENTRY), "train"],
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_train(root: Path) -> tuple[int, str]:
    """`<image> train` to its end: exit status, log."""
    with train_process(root) as process:
        log, _ = process.communicate(timeout=600)
    return process.returncode, log
